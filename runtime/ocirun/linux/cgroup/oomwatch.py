"""Being told when a process of a container is killed because there is no memory left.

    v1   an eventfd that cgroup.event_control ties to memory.oom_control; signalled before the kill
    v2   POLLPRI on memory.events, which the kernel wakes for other events of memory too

The kernel counts the kills (oom_kill in both files) before a process dies, so that a look after the end of the first
process finds all of them, as long as the cgroup is there. See cgroup-v1/memory.rst (9. and 10.) and cgroup-v2.rst.
"""

from __future__ import annotations

import os
import select

from ocirun.errors import failure
from ocirun.linux.cgroup import groupfs, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Record = dict[str, Any]

_SIZE: Final = 4096
_UNMEASURED: Final = (groupfs.ENOENT, groupfs.ENODEV)


class Watch:
    """One container's. Poll `fd` for `mask` and then call `take`; `ended`: there is nothing more to come. Close it.

    A kill is told once, whichever of the two ways it came by: the eventfd does not tell of a kill for want of memory on
    the whole machine, and the count of v1 does not tell of a container that waits with its OOM killer disabled.
    """

    __slots__ = ("_counts", "_first", "_group", "_signals", "_told", "ended", "fd", "mask")

    def __init__(self, group: str, counts: int, event: int) -> None:
        """counts: the open file that counts the kills; event: the eventfd of v1, or -1."""
        self._group = group
        self._counts = counts
        self.fd = counts if event < 0 else event
        self.mask = select.POLLPRI if event < 0 else select.POLLIN
        self.ended = False
        self._signals = 0
        self._told = 0
        self._first = 0
        self._first = self._kills()

    def take(self) -> int:
        """How many there were since the last call."""
        if self.fd != self._counts:
            self._signals += self._signalled()
        due = max(self._signals, self._kills()) - self._told
        self._told += due
        return due

    def close(self) -> None:
        """The kernel forgets a closed eventfd."""
        for fd in {self.fd, self._counts}:
            os.close(fd)

    def _kills(self) -> int:
        """Since the watch began. A cgroup that is gone cannot be asked any more: what is known stays."""
        try:
            lines = os.pread(self._counts, _SIZE, 0).splitlines()
        except OSError:
            self.ended = True
            return self._told
        return sum(int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")) - self._first

    def _signalled(self) -> int:
        """The eventfd's count. Removing the cgroup signals it once too."""
        try:
            count = os.eventfd_read(self.fd)
        except BlockingIOError:
            return 0
        if os.access(self._group, os.F_OK):
            return count
        self.ended = True
        return count - 1


def watch(record: Record) -> Watch | None:
    """Begin now; None when the memory of this container is not measured: no controller, or not on this kernel."""
    paths: dict[str, str] = record["paths"]
    group = paths.get("memory", "")
    v1 = bool(group)
    group = group or paths.get(place.UNIFIED, "")
    if not group:
        return None
    event = counts = -1
    try:
        counts = os.open(f"{group}/{'memory.oom_control' if v1 else 'memory.events'}", os.O_RDONLY | os.O_CLOEXEC)
        if v1:
            event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            groupfs.write(f"{group}/cgroup.event_control", b"%d %d" % (event, counts))
    except OSError as problem:
        for fd in (event, counts):
            if fd >= 0:
                os.close(fd)
        if problem.errno in _UNMEASURED:
            return None
        raise failure(f"ask to be told when the cgroup {group} has no memory left", problem) from None
    return Watch(group, counts, event)
