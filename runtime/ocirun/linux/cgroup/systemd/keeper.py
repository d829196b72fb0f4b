"""A process that keeps a scope alive until the container's own is in it.

systemd makes a scope around processes that are there already, and drops it when the last has left. The container's
process shall be born in its cgroup, so another one has to stand there before it: a copy of the runtime that has closed
all its files and sleeps. It dies with the runtime.

Where the memory limit is too low it must not be the one that the kernel kills: with the container's process dead too,
systemd drops the unit, and with it the count that says why.
"""

from __future__ import annotations

import os
import select

from ocirun.kernel import process as kernel
from ocirun.kernel import raw, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def begin() -> int:
    """Clone it; its pid. The caller ends it, or dies."""
    parent = os.getpid()
    pid, pidfd = raw.clone3(0, signals.SIGCHLD, -1)
    if pid == 0:
        _keep(parent)
    raw.checked("clone3", pid, "the process that keeps the unit")
    os.close(pidfd)
    return pid


def _keep(parent: int) -> NoReturn:
    """SECURITY: without descriptors, since it is the container's for cgroup.procs, and the lock is one of them."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signals.SIGKILL, name="PR_SET_PDEATHSIG")
        _never_for_want_of_memory()
        kernel.close_range(0, kernel.UINT_MAX)
        while os.getppid() == parent:  # it may have died before the kernel was told
            select.select([], [], [])
    finally:
        os._exit(0)


def _never_for_want_of_memory() -> None:
    """Nothing changes where the host does not allow it (CAP_SYS_RESOURCE)."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, b"-1000")
    except OSError:
        pass


def end(pid: int) -> None:
    """Kill and reap it; it may have been killed with the rest of its cgroup."""
    try:
        os.kill(pid, signals.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
