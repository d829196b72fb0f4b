"""linux.netDevices: what moves, what it keeps, what is refused, what comes back (config-linux.md, Network Devices)."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import (
    Config,
    default_config,
    with_args,
    with_hook,
    with_namespace,
    with_shell,
    with_user_namespace,
    without_namespace,
)
from support.command import wait_for
from support.facility import find_program, need, user_namespace
from support.network import Pair, Space, addresses, interfaces, ip, veth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

GIVEN = ("192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64")


@pytest.fixture
def pair() -> Iterator[Pair]:
    """An interface with four addresses, which is down."""
    need(veth)
    made = Pair("nd", GIVEN)
    yield made
    made.remove()


@pytest.fixture
def other() -> Iterator[Pair]:
    """Another one, without addresses."""
    need(veth)
    made = Pair("ne")
    yield made
    made.remove()


@pytest.fixture
def space() -> Iterator[Space]:
    """A network namespace that a container can join."""
    need(veth)
    made = Space()
    yield made
    made.close()


def config_with(devices: dict[str, dict[str, str]], path: str | None = None) -> Config:
    config = with_namespace(default_config(), "network", path)
    config["linux"]["netDevices"] = devices
    return config


def inside(box: Box, config: Config) -> dict[str, dict[str, Any]]:
    """The interfaces of a running container."""
    return interfaces(box.start_sleeper(config))


def test_a_device_moves_with_what_it_had(box: Box, pair: Pair) -> None:
    ip("link", "set", pair.name, "mtu", "1333", "txqueuelen", "77", "address", "02:00:00:00:00:07")
    ip("address", "add", "192.0.2.9/32", "peer", "192.0.2.10/32", "dev", pair.name, "label", f"{pair.name}:web")
    ip("address", "add", "2001:db8::9/64", "dev", pair.name, "nodad", "noprefixroute", "preferred_lft", "0")
    found = inside(box, config_with({pair.name: {}}))[pair.name]
    assert pair.here() is None
    assert (found["mtu"], found["txqlen"], found["address"]) == (1333, 77, "02:00:00:00:00:07")
    assert "UP" in found["flags"]
    by_address = {one.get("local"): one for one in found["addr_info"]}
    assert by_address["192.0.2.9"]["address"] == "192.0.2.10"
    assert by_address["192.0.2.9"]["label"] == f"{pair.name}:web"
    assert by_address["192.0.2.2"]["secondary"]
    assert "secondary" not in by_address["192.0.2.1"]
    assert by_address["2001:db8::9"]["noprefixroute"]
    assert by_address["2001:db8::9"]["deprecated"]
    assert set(GIVEN) < set(addresses(found))


def test_the_order_of_addresses_is_kept(box: Box, pair: Pair) -> None:
    here = pair.here()
    assert here
    assert addresses(inside(box, config_with({pair.name: {}}))[pair.name]) == addresses(here)


def test_only_permanent_global_addresses_move(box: Box, other: Pair) -> None:
    for words in (
        "198.51.100.1/24 scope link", "192.0.2.2/24 valid_lft 1000 preferred_lft 1000", "203.0.113.1/24",
        "2001:db8::2/64 valid_lft 1000 preferred_lft 1000", "fe80::77/64",
    ):  # fmt: skip
        ip("address", "add", *words.split(), "dev", other.name)
    found = inside(box, config_with({other.name: {}}))[other.name]
    assert addresses(found) == ["203.0.113.1/24"]
    local = [one["local"] for one in found["addr_info"] if one["scope"] == "link"]
    assert "fe80::77" not in local


def test_a_device_is_renamed_and_its_labels_with_it(box: Box, pair: Pair) -> None:
    ip("address", "add", "203.0.113.1/24", "dev", pair.name, "label", f"{pair.name}:a")
    found = inside(box, config_with({pair.name: {"name": "net0"}}))
    assert set(found) == {"lo", "net0"}
    labels = {one["local"]: one["label"] for one in found["net0"]["addr_info"] if one["family"] == "inet"}
    assert labels == {"192.0.2.1": "net0", "192.0.2.2": "net0", "203.0.113.1": "net0:a"}


def test_a_template_gets_the_next_free_number(box: Box, pair: Pair, other: Pair, space: Space) -> None:
    ip("link", "add", "net0", "type", "veth", "peer", "name", "net2", pid=space.pid)
    config = config_with({pair.name: {"name": "net%d"}, other.name: {"name": "net%d"}}, space.path)
    found = inside(box, config)
    assert {"net0", "net1", "net2", "net3"} <= set(found)
    assert set(GIVEN) == set(addresses(found["net1"]))


def test_the_names_of_both_sides_may_collide(box: Box, pair: Pair, space: Space) -> None:
    """The host's name is in use in the container, and the container's on the host."""
    ip("link", "add", pair.name, "type", "veth", "peer", "name", "x", pid=space.pid)
    found = inside(box, config_with({pair.name: {"name": pair.peer}}, space.path))
    assert set(GIVEN) == set(addresses(found[pair.peer]))
    assert addresses(found[pair.name]) == []


def test_a_device_moves_into_a_user_namespace(box: Box, pair: Pair) -> None:
    config = with_user_namespace(config_with({pair.name: {"name": "net0"}}))
    box.directory.chmod(0o755)
    assert set(GIVEN) == set(addresses(inside(box, config)["net0"]))


def test_sysctls_reach_the_moved_device(box: Box, pair: Pair) -> None:
    config = config_with({pair.name: {"name": "net0"}})
    config["linux"]["sysctl"] = {"net.ipv4.conf.net0.forwarding": "1"}
    assert box.shell("cat /proc/sys/net/ipv4/conf/net0/forwarding", config) == "1\n"


def assert_back(pair: Pair, up: bool) -> None:
    found = pair.here()
    assert found is not None
    assert set(addresses(found)) == set(GIVEN)
    assert ("UP" in found["flags"]) == up


def test_a_taken_name_is_refused_and_all_comes_back(box: Box, pair: Pair, other: Pair, space: Space) -> None:
    ip("link", "set", pair.name, "up")
    ip("link", "add", "net0", "type", "veth", "peer", "name", "net1", pid=space.pid)
    config = config_with({pair.name: {"name": "moved"}, other.name: {"name": "net0"}}, space.path)
    before = box.snapshot()
    sentence = one_sentence(box.create(config).expect(1))
    assert f"/linux/netDevices/{other.name}: " in sentence
    assert sentence.endswith("file exists")
    before.assert_unchanged()
    assert_back(pair, True)
    found = other.here()
    assert found is not None
    assert "UP" not in found["flags"]
    assert set(interfaces(space.pid)) == {"lo", "net0", "net1"}


@pytest.mark.parametrize("up", [False, True])
def test_a_failing_hook_brings_the_device_back(box: Box, pair: Pair, up: bool) -> None:
    if up:
        ip("link", "set", pair.name, "up")
    config = with_hook(config_with({pair.name: {"name": "net%d"}}), "createRuntime", "/bin/false")
    assert "/hooks/createRuntime/0" in one_sentence(box.create(config).expect(1))
    assert_back(pair, up)


@pytest.mark.parametrize("pointer", ["mount", "program"])
def test_what_fails_inside_brings_the_device_back(box: Box, pair: Pair, pointer: str) -> None:
    config = with_args(config_with({pair.name: {"name": "net0"}}), "/bin/nosuchprogram")
    if pointer == "mount":
        config["mounts"].append({"destination": "/x", "type": "nosuchfs", "source": "x"})
    box.run(config).expect(1)
    assert_back(pair, False)


def test_a_killed_create_is_undone_by_delete(box: Box, pair: Pair, space: Space) -> None:
    ready = box.shared / "ready"
    config = with_hook(config_with({pair.name: {"name": "net0"}}, space.path), "createRuntime", "/bin/sh",
                       "-c", f"echo > {ready}; exec sleep 1000")  # fmt: skip
    argv = [str(box.runtime.path), "--root", str(box.runtime.root), "create", "-b", str(box.write(config)), box.ident]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        wait_for(ready.exists, what="the hook")
        assert pair.here() is None
        process.kill()
    record = json.loads((box.runtime.root / box.ident / "state.json").read_text())
    assert record["netDevices"][0]["at"]
    box.runtime.delete(box.ident, force=True).ok()
    assert_back(pair, False)
    assert set(interfaces(space.pid)) == {"lo"}


def test_delete_leaves_the_device_where_it_is(box: Box, pair: Pair, space: Space) -> None:
    """The runtime MUST NOT move interfaces out of the namespace."""
    box.run(config_with({pair.name: {"name": "net0"}}, space.path)).ok()
    assert pair.here() is None
    assert set(GIVEN) == set(addresses(interfaces(space.pid)["net0"]))


def test_a_missing_device(box: Box) -> None:
    need(veth)
    before = box.snapshot()
    sentence = one_sentence(box.create(config_with({"nd-missing": {}})).expect(1))
    assert sentence.startswith(f"create {box.ident}: /linux/netDevices/nd-missing: look for the network device")
    assert sentence.endswith("no such device")
    before.assert_unchanged()


def test_a_device_that_cannot_move(box: Box) -> None:
    """The kernel keeps lo where it is, and newer ones say so."""
    sentence = one_sentence(box.create(config_with({"lo": {"name": "lo1"}})).expect(1))
    assert "/linux/netDevices/lo: move the network device lo in as lo1" in sentence
    assert sentence.endswith("RTM_SETLINK: invalid argument")


def test_the_network_namespace_has_to_be_another_one(box: Box, pair: Pair) -> None:
    config = without_namespace(config_with({pair.name: {}}), "network")
    assert "/linux/netDevices: netDevices need a network namespace" in one_sentence(box.create(config).expect(1))
    config = config_with({pair.name: {}}, f"/proc/{os.getpid()}/ns/net")
    assert "is the runtime's own" in one_sentence(box.create(config).expect(1))
    assert_back(pair, False)


def test_root_of_a_user_namespace_cannot_take_the_hosts_devices(box: Box, pair: Pair) -> None:
    need(user_namespace)
    bundle = box.write(with_user_namespace(config_with({pair.name: {}}), 0, 1))
    own = [find_program("unshare") or "unshare", "--user", "--map-root-user"]
    argv = [*own, str(box.runtime.path), "--root", str(box.directory / "r"), "create", "-b", str(bundle), box.ident]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert f"/linux/netDevices/{pair.name}: look for the network device" in done.stderr
    assert "setns: operation not permitted" in done.stderr
    assert not (box.directory / "r" / box.ident).exists()
    assert_back(pair, False)


def test_without_the_capability_it_is_refused(box: Box, pair: Pair) -> None:
    wrapper = box.directory / "plain"
    drop = f"{find_program('setpriv')} --bounding-set=-net_admin --inh-caps=-net_admin"
    wrapper.write_text(f'#!/bin/sh\nexec {drop} {box.runtime.path} "$@"\n')
    wrapper.chmod(0o755)
    box.runtime.path = wrapper
    sentence = one_sentence(box.create(config_with({pair.name: {}})).expect(1))
    assert sentence.endswith("needs CAP_NET_ADMIN and CAP_SYS_ADMIN on the host: operation not permitted")
    assert_back(pair, False)


def test_without_devices_nothing_moves(box: Box, pair: Pair) -> None:
    assert set(inside(box, with_shell(config_with({}), "true"))) == {"lo"}
    assert_back(pair, False)
