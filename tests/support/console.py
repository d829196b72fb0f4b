"""Terminals as tests need them: the receiver of `--console-socket`, and programs driven through a pty.

Rules: a terminal is a raw file descriptor wrapped in `Terminal`, closed by its owner; reads are bounded by a deadline;
what was read so far is always part of the failure text.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

READ_SIZE = 65536
TIOCGPTPEER = 0x5441


class Terminal:
    """A side of a pty, the master unless told otherwise; `text` is all that has been read from it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the master, which hangs up whatever runs on the slave; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def slave(self) -> Terminal:
        """The slave: while it is open, the master is not hung up by programs that close theirs (ioctl_tty(2))."""
        return Terminal(fcntl.ioctl(self.fd, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))

    def send(self, text: str) -> None:
        """Type `text`; a newline is a carriage return on a terminal and is sent as given."""
        os.write(self.fd, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Set the window size (TIOCSWINSZ, ioctl_tty(2))."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def size(self) -> tuple[int, int]:
        """Rows and columns (TIOCGWINSZ)."""
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(self.fd, termios.TIOCGWINSZ, bytes(8)))
        return int(rows), int(columns)

    def read_until(self, pattern: str, deadline: float = 10.0) -> str:
        """Read until `pattern` appears in what *this call* read, and return that; AssertionError otherwise."""
        start = len(self.text)
        end = time.monotonic() + deadline
        while pattern not in self.text[start:]:
            if not self._read_some(end):
                raise AssertionError(f"{pattern!r} did not appear on the terminal; seen: {self.text!r}")
        return self.text[start:]

    def read_to_end(self, deadline: float = 10.0) -> str:
        """Read until the other side hangs up (EIO); all text since the beginning."""
        end = time.monotonic() + deadline
        while self._read_some(end):
            pass
        if time.monotonic() > end:
            raise AssertionError(f"the terminal was not hung up within {deadline} s; seen: {self.text!r}")
        return self.text

    def _read_some(self, end: float) -> bool:
        """Append what is there; False at hang-up or when the time is over."""
        ready, _, _ = select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self.fd, READ_SIZE)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)


class ConsoleSocket:
    """The listener whose path goes to `--console-socket`; the runtime connects and sends the pty master."""

    def __init__(self, path: Path) -> None:
        # sun_path holds 108 bytes (unix(7)); a bind error would not say that this is the reason.
        if len(os.fsencode(path)) >= 108:
            raise ValueError(f"the socket path {path} is too long for sun_path")
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.bind(str(path))
        self._listener.listen(8)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def receive(self, deadline: float = 10.0) -> Terminal:
        """Accept one connection and take the one descriptor that it carries; the payload is the name of the pty."""
        self._listener.settimeout(deadline)
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(deadline)
            space = socket.CMSG_SPACE(4 * array.array("i").itemsize)
            _, ancillary, _, _ = connection.recvmsg(4096, space, socket.MSG_CMSG_CLOEXEC)
        received = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
        if len(received) != 1:
            for fd in received:
                os.close(fd)
            raise AssertionError(f"the console socket carried {len(received)} descriptors instead of one")
        if not os.isatty(received[0]):
            os.close(received[0])
            raise AssertionError("the descriptor on the console socket is not a terminal")
        return Terminal(received[0])


class Interactive:
    """A program whose standard streams and controlling terminal are a fresh pty; leaving the context ends it."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        rows: int = 24,
        columns: int = 80,
    ) -> None:
        master, slave = os.openpty()
        self.terminal = Terminal(master)
        self.terminal.resize(rows, columns)
        self.pid = os.fork()
        if self.pid == 0:
            _become(slave, argv, cwd, dict(os.environ if env is None else env))
        os.close(slave)
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.terminal.close()

    def wait(self, deadline: float = 15.0) -> int:
        """Drain the terminal until the program ended; its exit code, or minus the signal."""
        pidfd = os.pidfd_open(self.pid)
        end = time.monotonic() + deadline
        try:
            while True:
                ready, _, _ = select.select([pidfd, self.terminal.fd], [], [], max(0.0, end - time.monotonic()))
                if pidfd in ready:
                    break
                if not ready:
                    raise AssertionError(f"process {self.pid} did not end; seen: {self.terminal.text!r}")
                # A hung-up master is always readable: only the pidfd can end the wait then.
                if not self.terminal._read_some(end):
                    select.select([pidfd], [], [], max(0.0, end - time.monotonic()))
        finally:
            os.close(pidfd)
        self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        while select.select([self.terminal.fd], [], [], 0)[0] and self.terminal._read_some(end):
            pass
        return self._code


def _become(slave: int, argv: Sequence[str], cwd: Path | None, env: dict[str, str]) -> None:
    """In the child: take `slave` as the controlling terminal and execute; never returns."""
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        if cwd is not None:
            os.chdir(cwd)
        os.execvpe(argv[0], list(argv), env)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
    finally:
        os._exit(127)
