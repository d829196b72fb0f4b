"""The processes of a container's cgroups: who they are, and killing them."""

from __future__ import annotations

import os
import select
import time

from ocirun.errors import Failure, failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.linux.cgroup import freezer, groupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Record = dict[str, Any]

SIGKILL: Final = 9
_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 0.001
_TELLING: Final = ("freezer", "pids", "unified", "name=systemd", "memory", "cpu")
"""The hierarchy whose processes are the container's, the first that there is: the one that can hold them still."""


def directory(record: Record) -> str:
    """The cgroup that tells the container's processes; empty when only its unit is known yet."""
    paths: dict[str, str] = record["paths"]
    return next((paths[name] for name in _TELLING if name in paths), next(iter(paths.values()), ""))


def pids(record: Record) -> list[int]:
    """All processes of the container, those of sub-cgroups too; none when the cgroup is gone."""
    path = directory(record)
    return groupfs.all_processes(path) if path else []


def kill_all(record: Record, signal: int) -> None:
    """Send `signal` to every process of the container; SIGKILL comes back when none of them is left, or after 10 s.

    One write does it for SIGKILL in a cgroup2; otherwise the processes are held still meanwhile, so that none can
    fork away and no process id can be used again. The runtime itself is never sent a signal.
    """
    if signal != SIGKILL:
        _signal_still(record, signal)
        return
    reached = _kill_unified(record["paths"].get("unified", ""))
    if freezer.is_frozen(record):
        freezer.thaw(record)  # a frozen process of v1 dies only when it is thawed
    deadline = time.monotonic() + _SECONDS
    while left := [pid for pid in pids(record) if pid != os.getpid()]:
        held = _hold(left)
        if not reached.issuperset(left):
            _signal_still(record, SIGKILL)
        ended = _await_end(held, deadline)
        for fd in held:
            os.close(fd)
        if not ended or time.monotonic() > deadline:
            return


def _kill_unified(path: str) -> frozenset[int]:
    """cgroup.kill: the processes that it reached; none without that file (before Linux 5.14) or without the cgroup."""
    if not path:
        return frozenset()
    found = groupfs.all_processes(path)
    if not found or os.getpid() in found:
        return frozenset()
    try:
        groupfs.write(f"{path}/cgroup.kill", b"1")
    except OSError:
        return frozenset()
    return frozenset(found)


def _signal_still(record: Record, signal: int) -> None:
    still = os.getpid() not in pids(record) and _try_freeze(record)
    try:
        for pid in pids(record):
            if pid != os.getpid():
                _signal(pid, signal)
    finally:
        if still:
            freezer.thaw(record)


def _try_freeze(record: Record) -> bool:
    """Whether it was frozen now: what was frozen before stays so, and without a freezer it goes on."""
    if freezer.is_frozen(record):
        return False
    try:
        freezer.freeze(record)
    except Failure:
        return False
    return True


def _signal(pid: int, signal: int) -> None:
    try:
        os.kill(pid, signal)
    except ProcessLookupError:
        return
    except OSError as problem:
        raise failure(f"send signal {signal} to process {pid}", problem) from None


def _hold(found: list[int]) -> list[int]:
    held = []
    for pid in found:
        try:
            held.append(kernel.pidfd_open(pid))
        except raw.KernelError:
            continue
    return held


def _await_end(held: list[int], deadline: float) -> bool:
    """Whether all processes ended in time; a pidfd is readable when its process has."""
    for pidfd in held:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return False
    if not held:
        select.select([], [], [], _STEP_SECONDS)  # they are listed and have no pidfd: about to be gone
    return True
