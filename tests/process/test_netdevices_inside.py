"""linux.netDevices: what the container's own program finds, that nobody looks after it later, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import Config, default_config, with_namespace, without_namespace
from support.facility import need
from support.network import Pair, Space, addresses, interfaces, ip, veth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

GIVEN = ("192.0.2.1/24", "2001:db8::1/64")


@pytest.fixture
def pair() -> Iterator[Pair]:
    """An interface with two addresses, which is down."""
    need(veth)
    made = Pair("ni", GIVEN)
    yield made
    made.remove()


@pytest.fixture
def space() -> Iterator[Space]:
    """A network namespace that a container can join."""
    need(veth)
    made = Space()
    yield made
    made.close()


def config_with(devices: Any, path: str | None = None) -> Config:
    config = with_namespace(default_config(), "network", path)
    config["linux"]["netDevices"] = devices
    return config


@pytest.mark.parametrize(("wanted", "found"), [("", ""), ("net0", "net0"), ("net%d", "net0"), ("a.b-c_d", "a.b-c_d")])
def test_the_program_finds_the_device(box: Box, pair: Pair, wanted: str, found: str) -> None:
    """Under its name, with its addresses, and up, so that the other end has a carrier; the host has it no more."""
    found = found or pair.name
    script = f"ls /sys/class/net; echo; cat /sys/class/net/{found}/carrier; ip address show dev {found}"
    config = config_with({pair.name: {"name": wanted} if wanted else {}})
    names, _, shown = box.shell(script, config).partition("\n\n")
    assert {"lo", found} <= set(names.split())
    assert shown.startswith("1\n")
    assert all(address in shown for address in GIVEN)
    assert ",UP" in shown
    assert pair.here() is None


def test_a_packet_comes_back(box: Box, pair: Pair, space: Space) -> None:
    """The other end is in a namespace where nothing filters."""
    ip("link", "set", pair.peer, "netns", str(space.pid))
    ip("address", "add", "192.0.2.77/24", "dev", pair.peer, pid=space.pid)
    ip("link", "set", pair.peer, "up", pid=space.pid)
    config = config_with({pair.name: {"name": "net0"}})
    config["process"]["capabilities"] = {kind: ["CAP_NET_RAW"] for kind in ("bounding", "effective", "permitted")}
    assert "1 packets received" in box.shell("ping -c 1 -W 5 192.0.2.77", config)


def test_nobody_looks_after_it_later(box: Box, pair: Pair, space: Space) -> None:
    """What the namespace's owner does with the device stays, through every command and the container's end."""
    box.start_sleeper(config_with({pair.name: {"name": "net0"}}, space.path))
    ip("address", "del", GIVEN[0], "dev", "net0", pid=space.pid)
    ip("address", "add", "198.51.100.1/24", "dev", "net0", pid=space.pid)
    ip("link", "set", "net0", "down", pid=space.pid)
    ip("link", "set", "net0", "name", "mine", pid=space.pid)
    changed = interfaces(space.pid)["mine"]
    box.exec("true").ok()
    box.runtime.state(box.ident)
    assert interfaces(space.pid)["mine"] == changed
    box.runtime.kill_and_delete(box.ident)
    after = interfaces(space.pid)
    assert set(after) == {"lo", "mine"}
    assert addresses(after["mine"]) == ["198.51.100.1/24"]
    assert "UP" not in after["mine"]["flags"]
    assert pair.here() is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lo", "file exists"),
        ("a/b", "cannot be the name"),
        ("with space", "cannot be the name"),
        ("sixteen-letters-", "cannot be the name"),
        ("..", "cannot be the name"),
        ("net%s", "cannot be the name"),
        ("%d%d", "cannot be the name"),
        (5, ""),
    ],
)
def test_names_that_cannot_be(box: Box, pair: Pair, name: Any, words: str) -> None:
    before = pair.here()
    sentence = one_sentence(box.create(config_with({pair.name: {"name": name}})).expect(1))
    assert f": /linux/netDevices/{pair.name}" in sentence
    assert words in sentence
    after = pair.here()
    assert before is not None
    assert after is not None
    assert after["addr_info"] == before["addr_info"]


def test_two_devices_of_one_name(box: Box, pair: Pair) -> None:
    config = config_with({pair.name: {"name": "net0"}, pair.peer: {"name": "net0"}})
    sentence = one_sentence(box.create(config).expect(1))
    assert sentence.endswith(f"/linux/netDevices/{pair.peer}: two network devices are to be called net0")
    assert pair.here() is not None


def test_it_takes_a_network_namespace(box: Box, pair: Pair) -> None:
    config = without_namespace(config_with({pair.name: {}}), "network")
    sentence = one_sentence(box.create(config).expect(1))
    assert "/linux/netDevices: netDevices need a network namespace to move to" in sentence


def test_it_takes_another_network_namespace_than_the_hosts(box: Box, pair: Pair) -> None:
    before = pair.here()
    sentence = one_sentence(box.create(config_with({pair.name: {}}, "/proc/self/ns/net")).expect(1))
    assert f": /linux/netDevices/{pair.name}: " in sentence
    assert pair.here() == before
