"""Being told when a process of a container is killed because there is no memory left.

    v1   an eventfd that cgroup.event_control ties to memory.oom_control
    v2   POLLPRI on memory.events

Both only say that it is time to look: the kernel also signals when nothing is killed in the end, or somebody else, and
the removal of a cgroup v1. What counts is `oom_kill` in the same file, which is counted before the process dies: a look
after the end of the first process finds all of them, as long as the cgroup is there. v1 signals before the kill, so the
file is read again for a short while. See cgroup-v1/memory.rst (9. and 10.) and cgroup-v2.rst.
"""

from __future__ import annotations

import os
import select
import time

from ocirun.errors import failure
from ocirun.linux.cgroup import groupfs, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Record = dict[str, Any]

_SIZE: Final = 4096
_UNMEASURED: Final = (groupfs.ENOENT, groupfs.ENODEV)
_AGAIN_SECONDS: Final = 1.0
_STEP_SECONDS: Final = 0.005


class Watch:
    """One container's. Poll `fd` for `mask`, at most `patience` seconds, then call `take`; close it when `ended`.

    With the OOM killer disabled (v1) nothing is killed: then each signal is an event, since the container waits for
    memory.
    """

    __slots__ = ("_again", "_counts", "_event", "_told", "ended", "mask")

    def __init__(self, counts: int, event: int) -> None:
        """counts: the open file that counts the kills; event: the eventfd of v1, or -1."""
        self._counts = counts
        self._event = event
        self._again = 0.0
        self._told = 0
        self.mask = select.POLLPRI if event < 0 else select.POLLIN
        self.ended = False
        self.take()

    @property
    def fd(self) -> int:
        """What becomes ready."""
        return self._counts if self._event < 0 else self._event

    def patience(self, seconds: float) -> float:
        """How long to wait at most, when `seconds` is what the caller would."""
        return min(seconds, _STEP_SECONDS) if time.monotonic() < self._again else seconds

    def take(self) -> int:
        """How many there were since the last call; with a cgroup that is gone there is nothing more to come."""
        signals = self._signals()
        try:
            lines = [line.split() for line in os.pread(self._counts, _SIZE, 0).splitlines()]
        except OSError:
            self.ended = True
            return 0
        found = {line[0]: int(line[1]) for line in lines}
        kills = found.get(b"oom_kill", 0)
        due = kills - self._told
        self._told = kills
        if signals and found.get(b"oom_kill_disable"):
            return due + signals
        if signals:
            self._again = time.monotonic() + _AGAIN_SECONDS
        return due

    def close(self) -> None:
        """The kernel forgets a closed eventfd."""
        for fd in (self._event, self._counts):
            if fd >= 0:
                os.close(fd)

    def _signals(self) -> int:
        try:
            return os.eventfd_read(self._event) if self._event >= 0 else 0
        except BlockingIOError:
            return 0


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
    return Watch(counts, event)
