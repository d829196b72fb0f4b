"""rtnetlink with the real kernel, compared with what iproute2 says."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from support.facility import need
from support.network import Pair, Space, addresses, interfaces, ip, veth

from ocirun.kernel.netlink import IFF_UP, Route
from ocirun.kernel.raw import KernelError
from ocirun.linux import netdevices

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kernel, pytest.mark.privileged]


@pytest.fixture
def pair() -> Iterator[Pair]:
    need(veth)
    made = Pair("nl", ("192.0.2.1/24", "2001:db8::1/64"))
    yield made
    made.remove()


@pytest.fixture
def space() -> Iterator[Space]:
    need(veth)
    made = Space()
    yield made
    made.close()


@pytest.fixture
def here() -> Iterator[Route]:
    route = Route()
    yield route
    route.close()


def opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def test_an_interface_is_found_by_name_and_by_index(here: Route, pair: Pair) -> None:
    by_name = here.find(pair.name)
    assert by_name is not None
    assert by_name.index == interfaces()[pair.name]["ifindex"]
    by_index = here.find(index=by_name.index)
    assert by_index is not None
    assert by_index.name == pair.name
    assert not by_index.flags & IFF_UP
    assert here.find("no-such-device") is None


def test_addresses_are_those_of_one_interface(here: Route, pair: Pair) -> None:
    found = here.find(pair.name)
    assert found is not None
    listed = here.addresses(found.index)
    assert sorted((each.family, each.prefix) for each in listed) == [(2, 24), (10, 64)]
    assert all(netdevices._travels(each) for each in listed)


def test_a_refusal_has_the_kernels_errno(here: Route, pair: Pair) -> None:
    found = here.find(pair.name)
    assert found is not None
    with pytest.raises(KernelError) as caught:
        here.change(found.index, "lo")
    assert (caught.value.errno, caught.value.call) == (errno.EEXIST, "RTM_SETLINK")
    listed = here.addresses(found.index)
    with pytest.raises(KernelError) as caught:
        here.add(listed[0].body(found.index, listed[0].attributes))
    assert caught.value.errno == errno.EEXIST


def test_a_refusal_has_the_kernels_words(here: Route, pair: Pair) -> None:
    """The sentence of `ip`, which prints the same extended acknowledgement."""
    found = here.find(pair.name)
    assert found is not None
    body = bytes((2, 24, 0, 200)) + found.index.to_bytes(4, "little")
    with pytest.raises(KernelError) as caught:
        here.add(body)
    assert caught.value.errno == errno.EINVAL
    assert "address" in caught.value.detail.lower()


def test_a_socket_stays_in_its_namespace(pair: Pair, space: Space) -> None:
    own, there = opened("/proc/self/ns/net"), opened(space.path)
    before = os.fstat(own).st_ino
    route = Route.inside(there, own)
    try:
        assert os.stat("/proc/self/ns/net").st_ino == before
        assert route.find("lo") is not None
        assert route.find(pair.name) is None
    finally:
        route.close()
        os.close(own)
        os.close(there)


def note(pair: Pair, space: Space, travels: str) -> dict[str, object]:
    found = interfaces()[pair.name]
    route = Route()
    kept = [netdevices._body(each).hex() for each in route.addresses(found["ifindex"])]
    route.close()
    return {
        "name": pair.name, "index": found["ifindex"], "up": True, "addresses": kept, "travels": travels, "at": 0,
        "path": space.path, "inode": os.stat(space.path).st_ino,
    }  # fmt: skip


def arrive(pair: Pair, space: Space, known: dict[str, object], name: str) -> None:
    """The device is there, under `name`, and the record says so if that is not the name under which it travels."""
    ip("link", "set", pair.name, "netns", str(space.pid), "name", name)
    if name != known["travels"]:
        known["at"] = interfaces(space.pid)[name]["ifindex"]


@pytest.mark.parametrize("by_path", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
def test_undo_finds_the_device_on_its_way_and_arrived(pair: Pair, space: Space, renamed: bool, by_path: bool) -> None:
    known = note(pair, space, "oci1.1")
    arrive(pair, space, known, "net0" if renamed else "oci1.1")
    there = -1 if by_path else opened(space.path)
    for _ in range(2):
        assert netdevices.undo([known], there) == []
        found = pair.here()
        assert found is not None
        assert addresses(found) == ["192.0.2.1/24", "2001:db8::1/64"]
        assert "UP" in found["flags"]
    assert set(interfaces(space.pid)) == {"lo"}
    if there >= 0:
        os.close(there)


def test_undo_of_what_had_not_moved_changes_nothing(pair: Pair, space: Space) -> None:
    known = note(pair, space, "oci1.1")
    assert netdevices.undo([known], -1) == []
    found = pair.here()
    assert found is not None
    assert "UP" not in found["flags"]


def test_undo_leaves_other_namespaces_alone(pair: Pair, space: Space) -> None:
    known = note(pair, space, "oci1.1")
    arrive(pair, space, known, "net0")
    assert netdevices.undo([{**known, "inode": 1}], -1) == []
    assert netdevices.undo([{**known, "path": "/proc/0/ns/net"}], -1) == []
    assert netdevices.undo([{**known, "path": ""}], -1) == []
    assert "net0" in interfaces(space.pid)


def test_undo_says_what_it_could_not_do(pair: Pair, space: Space) -> None:
    """Another interface has the name meanwhile."""
    known = note(pair, space, "oci1.1")
    arrive(pair, space, known, "net0")
    ip("link", "add", pair.name, "type", "veth", "peer", "name", f"{pair.name}q")
    try:
        (problem,) = netdevices.undo([known], -1)
        assert problem == f"move the network device {pair.name} back to the host: RTM_SETLINK: file exists"
    finally:
        ip("link", "delete", pair.name)
