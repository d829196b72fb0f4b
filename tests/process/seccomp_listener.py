"""The program behind `linux.seccomp.listenerPath`, as an agent would write it: receives a state, answers notifications.

Rules: one connection at a time; every wait has a deadline; a system call that nobody has decided about goes on.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Self

from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags, and seccomp_data: nr, arch, instruction pointer, args."""
RESPONSE = struct.Struct("=QqiI")
DEADLINE = 20.0


class Received:
    """One container process state and the descriptor that came with it; in the context its notifications are answered.

    `answers` gives a negated errno, or a value to return, for the number of a system call; others go on. `think` is
    called with the waiting process before each answer.
    """

    def __init__(
        self, state: dict[str, Any], fd: int, answers: Mapping[int, int], think: Callable[[int], None] | None = None
    ) -> None:
        self.state = state
        self.fd = fd
        self.answers = answers
        self.think = think
        self.seen: list[int] = []
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; what still waits for an answer gets ENOSYS from the kernel."""
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        os.close(self.fd)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.register(self._stop, 0)
        while True:
            events = dict(poll.poll(DEADLINE * 1000))
            if events.get(self.fd) != select.POLLIN:
                return
            self._answer()

    def _answer(self) -> None:
        notification = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(self.fd, SECCOMP_IOCTL_NOTIF_RECV, notification)
            ident, pid, _flags, number, *_ = NOTIFICATION.unpack(notification)
            self.seen.append(number)
            if self.think:
                self.think(pid)
            value = self.answers.get(number)
            if value is None:
                answer = RESPONSE.pack(ident, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)
            else:
                answer = RESPONSE.pack(ident, max(value, 0), min(value, 0), 0)
            fcntl.ioctl(self.fd, SECCOMP_IOCTL_NOTIF_SEND, answer)
        except FileNotFoundError:
            return  # the process was killed meanwhile


class Listener:
    """Listens at a path and serves each state that comes, in a thread; leaving the context ends it all."""

    def __init__(self, path: Path, answers: Mapping[int, int], think: Callable[[int], None] | None = None) -> None:
        self.path = path
        self.answers = answers
        self.think = think
        self.received: list[Received] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(8)
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        self.path.unlink()
        for each in self.received:
            each.close()

    def wait(self, count: int) -> Received:
        """The state that came as number `count`, from 1 on: a command may be over before it is read here."""
        wait_for(lambda: len(self.received) >= count, DEADLINE, f"state {count}")
        return self.received[count - 1]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(DEADLINE)
                self.received.append(self._receive(connection))

    def _receive(self, connection: socket.socket) -> Received:
        fds = array.array("i")
        data, ancillary, _, _ = connection.recvmsg(7, socket.CMSG_SPACE(4 * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content)
        assert len(fds) == 1, "the first message carries one descriptor"
        while part := connection.recv(4096):
            data += part
        return Received(json.loads(data), fds[0], self.answers, self.think)
