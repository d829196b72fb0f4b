"""linux.netDevices: interfaces of the host that move into the container's network namespace (config-linux.md, Network
Devices).

`plan` gives two lists: `look`, before anything is made, finds each interface and remembers its addresses; `move`, once
the container's process exists, hands it over. A move sets an interface down and drops its addresses, so the permanent
ones of global scope, of any family, are added again, and it is set up, as the text wants it whatever it was before.

The interface travels under a name that nobody else has and is renamed on arrival. So it is found there whatever the
kernel makes of a template (``eth%d``), and a name that is taken is refused by one call that changes nothing else.

Only a `create` that fails brings interfaces back, with addresses and state, without routes. What happens to those of
a finished container is the kernel's business: the text forbids the runtime to move them out.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure, words
from ocirun.kernel import netlink, process, raw
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts
    from ocirun.kernel.netlink import Address, Attributes, Route
    from ocirun.parent import Host

    Record = dict[str, Any]

POINTER: Final = "/linux/netDevices"
CAP_NET_ADMIN: Final = 12
_EPERM: Final = 1
_ENODEV: Final = 19
_EEXIST: Final = 17
_KEPT: Final = (
    netlink.IFA_ADDRESS, netlink.IFA_LOCAL, netlink.IFA_LABEL, netlink.IFA_BROADCAST, netlink.IFA_CACHEINFO,
    netlink.IFA_FLAGS, netlink.IFA_RT_PRIORITY, netlink.IFA_PROTO,
)  # fmt: skip
"""What describes an address; the rest of the dump (statistics, ids of namespaces) is the kernel's."""


class Device:
    """One entry of netDevices; `look` fills in the last three.

    name:      on the host.
    wanted:    in the container, perhaps with ``%d`` for a number of the kernel's choice.
    index:     on the host.
    up:        whether it was up there.
    addresses: hexadecimal `Address.body`s, in the order in which they have to be added.
    """

    __slots__ = ("addresses", "index", "name", "up", "wanted")

    def __init__(self, name: str, wanted: str) -> None:
        self.name = name
        self.wanted = wanted
        self.index = 0
        self.up = False
        self.addresses: list[str] = []


def plan(
    config: dict[str, Any], private: bool, joined: OutsideStep | None, facts: Facts
) -> tuple[list[OutsideStep], list[OutsideStep]]:
    """(`look` steps for before the clone, `move` steps for after it).

    private: whether the container has a network namespace of its own; joined: the step that opens it, if by path.
    """
    entries: dict[str, dict[str, Any]] = config["linux"]["netDevices"]
    if not private:
        raise Failure("netDevices need a network namespace to move to", where=POINTER)
    if not facts.effective >> CAP_NET_ADMIN & 1 or not facts.may_mount:
        doing = "moving network devices needs CAP_NET_ADMIN and CAP_SYS_ADMIN on the host"
        raise Failure(doing, where=POINTER, errno=_EPERM)
    looks, moves = [], []
    taken: set[str] = set()
    for name, entry in entries.items():
        pointer = f"{POINTER}/{name.replace('~', '~0').replace('/', '~1')}"
        wanted = entry.get("name") or name
        _check_name(name, pointer, False)
        if wanted != name:
            _check_name(wanted, f"{pointer}/name", True)
        if wanted in taken and "%" not in wanted:
            raise Failure(f"two network devices are to be called {wanted}", where=pointer)
        taken.add(wanted)
        device = Device(name, wanted)
        looks.append(OutsideStep(look, pointer, f"look for the network device {name}", device, joined))
        moves.append(OutsideStep(move, pointer, f"move the network device {name} in as {wanted}", device, joined))
    return looks, moves


def _check_name(name: str, pointer: str, template: bool) -> None:
    """The kernel's rule (dev_valid_name), which otherwise would only be found out when other devices have moved."""
    size = len(os.fsencode(name))
    bad = not 0 < size < netlink.IFNAMSIZ or name in (".", "..") or any(one in "/:" or one.isspace() for one in name)
    if template and "%" in name:
        bad = bad or name.count("%") != 1 or "%d" not in name
    if bad:
        raise Failure(f"{name!r} cannot be the name of a network device", where=pointer)


def look(step: OutsideStep, host: Host) -> None:
    """Find the interface and note what has to be kept. Nothing is changed."""
    device, joined = step.args
    own = os.open("self/ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=host.proc)
    here = netlink.Route()
    try:
        if joined is not None and os.fstat(joined.fd).st_ino == os.fstat(own).st_ino:
            raise Failure("the network namespace to move to is the runtime's own", where=step.pointer)
        # Root of a user namespace could go to the container's network namespace and not come back: asked while here.
        process.setns(own, process.CLONE_NEWNET)
        found = here.find(device.name)
        if found is None:
            raise raw.KernelError(_ENODEV, "RTM_GETLINK")
        device.index, device.up = found.index, bool(found.flags & netlink.IFF_UP)
        kept = [_body(each) for each in here.addresses(found.index) if _travels(each)]
    finally:
        here.close()
        os.close(own)
    # IPv6 lists the newest address first, IPv4 the oldest, and the first IPv4 address of a network is its primary one.
    old = [each for each in kept if each[0] != netlink.AF_INET6]
    new = [each for each in kept if each[0] == netlink.AF_INET6]
    device.addresses = [each.hex() for each in (*old, *reversed(new))]


def _travels(address: Address) -> bool:
    """IFA_F_PERMANENT and RT_SCOPE_UNIVERSE: what config-linux.md wants to be preserved."""
    return address.scope == netlink.RT_SCOPE_UNIVERSE and bool(address.flags & netlink.IFA_F_PERMANENT)


def _body(address: Address) -> bytes:
    return address.body(address.index, [(kind, value) for kind, value in address.attributes if kind in _KEPT])


def move(step: OutsideStep, host: Host) -> None:
    """Record, move, rename, add the addresses, set up. `step.fd` keeps the namespace until the runtime ends.

    SECURITY: the namespace is opened while its process waits: a failed one would take the interface with it.
    """
    device, joined = step.args
    if joined is None:
        step.fd = os.open(f"{host.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=host.proc)
    else:
        step.fd = os.dup(joined.fd)
    own = os.open("self/ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=host.proc)
    here = netlink.Route()
    there = netlink.Route.inside(step.fd, own)
    try:
        if "%" not in device.wanted and there.find(device.wanted) is not None:
            raise raw.KernelError(_EEXIST, "RTM_GETLINK", f"{device.wanted} in the container's network namespace")
        note = _note(device, step.fd, joined)
        host.record.setdefault("netDevices", []).append(note)
        host.save()  # before it is moved: `delete --force` brings back what a killed `create` has moved
        here.change(device.index, note["travels"], step.fd)
        arrived = there.find(note["travels"])
        if arrived is None:
            raise raw.KernelError(_ENODEV, "RTM_GETLINK", note["travels"])
        note["at"] = arrived.index
        host.save()  # before it is renamed: what the kernel makes of a template is not known before
        there.change(arrived.index, device.wanted)
        renamed = there.find(index=arrived.index)
        _settle(there, arrived.index, note, renamed.name if renamed else device.wanted, True)
    finally:
        there.close()
        here.close()
        os.close(own)


def _note(device: Device, space: int, joined: OutsideStep | None) -> Record:
    """What `undo` needs. at: its index in the container, 0 until it is there; path: "" for a new namespace."""
    return {
        "name": device.name,
        "index": device.index,
        "up": device.up,
        "addresses": device.addresses,
        "travels": f"oci{os.getpid():x}.{device.index:x}"[: netlink.IFNAMSIZ - 1],
        "at": 0,
        "path": joined.args[1] if joined is not None else "",
        "inode": os.fstat(space).st_ino,
    }


def _settle(route: Route, index: int, note: Record, name: str, up: bool) -> None:
    """Give the interface, now called `name`, its addresses and set it up: addresses first, so that none is missing."""
    for text in note["addresses"]:
        address = netlink.Address(bytes.fromhex(text))
        route.add(address.body(index, _relabelled(address.attributes, note["name"], name)))
    if up:
        route.change(index, up=True)


def _relabelled(attributes: Attributes, old: str, new: str) -> Attributes:
    """IFA_LABEL follows the interface's name: ``eth0:web`` becomes ``net1:web``; one that gets too long is cut."""
    found = []
    for kind, value in attributes:
        if kind == netlink.IFA_LABEL:
            label = os.fsdecode(value.rstrip(b"\0"))
            if label == old or label.startswith(f"{old}:"):
                label = new + label[len(old) :]
            value = os.fsencode(label)[: netlink.IFNAMSIZ - 1] + b"\0"  # noqa: PLW2901
        found.append((kind, value))
    return found


def held(steps: list[OutsideStep]) -> int:
    """The container's network namespace as a `move` has opened it; -1 when none was begun."""
    return next((step.fd for step in steps if step.do is move and step.fd >= 0), -1)


def undo(notes: list[Record], space: int) -> list[str]:
    """Bring back what is recorded, last first; returns what could not be done. Idempotent.

    space: the container's network namespace, or -1 to open it by its path. A namespace that is gone has taken its
    virtual interfaces with it and given the physical ones back.
    """
    problems = []
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for note in reversed(notes):
            try:
                _bring_back(note, space, own)
            except OSError as problem:
                call = getattr(problem, "call", "")
                said = f"{call}: {words(problem.errno or 0)}" if call else words(problem.errno or 0)
                problems.append(f"move the network device {note['name']} back to the host: {said}")
    finally:
        os.close(own)
    return problems


def _bring_back(note: Record, space: int, own: int) -> None:
    here = netlink.Route()
    opened = -1
    try:
        found = here.find(note["name"])
        if found is not None and found.index == note["index"]:
            return  # it had not moved, or has come back
        if space < 0:
            space = opened = _open(note)
        if space < 0:
            return
        there = netlink.Route.inside(space, own)
        try:
            found = there.find(note["travels"])
            if found is None and note["at"]:
                found = there.find(index=note["at"])
            if found is None:
                return
            there.change(found.index, note["name"], own)
        finally:
            there.close()
        back = here.find(note["name"])
        if back is None:
            raise raw.KernelError(_ENODEV, "RTM_GETLINK")
        _settle(here, back.index, note, note["name"], note["up"])
    finally:
        here.close()
        if opened >= 0:
            os.close(opened)


def _open(note: Record) -> int:
    """The namespace that was joined by path, if it is still that one; -1 otherwise."""
    if not note["path"]:
        return -1
    try:
        fd = os.open(note["path"], os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    if os.fstat(fd).st_ino != note["inode"]:
        os.close(fd)
        return -1
    return fd
