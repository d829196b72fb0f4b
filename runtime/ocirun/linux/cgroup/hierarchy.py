"""Which cgroup hierarchies are mounted, and where the runtime stands in each: one read of two files in /proc/self.

A mount counts only when its mount point, looked up now, is that very superblock: a cgroup2 mounted over /sys/fs/cgroup
hides the v1 mounts below it, although mountinfo goes on listing them.
"""

from __future__ import annotations

import os

from ocirun.kernel import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

UNIFIED: Final = "unified"
V1: Final = "v1"
HYBRID: Final = "hybrid"
NONE: Final = "none"

SYSTEMD: Final = "name=systemd"
"""The one named v1 hierarchy that containers get a cgroup in."""
_USUAL_PLACE: Final = "/sys/fs/cgroup"


class Hierarchy:
    """One mounted hierarchy.

    controllers: its v1 controllers in mount order; ``("name=systemd",)``; empty for cgroup2.
    mount:       absolute mount point.
    own:         the runtime's own cgroup, absolute as seen from the mount's root (``/`` when it lies outside of it).
    root:        the cgroup that the mount shows at its mount point, mostly ``/``.
    """

    __slots__ = ("controllers", "mount", "own", "root")

    def __init__(self, controllers: tuple[str, ...], mount: str, own: str, root: str = "/") -> None:
        self.controllers = controllers
        self.mount = mount
        self.own = own
        self.root = root


class Hierarchies:
    """What `discover` found: `v1` in mount order, `unified` or None.

    mode: ``unified`` when only cgroup2 is there, ``v1``, ``hybrid`` for both, ``none``.
    """

    __slots__ = ("mode", "unified", "v1")

    def __init__(self, v1: list[Hierarchy], unified: Hierarchy | None) -> None:
        self.v1 = v1
        self.unified = unified
        if v1:
            self.mode = HYBRID if unified else V1
        else:
            self.mode = UNIFIED if unified else NONE


def discover(mountinfo: bytes = b"") -> Hierarchies:
    """Read /proc/self/cgroup, and /proc/self/mountinfo unless it is given, and look at each candidate once."""
    return parse(mountinfo or mount.mountinfo(), _read("/proc/self/cgroup"), _is_mounted)


def parse(mountinfo: bytes, cgroup: bytes, visible: Callable[[str, bytes], bool]) -> Hierarchies:
    """The pure part of `discover`; `visible(point, device)` says whether a listed mount is the one on top there."""
    own = own_cgroups(cgroup)
    found: dict[tuple[str, ...], Hierarchy] = {}
    for line in mountinfo.splitlines():
        if b" - cgroup" not in line:
            continue
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")
        if kind[0] == b"cgroup2":
            controllers: tuple[str, ...] = ()
            place = own.get("")
        else:
            controllers = tuple(name for name in os.fsdecode(kind[-1]).split(",") if name in own)
            place = own[controllers[0]] if controllers else None
        point = _unescape(fields[4])
        if place is None or (controllers in found and not _better(point, found[controllers].mount)):
            continue
        if not visible(point, fields[2]):
            continue
        root = _unescape(fields[3])
        found[controllers] = Hierarchy(controllers, point, below(place, root), root)
    unified = found.pop((), None)
    return Hierarchies(list(found.values()), unified)


def _better(point: str, than: str) -> bool:
    """The usual place wins over a bind mount of the same hierarchy elsewhere."""
    return point.startswith(_USUAL_PLACE) and not than.startswith(_USUAL_PLACE)


def own_cgroups(text: bytes) -> dict[str, str]:
    """Controller (or ``name=systemd``, or "" for cgroup2) to path, from ``id:controllers:path`` lines (cgroups(7))."""
    own = {}
    for line in os.fsdecode(text).splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            own[""] = path
            continue
        for name in controllers.split(","):
            if name == SYSTEMD or not name.startswith("name="):
                own[name] = path
    return own


def below(path: str, root: str) -> str:
    """`path` as seen from a mount whose root directory is `root`."""
    if root == "/":
        return path if not path.startswith("/..") else "/"
    if path == root or path.startswith(root + "/"):
        return path[len(root) :] or "/"
    return "/"


def _unescape(field: bytes) -> str:
    r"""Undo the octal escapes of proc(5): ``\040`` for a space and the like."""
    head, *rest = field.split(b"\\")
    return os.fsdecode(head + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in rest))


def _is_mounted(point: str, device: bytes) -> bool:
    try:
        number = os.stat(point).st_dev
    except OSError:
        return False
    return device == b"%d:%d" % (os.major(number), os.minor(number))


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
