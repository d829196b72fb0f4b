"""Network devices: what is planned and refused without root, and the framing of rtnetlink messages."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import destroy, state
from ocirun.errors import Failure
from ocirun.kernel import netlink
from ocirun.kernel.raw import KernelError
from ocirun.linux import netdevices

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.facts import Facts
    from ocirun.plan import Plan

ETH0 = b"\x08\0\x03\0eth0"


def with_devices(config: dict[str, Any], **devices: dict[str, str]) -> dict[str, Any]:
    config["linux"]["netDevices"] = devices
    return config


def test_the_host_is_looked_at_first_and_changed_last(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    plan = composed(with_devices(config, eth1={"name": "net0"}, eth2={}))
    looks = [step for step in plan.outside if step.room == "netdevices"]
    moves = [step for step in plan.adopt if step.room == "netdevices"]
    assert [step.deed for step in (*looks, *moves)] == ["look", "look", "move", "move"]
    assert plan.adopt[-2:] == moves
    rooms = [step.room for step in plan.outside]
    assert rooms.index("netdevices") < rooms.index("cgroup")
    assert [step.pointer for step in moves] == ["/linux/netDevices/eth1", "/linux/netDevices/eth2"]
    assert [(step.args[0].name, step.args[0].wanted) for step in looks] == [("eth1", "net0"), ("eth2", "eth2")]
    assert looks[0].args[0] is moves[0].args[0]


def test_a_joined_namespace_is_opened_before_it_is_looked_at(
    composed: Callable[..., Plan], config: dict[str, Any]
) -> None:
    config["linux"]["namespaces"][1]["path"] = "/run/netns/x"
    plan = composed(with_devices(config, eth1={}))
    assert [step.deed for step in plan.outside[:2]] == ["open_path", "look"]
    assert plan.outside[1].args[1] is plan.outside[0]


def test_no_device_no_step(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    plan = composed(with_devices(config))
    assert not [step for step in (*plan.outside, *plan.adopt) if step.room == "netdevices"]


def test_it_takes_a_network_namespace(facts: Facts, config: dict[str, Any]) -> None:
    with pytest.raises(Failure, match="need a network namespace"):
        netdevices.plan(with_devices(config, eth1={}), False, None, facts)


def test_it_takes_privileges(facts: Facts, config: dict[str, Any]) -> None:
    for missing in (1 << netdevices.CAP_NET_ADMIN, 1 << 21):
        facts._effective = ~missing & (1 << 41) - 1
        with pytest.raises(Failure) as caught:
            netdevices.plan(with_devices(config, eth1={}), True, None, facts)
        assert str(caught.value).startswith("/linux/netDevices: moving network devices needs CAP_NET_ADMIN")
        assert caught.value.errno == errno.EPERM


@pytest.mark.parametrize("name", ["x" * 16, "a/b", "a b", "a:b", ".", "..", "%", "a%s", "%d%d", "é" * 8, "a\n"])
def test_names_that_no_device_can_have(facts: Facts, config: dict[str, Any], name: str) -> None:
    with pytest.raises(Failure) as caught:
        netdevices.plan(with_devices(config, eth1={"name": name}), True, None, facts)
    assert caught.value.where == "/linux/netDevices/eth1/name"
    assert "cannot be the name" in caught.value.doing


@pytest.mark.parametrize("name", ["x" * 15, "net%d", "é" * 7, "a.b-c_d"])
def test_names_that_a_device_can_have(facts: Facts, config: dict[str, Any], name: str) -> None:
    looks, moves = netdevices.plan(with_devices(config, eth1={"name": name}), True, None, facts)
    assert len(looks) == len(moves) == 1


def test_the_key_is_no_template_and_its_pointer_is_escaped(facts: Facts, config: dict[str, Any]) -> None:
    with pytest.raises(Failure) as caught:
        netdevices.plan(with_devices(config, **{"a/~": {}}), True, None, facts)
    assert caught.value.where == "/linux/netDevices/a~1~0"


def test_two_devices_cannot_have_one_name(facts: Facts, config: dict[str, Any]) -> None:
    with pytest.raises(Failure, match="two network devices are to be called eth2"):
        netdevices.plan(with_devices(config, eth1={"name": "eth2"}, eth2={}), True, None, facts)
    both = with_devices(config, eth1={"name": "net%d"}, eth2={"name": "net%d"})
    assert len(netdevices.plan(both, True, None, facts)[0]) == 2


def test_an_attribute_is_padded_and_says_its_own_length() -> None:
    assert netlink.attribute(3, b"eth0") == ETH0
    assert netlink.attribute(3, b"eth0\0") == b"\x09\0\x03\0eth0\0\0\0\0"
    assert netlink.attributes(netlink.attribute(3, b"eth0\0") + netlink.attribute(28, b"1234")) == [
        (3, b"eth0\0"),
        (28, b"1234"),
    ]


def test_an_attribute_that_outgrows_its_length_field_is_refused() -> None:
    """CVE-2021-43784: with a length that wraps, the rest of the value would be read as attributes."""
    longest = netlink.attribute(3, bytes(65531))
    assert longest[:2] == b"\xff\xff"
    with pytest.raises(KernelError) as caught:
        netlink.attribute(3, bytes(65532))
    assert caught.value.errno == errno.EMSGSIZE


@pytest.mark.parametrize("data", [b"\x03\0\x03\0", b"\x09\0\x03\0eth0", b"\xff\xff\x03\0eth0", ETH0 + b"\0\0\0\0"])
def test_attributes_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(KernelError) as caught:
        netlink.attributes(data)
    assert caught.value.errno == errno.EBADMSG


def message(kind: int, body: bytes, flags: int = 0, number: int = 1) -> bytes:
    size = 16 + len(body)
    head = size.to_bytes(4, "little") + kind.to_bytes(2, "little") + flags.to_bytes(2, "little")
    return head + number.to_bytes(4, "little") + bytes(4) + body + bytes(-size % 4)


def test_messages_are_taken_apart() -> None:
    data = message(16, b"abcde", 2, 7) + message(3, bytes(4))
    assert list(netlink.messages(data)) == [(16, 2, 7, b"abcde"), (3, 0, 1, bytes(4))]


@pytest.mark.parametrize("size", [0, 15, 21, 1 << 31, (1 << 32) - 1])
def test_messages_that_do_not_fit_are_refused(size: int) -> None:
    data = size.to_bytes(4, "little") + message(16, b"abcd")[4:]
    with pytest.raises(KernelError) as caught:
        list(netlink.messages(data))
    assert caught.value.errno == errno.EBADMSG


def test_a_verdict_has_the_kernels_words() -> None:
    minus = (-22).to_bytes(4, "little", signed=True)
    words = netlink.attribute(1, b"no way\0")
    request = message(19, b"abcdefgh")
    assert netlink.verdict(minus + request, 0) == (22, "")
    assert netlink.verdict(minus + request + words, 0x200) == (22, "no way")
    assert netlink.verdict(minus + request[:16] + words, 0x300) == (22, "no way")
    assert netlink.verdict(bytes(4) + request[:16], 0x100) == (0, "")
    with pytest.raises(KernelError):
        netlink.verdict(minus, 0)


def test_short_bodies_are_refused() -> None:
    for parse in (netlink.interface, netlink.Address):
        with pytest.raises(KernelError):
            parse(bytes(7))


def test_an_address_survives_the_record() -> None:
    body = bytes((2, 24, 0x80, 0)) + (5).to_bytes(4, "little") + netlink.attribute(1, b"\xc0\0\2\1")
    body += netlink.attribute(netlink.IFA_FLAGS, (0x280).to_bytes(4, "little"))
    address = netlink.Address(body)
    assert (address.family, address.prefix, address.flags, address.scope, address.index) == (2, 24, 0x280, 0, 5)
    assert address.body(9, address.attributes) == body[:4] + (9).to_bytes(4, "little") + body[8:]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("eth0", "net1"),
        ("eth0:web", "net1:web"),
        ("eth0web", "eth0web"),
        ("other", "other"),
        ("eth0:0123456789", "net1:0123456789"),
        ("eth0:01234567890", "net1:0123456789"),
    ],
)
def test_labels_follow_the_name(label: str, expected: str) -> None:
    found = netdevices._relabelled([(3, label.encode() + b"\0"), (1, b"abcd")], "eth0", "net1")
    assert found == [(3, expected.encode() + b"\0"), (1, b"abcd")]


@pytest.mark.parametrize("phase", [state.CREATING, state.CREATED, state.RUNNING])
def test_delete_brings_back_only_what_a_killed_create_has_moved(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    asked: list[tuple[object, int]] = []

    def undo(notes: object, space: int) -> list[str]:
        asked.append((notes, space))
        return ["said"]

    monkeypatch.setattr(netdevices, "undo", undo)
    entry = state.Entry("box", "/nowhere", -1)
    entry.record = {"id": "box", "phase": phase, "netDevices": [{"name": "eth1"}]}
    assert destroy.release(entry) == (["said"] if phase == state.CREATING else [])
    assert asked == ([([{"name": "eth1"}], -1)] if phase == state.CREATING else [])
