"""Runs one command and measures it: wall time, peak memory, or instructions.

Rules: posix_spawnp and wait4 with nothing in between but a bounded wait on the pidfd; standard input, output are
/dev/null; standard error goes to a file that is read only after a failure.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.bundle import BUSYBOX

if TYPE_CHECKING:
    from pathlib import Path

    from support.instructions import Counter

PR_SET_CHILD_SUBREAPER = 36
COMMAND_TIMEOUT = 20.0
CALIBRATION_KIB = 64 * 1024

# Engines give a runtime a thin environment.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}

Measure = Callable[[Sequence[str]], int]


class CommandFailedError(Exception):
    """A measured command failed or took too long; the text says which and what it wrote."""


class Spawner:
    """Starts commands with one stderr file, kept below `directory`."""

    def __init__(self, directory: Path, environment: Mapping[str, str] = ENVIRONMENT) -> None:
        self.errors = directory / "stderr"
        self.peak = directory / "peak"
        self.environment = dict(environment)
        # The init that the next command may end. It is reaped while the command still runs, as a shim does on SIGCHLD:
        # a runtime that waits for the process to vanish would otherwise wait for this program.
        self.adopted = 0
        self._peak_unit = 0

    def _spawn(self, argv: Sequence[str]) -> int:
        read, write = os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions: list[tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, read, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(self.errors), write, 0o600),
        ]
        return os.posix_spawnp(argv[0], list(argv), self.environment, file_actions=actions)

    def nanoseconds(self, argv: Sequence[str]) -> int:
        """Wall time from before the spawn until the command's end was seen."""
        began = time.perf_counter_ns()
        pid = self._spawn(argv)
        try:
            ended = wait_process(pid, COMMAND_TIMEOUT, self.adopted)
        except KeyboardInterrupt:
            # A command that is cut off leaves a half-made container, which is harder to remove than a whole one.
            wait_process(pid, COMMAND_TIMEOUT, self.adopted)
            raise
        passed = time.perf_counter_ns() - began
        if not ended:
            os.kill(pid, signal.SIGKILL)
        _, status, _ = os.wait4(pid, 0)
        if not ended or status != 0:
            raise CommandFailedError(self._failure(argv, status, ended))
        return passed

    @contextmanager
    def beside(self, argv: Sequence[str]) -> Iterator[int]:
        """A command that runs while the block does, which has to bring about its end; gives its pid."""
        pid = self._spawn(argv)
        try:
            yield pid
        finally:
            if not wait_process(pid, COMMAND_TIMEOUT):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def at_once(self, commands: Sequence[Sequence[str]]) -> int:
        """Wall time of commands that are started together, until the last has ended."""
        began = time.perf_counter_ns()
        pids = [self._spawn(argv) for argv in commands]
        ended = [wait_process(pid, COMMAND_TIMEOUT) for pid in pids]
        passed = time.perf_counter_ns() - began
        for pid, argv, whole in zip(pids, commands, ended, strict=True):
            if not whole:
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if status != 0:
                raise CommandFailedError(self._failure(argv, status, whole))
        return passed

    def peak_kib(self, argv: Sequence[str]) -> int:
        """Peak resident memory (ru_maxrss of wait4, KiB) of the largest of the command and the children it waited for.

        A spawned process inherits, at exec, its parent's high-water mark as the floor of its own ru_maxrss
        (setmax_mm_hiwater_rss in the kernel's exec_mmap), so wait4 here would report this interpreter's size for every
        small runtime. busybox's `time` does the wait4 instead: its floor is a little over 1 MiB.
        """
        if not self._peak_unit:
            self._peak_unit = self._calibrate()
        self.nanoseconds([str(BUSYBOX), "time", "-f", "%M", "-o", str(self.peak), *argv])
        return int(self.peak.read_text().split()[-1]) // self._peak_unit

    def instructions(self, counter: Counter, argv: Sequence[str]) -> int:
        """Instructions outside the kernel of the command and the processes that it made, which have ended."""
        self.nanoseconds([str(counter.command), *argv])
        return sum(counter.counts())

    def _calibrate(self) -> int:
        """How many units `time -f %M` counts per KiB: some builds scale a KiB value by the page size once more (4)."""
        block = ["dd", "if=/dev/zero", "of=/dev/null", f"bs={CALIBRATION_KIB}k", "count=1"]
        self.nanoseconds([str(BUSYBOX), "time", "-f", "%M", "-o", str(self.peak), str(BUSYBOX), *block])
        return max(1, int(self.peak.read_text().split()[-1]) // CALIBRATION_KIB)

    def _failure(self, argv: Sequence[str], status: int, ended: bool) -> str:
        how = f"exit code {os.waitstatus_to_exitcode(status)}" if ended else f"no end within {COMMAND_TIMEOUT:.0f} s"
        said = self.errors.read_text(errors="replace").strip().splitlines()
        return f"{' '.join(argv)}: {how}: {said[-1] if said else 'nothing on stderr'}"


def wait_process(pid: int, timeout: float, adopted: int = 0) -> bool:
    """Wait until `pid` has ended (without reaping it); False when `timeout` seconds pass first.

    The child `adopted` is reaped when it ends before `pid` does.
    """
    end = time.monotonic() + timeout
    pidfd, other = _open_pid(pid), _open_pid(adopted)
    poll = select.poll()
    for fd in (pidfd, other):
        if fd >= 0:
            poll.register(fd, select.POLLIN)
    try:
        while pidfd >= 0:
            ready = [fd for fd, _ in poll.poll(max(0.0, end - time.monotonic()) * 1000)]
            if not ready or pidfd in ready:
                return bool(ready)
            os.waitpid(adopted, 0)
            poll.unregister(other)
    finally:
        for fd in (pidfd, other):
            if fd >= 0:
                os.close(fd)
    return True


def _open_pid(pid: int) -> int:
    """A pidfd; -1 when there is no such process."""
    try:
        return os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return -1


def become_subreaper() -> None:
    """Adopt the inits of the containers, as an engine's shim does, so that their end can be waited for."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl PR_SET_CHILD_SUBREAPER failed")


def reap() -> None:
    """Collect the adopted processes that have ended."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
