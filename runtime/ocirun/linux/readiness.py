"""NOTIFY_SOCKET (sd_notify(3)): a program in the container tells the runtime's supervisor that it is ready.

The supervisor's socket stays on the host. The container gets one of its own, below /run/notify, and `start` or `run`
passes on what it says: nothing but that it is ready, with the pid that the host knows it by. Loaded only when the
runtime's environment has the variable, as runc does it.

SECURITY: a datagram's descriptors and credentials are not received, and none of its words is repeated: the container
cannot name another process as the service's main one, nor have descriptors stored.
"""

from __future__ import annotations

import _socket
import os
import select

from ocirun import log
from ocirun.errors import failure
from ocirun.kernel import process as kernel
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.parent import Host
    from ocirun.request import Request
    from ocirun.state import Entry

VARIABLE: Final = "NOTIFY_SOCKET"
POINTER: Final = "$NOTIFY_SOCKET"
DESTINATION: Final = "/run/notify"
OPTIONS: Final = ("bind", "ro", "nosuid", "nodev", "noexec")
_FOLDER: Final = "notify"
_SOCKET: Final = "notify/notify.sock"
_LONGEST: Final = 4096


def environment() -> dict[bytes, bytes]:
    """What the program is told instead of the host's address."""
    return {VARIABLE.encode(): f"{DESTINATION}/notify.sock".encode()}


def folder(request: Request) -> str:
    """The socket's folder in the container's state, to be mounted on DESTINATION with OPTIONS."""
    return f"{request.root}/{request.ident}/{_FOLDER}"


def prepare(request: Request) -> OutsideStep:
    """Make that folder."""
    return OutsideStep(make_folder, POINTER, f"make {folder(request)}")


def make_folder(_step: OutsideStep, host: Host) -> None:
    """For whatever user the program runs as; the state directory above it lets nobody in from the host."""
    os.mkdir(_FOLDER, dir_fd=host.entry.fd)
    os.chmod(_FOLDER, 0o755, dir_fd=host.entry.fd)


class Readiness:
    """The container's socket, bound before its program runs; `fd` is readable when the program has said something."""

    __slots__ = ("_host", "_pid", "_socket", "fd")

    def __init__(self, entry: Entry, pid: int) -> None:
        self._host = os.environ[VARIABLE]
        self._pid = pid
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        self.fd = self._socket.fileno()
        try:
            _unlink(entry)
            self._socket.bind(f"/proc/self/fd/{entry.fd}/{_SOCKET}")
            os.chmod(_SOCKET, 0o777, dir_fd=entry.fd)
        except OSError as problem:
            raise failure("bind the container's socket", problem, where=POINTER) from None

    def receive(self) -> bool:
        """Take one datagram; True when the program is ready, of which the host's supervisor is told."""
        if b"READY=1" not in self._socket.recv(_LONGEST).split(b"\n"):
            return False
        self._tell()
        return True

    def _tell(self) -> None:
        abstract = self._host.startswith("@")
        address = os.fsencode("\0" + self._host[1:] if abstract else self._host)
        link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            link.sendto(b"MAINPID=%d\nREADY=1" % self._pid, address)
        except OSError as problem:
            log.warning(f"{POINTER}: the container is ready, but {self._host} cannot be told: {problem.strerror}")
        finally:
            link.close()

    def wait(self) -> None:
        """Until the program is ready or has ended; what it said before its end counts."""
        pidfd = kernel.pidfd_open(self._pid)
        waiting = select.poll()
        waiting.register(self.fd, select.POLLIN)
        waiting.register(pidfd, select.POLLIN)
        while True:
            ready = dict(waiting.poll())
            if self.fd in ready:
                if self.receive():
                    break
            elif pidfd in ready:
                break
        os.close(pidfd)


def _unlink(entry: Entry) -> None:
    """What a `start` that was killed has left."""
    try:
        os.unlink(_SOCKET, dir_fd=entry.fd)
    except FileNotFoundError:
        return


def expected(entry: Entry) -> Readiness | None:
    """The container's socket, when `create` was asked for one and this command's environment still has the address."""
    if not entry.record.get("notify") or not os.environ.get(VARIABLE):
        return None
    return Readiness(entry, entry.record["pid"])
