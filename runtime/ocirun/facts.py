"""What this host can do and what the caller is: asked once, lazily, by probing and never by kernel version."""

from __future__ import annotations

import os

from ocirun.kernel import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.linux.cgroup.hierarchy import Hierarchies

CAP_SYS_ADMIN: Final = 21
_DISTANT: Final = tuple(b" - %s" % kind for kind in (
    b"fuse ", b"fuse.", b"fuseblk ", b"nfs ", b"nfs4 ", b"cifs ", b"smb3 ", b"ceph ", b"9p ",
))  # fmt: skip
"""As mountinfo has them. Not autofs: systemd mounts one on every host (binfmt_misc), and answers."""
_WHOLE_RANGE: Final = [b"0", b"0", b"4294967295"]


class Facts:
    """Each fact is found out when it is first asked for; planners treat it as constant."""

    __slots__ = ("_cgroups", "_effective", "_initial_userns", "_mountinfo", "_resctrl", "euid")

    def __init__(self) -> None:
        self.euid = os.geteuid()
        self._effective: int | None = None
        self._initial_userns: bool | None = None
        self._cgroups: Hierarchies | None = None
        self._mountinfo = b""
        self._resctrl: str | None = None

    @property
    def effective(self) -> int:
        """The runtime's own effective capabilities, as a bit mask."""
        if self._effective is None:
            self._effective = process.capget()[0]
        return self._effective

    @property
    def may_mount(self) -> bool:
        """Whether the runtime may copy mounts in its own mount namespace (CAP_SYS_ADMIN there)."""
        return bool(self.effective >> CAP_SYS_ADMIN & 1)

    @property
    def initial_userns(self) -> bool:
        """Whether the runtime runs in a user namespace that maps every id to itself: only there can it make devices."""
        if self._initial_userns is None:
            fd = os.open("/proc/self/uid_map", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._initial_userns = os.read(fd, 4096).split() == _WHOLE_RANGE
            finally:
                os.close(fd)
        return self._initial_userns

    @property
    def cgroups(self) -> Hierarchies:
        """The mounted cgroup hierarchies and the runtime's own place in them."""
        if self._cgroups is None:
            from ocirun.linux.cgroup.hierarchy import discover

            self._cgroups = discover(self.mountinfo)
        return self._cgroups

    @property
    def mountinfo(self) -> bytes:
        """/proc/self/mountinfo, which takes the longer the more is mounted: read once."""
        if not self._mountinfo:
            from ocirun.kernel import mount

            self._mountinfo = mount.mountinfo()
        return self._mountinfo

    @property
    def distant(self) -> bool:
        """Whether a filesystem is mounted whose answers come from a server, and may not come."""
        return any(kind in self.mountinfo for kind in _DISTANT)

    @property
    def resctrl(self) -> str:
        """Where resctrl is mounted, "" when it is not."""
        if self._resctrl is None:
            from ocirun.linux import intelrdt

            self._resctrl = intelrdt.find()
        return self._resctrl
