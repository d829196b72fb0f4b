"""A foreground `run` or `exec`: carries the terminal, forwards signals, and waits for the program.

All signals are blocked and read from a signalfd(2), so that there is one place to wait: poll(2) on signals, the
terminal's two directions, and the child. Nothing sleeps.
"""

from __future__ import annotations

import fcntl
import os
import select
import time

from ocirun import log
from ocirun.errors import EXIT_SIGNAL, EXIT_TIMEOUT, doing
from ocirun.kernel import process as kernel
from ocirun.kernel import raw, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.linux.readiness import Readiness

TCGETS: Final = 0x5401
TCSETS: Final = 0x5402
TIOCGWINSZ: Final = 0x5413
TIOCSWINSZ: Final = 0x5414
TIOCGPTPEER: Final = 0x5441
TIOCGPGRP: Final = 0x540F
_TERMIOS_SIZE: Final = 36
_SIGNALFD_SIGINFO_SIZE: Final = 128
_SIGSET_SIZE: Final = 8
SFD_CLOEXEC: Final = os.O_CLOEXEC
_CHUNK: Final = 1 << 14
CAP_KILL: Final = 1 << 5
TO_DELETE: Final = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3
"""CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER: cgroups and files may be the container's user's."""
ALL: Final = -1

# termios(3), asm-generic/termbits.h: what cfmakeraw() clears and sets.
_RAW_IFLAG: Final = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000
_RAW_LFLAG: Final = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000
_CSIZE_PARENB: Final = 0o60 | 0o400
_CS8: Final = 0o60
_OPOST: Final = 0o1
_VMIN: Final = 17 + 6
_VTIME: Final = 17 + 5
_VINTR: Final = 17
_ISIG: Final = 0o1
_ENDING: Final = (signals.SIGHUP, signals.SIGINT, signals.SIGQUIT, signals.SIGTERM)
_LONGEST: Final = 1 << 30


class Foreground:
    """One supervised program. Make it before the clone: signals that come early are then not lost."""

    __slots__ = ("_code", "_mortal", "_pidfd", "_poll", "_pty", "_saved", "_seconds", "_signals", "_slave", "_until")

    def __init__(self, seconds: float = 0.0, mortal: bool = False) -> None:
        """`seconds`: after these it is killed, 0 for never. `mortal`: it ends by the signals that end other programs.

        For the first process of a pid namespace the kernel drops those that it does not catch (pid_namespaces(7)).
        """
        self._seconds, self._mortal, self._until, self._code, self._pidfd = seconds, mortal, 0.0, 0, -1
        signals.block_all()
        mask = ((1 << 64) - 1).to_bytes(_SIGSET_SIZE, "little")
        self._signals = raw.call("signalfd4", raw.SIGNALFD4, -1, mask, _SIGSET_SIZE, SFD_CLOEXEC)
        self._pty = self._slave = -1
        self._saved = b""
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)

    def keep_only(self, capabilities: int, *descriptors: int) -> None:
        """Give up what waiting does not need: descriptors but these, the log and the standard streams; capabilities but
        these (a mask) and CAP_KILL, since the program may be another user's; being looked at.

        SECURITY: the root filesystem, the mounts that were copied and what the caller has left open are among them.
        """
        first = 3
        for fd in sorted({self._signals, log.descriptor(), *descriptors}):
            if fd > first:
                kernel.close_range(first, fd - 1)
            first = max(first, fd + 1)
        kernel.close_range(first, kernel.UINT_MAX)
        effective, permitted, _inheritable = kernel.capget()
        kept = capabilities | CAP_KILL
        if permitted & ~kept:
            kernel.capset(effective & kept, permitted & kept, 0)
        if os.geteuid() == 0:
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")

    @doing("wait for the program")
    def supervise(self, pid: int, pidfd: int, pty: int, readiness: Readiness | None = None) -> int:
        """Wait for the child `pid`; `pty` is its terminal's master or -1. Returns the exit code for the shell."""
        self._pidfd = pidfd
        self._poll.register(pidfd, select.POLLIN)
        if self._seconds:
            self._until = time.monotonic() + self._seconds
        if readiness:
            self._poll.register(readiness.fd, select.POLLIN)
        if pty >= 0:
            self._open_terminal(pty)
        try:
            while True:
                ready = dict(self._poll.poll(self._left()))
                if self._signals in ready:
                    self._forward(pid)
                if 0 in ready and self._pty >= 0:
                    self._copy(0, self._pty, pid)
                if self._pty in ready:
                    self._copy(self._pty, 1)
                if readiness and readiness.fd in ready and readiness.receive():
                    self._poll.unregister(readiness.fd)
                if pidfd in ready:
                    break
            self._drain()
        finally:
            self._close_terminal()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return self._code or (EXIT_SIGNAL - code if code < 0 else code)

    def _left(self) -> int | None:
        """Milliseconds until its time is over, None without; kills it then."""
        if not self._until:
            return None
        left = self._until - time.monotonic()
        if left > 0:
            return min(int(left * 1000) + 1, _LONGEST)
        self._until = 0.0
        self._end(EXIT_TIMEOUT)
        return None

    def _end(self, code: int) -> None:
        """Kill it; `code` is the exit code then."""
        self._code = self._code or code
        self._send(signals.SIGKILL)

    def _send(self, number: int) -> None:
        try:
            kernel.pidfd_send_signal(self._pidfd, number)
        except raw.KernelError:
            return

    def _forward(self, pid: int) -> None:
        """One signal: to the program, except those that are about ourselves; orphans that came to us are reaped."""
        number = int.from_bytes(os.read(self._signals, _SIGNALFD_SIGINFO_SIZE)[:4], "little")
        if number == signals.SIGCHLD:
            reap_orphans(pid)
            return
        if number == signals.SIGWINCH:
            self._resize()
            return
        if number in (signals.SIGPIPE, signals.SIGURG):
            return
        if self._mortal and number in _ENDING and not catches(pid, number):
            self._end(EXIT_SIGNAL + number)
        else:
            self._send(number)

    def _typed(self, data: bytes, pid: int) -> None:
        """The keys of the terminal that end a program, which end a first process no more than other signals."""
        attributes = _get_attributes(self._pty)
        group = int.from_bytes(fcntl.ioctl(self._pty, TIOCGPGRP, bytes(4)), "little")
        if group != pid or not attributes[12] & _ISIG:
            return
        for at, number in ((_VINTR, signals.SIGINT), (_VINTR + 1, signals.SIGQUIT)):
            if attributes[at : at + 1] in data and not catches(pid, number):
                self._end(EXIT_SIGNAL + number)

    def _open_terminal(self, pty: int) -> None:
        self._pty = pty
        # Open as long as the program lives: an init closes its console and opens it again, and between the two nobody
        # else may have it open, which reads like its end.
        self._slave = fcntl.ioctl(pty, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self._poll.register(pty, select.POLLIN)
        self._poll.register(0, select.POLLIN)
        if os.isatty(0):
            self._resize()
            self._saved = _get_attributes(0)
            fcntl.ioctl(0, TCSETS, raw_attributes(self._saved))

    def _close_terminal(self) -> None:
        if self._saved:
            fcntl.ioctl(0, TCSETS, self._saved)
            self._saved = b""

    def _resize(self) -> None:
        """Give the program's terminal the size of ours."""
        if self._pty >= 0:
            copy_size(self._pty)

    def _copy(self, source: int, destination: int, pid: int = 0) -> bool:
        """Move what is there; a side that has ended is not asked again. Says whether anything moved.

        pid: the program that it is typed for.
        """
        try:
            data = os.read(source, _CHUNK)
            if pid and self._mortal:
                self._typed(data, pid)
            while data:
                data = data[os.write(destination, data) :]
                if not data:
                    return True
        except OSError:
            pass
        self._poll.unregister(source)
        if source == self._pty:
            self._pty = -1
        return False

    def _drain(self) -> None:
        """After the program has ended: what it still wrote to the terminal."""
        if self._pty < 0:
            return
        os.close(self._slave)  # so that the end can be seen
        left = select.poll()
        left.register(self._pty, select.POLLIN)
        while self._pty >= 0 and left.poll(0):
            self._copy(self._pty, 1)


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal (SigCgt of proc(5))."""
    try:
        fd = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        text = os.read(fd, _CHUNK)
    except OSError:
        return False
    finally:
        os.close(fd)
    caught = text.partition(b"\nSigCgt:")[2].split(maxsplit=1)
    return bool(caught and int(caught[0], 16) >> (number - 1) & 1)


def copy_size(pty: int) -> None:
    """Give a terminal the size of ours, if we have one. Also before START: a program asks for it first of all."""
    if os.isatty(0):
        size = bytearray(8)
        fcntl.ioctl(0, TIOCGWINSZ, size)
        fcntl.ioctl(pty, TIOCSWINSZ, bytes(size))


def _get_attributes(fd: int) -> bytes:
    attributes = bytearray(_TERMIOS_SIZE)
    fcntl.ioctl(fd, TCGETS, attributes)
    return bytes(attributes)


def raw_attributes(attributes: bytes) -> bytes:
    """struct termios as cfmakeraw(3) leaves it: four 32-bit flag words, the line discipline, the control characters."""
    flags = [int.from_bytes(attributes[at : at + 4], "little") for at in (0, 4, 8, 12)]
    flags[0] &= ~_RAW_IFLAG
    flags[1] &= ~_OPOST
    flags[2] = flags[2] & ~_CSIZE_PARENB | _CS8
    flags[3] &= ~_RAW_LFLAG
    rest = bytearray(attributes[16:])
    rest[_VMIN - 16] = 1
    rest[_VTIME - 16] = 0
    return b"".join(flag.to_bytes(4, "little") for flag in flags) + bytes(rest)


def adopt_orphans() -> None:
    """Become the reaper of what the container leaves behind (PR_SET_CHILD_SUBREAPER)."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1, name="PR_SET_CHILD_SUBREAPER")


def reap_orphans(spare: int = 0) -> None:
    """Collect adopted children that have ended; the program itself, `spare`, is left for its own wait."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == spare:
            return
        os.waitpid(ended.si_pid, 0)
