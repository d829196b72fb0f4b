"""The processes of a container's cgroups: who they are, killing them, and putting another one in."""

from __future__ import annotations

import os
import select
import time

from ocirun.errors import Failure, failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.linux.cgroup import freezer, groupfs, v1, v2

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
    """The cgroup that tells the container's processes."""
    paths: dict[str, str] = record["paths"]
    return next((paths[name] for name in _TELLING if name in paths), next(iter(paths.values())))


def pids(record: Record) -> list[int]:
    """All processes of the container, those of sub-cgroups too; none when the cgroup is gone."""
    return groupfs.all_processes(directory(record))


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


def _checked(subs: tuple[str, ...]) -> tuple[str, ...]:
    for sub in subs:
        if ".." in sub.rpartition(":")[2].split("/"):
            raise Failure(f"the path {sub} contains ..", where="--cgroup")
    return tuple(sub for sub in subs if sub)


def join(record: Record, pid: int, *subs: str) -> None:
    """Move a process into the container's cgroups; `subs` are ``[CONTROLLER[,CONTROLLER]:]PATH`` below them."""
    unified = record["paths"].get("unified")
    if record["driver"] == "v2":
        goals = [v2.entrance(record, _checked(subs))]
    else:
        goals = list(dict.fromkeys(v1.destinations(record, _checked(subs)).values()))
    for path in goals:
        if (path == unified or record["driver"] == "v2") and pid in groupfs.processes(path):
            continue  # born there
        try:
            groupfs.write(f"{path}/cgroup.procs", b"%d" % pid)
        except OSError as problem:
            raise failure(f"move process {pid} into the cgroup {path}", problem) from None


def _unified(record: Record, checked: tuple[str, ...]) -> str:
    """The directory of the cgroup2 to enter, empty without one."""
    if record["driver"] == "v2":
        return v2.entrance(record, checked)
    return v1.destinations(record, checked).get("unified", "")


def _can_be_born_in(record: Record, path: str) -> bool:
    """Whether CLONE_INTO_CGROUP is safe: only for a directory that this container made.

    A kernel that counts the writes to cgroup.kill kills a process cloned into a cgroup that has ever seen one (met on
    Linux 6.18); a directory that was there before may have.
    """
    return path in record["made"]


def open_doors(record: Record, *subs: str) -> list[int]:
    """Descriptors by which a process with one thread moves itself: ``tasks`` of v1, and where it is not born, of v2."""
    checked = _checked(subs)
    files = []
    if record["driver"] == "v1":
        goals = v1.destinations(record, checked)
        files = [f"{path}/tasks" for path in dict.fromkeys(path for name, path in goals.items() if name != "unified")]
    unified = _unified(record, checked)
    if unified and not _can_be_born_in(record, unified):
        files.append(f"{unified}/cgroup.procs")
    doors: list[int] = []
    for file in files:
        try:
            doors.append(os.open(file, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as problem:
            for fd in doors:
                os.close(fd)
            raise failure(f"open {file}", problem, where="--cgroup" if checked else "") from None
    return doors


def open_for_clone(record: Record, *subs: str) -> int:
    """A descriptor for CLONE_INTO_CGROUP, or -1 without a cgroup2 and where a door is used instead."""
    checked = _checked(subs)
    path = _unified(record, checked)
    if not path or not _can_be_born_in(record, path):
        return -1
    try:
        return groupfs.open_group(path)
    except OSError as problem:
        raise failure(f"open the cgroup {path}", problem, where="--cgroup" if checked else "") from None
