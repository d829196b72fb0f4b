"""A listening UNIX stream socket, as an engine has one for terminals and an agent for seccomp notifications."""

from __future__ import annotations

import array
import fcntl
import os
import select
import shutil
import socket
import struct
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .trial import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .trial import Trial

RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
"""SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_USER_NOTIF_FLAG_CONTINUE."""
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")


class Connection:
    """What came so far. descriptors: each with the place in the bytes where it came; ended: it was closed."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.data = b""
        self.descriptors: list[tuple[int, int]] = []
        self.ended = False


class Inbox:
    """All connections to `path`, each read to its end. think: called with each descriptor as soon as it came."""

    def __init__(self, trial: Trial, think: Callable[[int], None] | None = None) -> None:
        # a socket's path has at most 107 bytes
        folder = Path(tempfile.mkdtemp(prefix="oc-"))
        self.path = folder / "s"
        self.connections: list[Connection] = []
        self._think = think
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
        self._socket.listen(8)
        trial.defer(lambda: shutil.rmtree(folder, ignore_errors=True))
        trial.defer(self._close)
        threading.Thread(target=self._accept, daemon=True).start()

    def wait(self, count: int = 1) -> Connection:
        """The connection with that number, from 1 on, once it has ended."""
        wait_until(
            lambda: len(self.connections) >= count and self.connections[count - 1].ended,
            f"connection {count} to the socket, and its end",
        )
        return self.connections[count - 1]

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            found = Connection(link)
            self.connections.append(found)
            threading.Thread(target=self._read, args=[found], daemon=True).start()

    def _read(self, found: Connection) -> None:
        while True:
            # one byte first: what comes with a later message is then seen to come later
            size = 65536 if found.data else 1
            try:
                part, extra, _flags, _ = found.link.recvmsg(size, socket.CMSG_SPACE(64), socket.MSG_CMSG_CLOEXEC)
            except OSError:
                break
            for level, kind, content in extra:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    for fd in array.array("i", content):
                        found.descriptors.append((len(found.data), fd))
                        if self._think:
                            self._think(fd)
            if not part:
                break
            found.data += part
        found.ended = True

    def _close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for found in self.connections:
            found.link.close()
            for _place, fd in found.descriptors:
                os.close(fd)


class Agent:
    """Answers notifications with one errno; 0 lets the call go on. think: called before with who makes the call."""

    def __init__(self, trial: Trial, errno: int, think: Callable[[int], None] | None = None) -> None:
        self.errno = errno
        self._think = think
        self.seen: list[int] = []
        self._stop, self._stopped = os.pipe()
        self._threads: list[threading.Thread] = []
        self.inbox = Inbox(trial, self._begin)
        trial.defer(self._end)

    def _begin(self, fd: int) -> None:
        made = threading.Thread(target=self._serve, args=[fd], daemon=True)
        self._threads.append(made)
        made.start()

    def _end(self) -> None:
        os.close(self._stopped)
        for each in self._threads:
            each.join(20)
        os.close(self._stop)

    def _serve(self, fd: int) -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._stop, 0)
        while dict(poll.poll()).get(fd) == select.POLLIN:
            notification = bytearray(_NOTIFICATION.size)
            try:
                fcntl.ioctl(fd, RECEIVE, notification)
                ident, pid, _flags, call, *_ = _NOTIFICATION.unpack(notification)
                self.seen.append(call)
                if self._think:
                    self._think(pid)
                fcntl.ioctl(fd, SEND, _RESPONSE.pack(ident, 0, -self.errno, 0 if self.errno else CONTINUE))
            except OSError:
                continue  # the process was killed meanwhile, or this is no descriptor of seccomp's
