"""The channel between the runtime and the container's first process, and who may say what on it.

A SOCK_SEQPACKET pair; a message is one byte of kind and a payload. Each side knows which message comes next: anything
else is refused, and end-of-file means that the other side is gone.

    init → parent   parent → init   payload                              when
    ─────────────   ─────────────   ───────────────────────────────────  ─────────────────────────────────────────
    PID                             init's pid in decimal                a middle process cloned init (joined userns)
                    GO              –                                    id maps are written, the cgroup is joined
    HOOKS                           –                                    mounts are done, the root is not given up yet
                    CONTINUE        –                                    prestart and createRuntime hooks have run
    MADE                            device, inode, path (blanks)         before READY: a mount point was made
    TERMINAL                        fd: the pty's master                 only a foreground `run` with process.terminal
    READY                           –                                    all is set but the program: state `created`
                    START           –                                    `run`: execute the program now
                    WAIT            –                                    `create`: the record is written, wait for start
    LISTENER                        fd: seccomp's notifications          after START: the filter is on (SCMP_ACT_NOTIFY)
                    CONTINUE        –                                    the listener has the descriptor
    LOOKED                          fd: what was to be copied or opened  from the child that looks (see `apart`)
    FAILED                          step, errno, call, detail (NUL)      instead of any of the above; init exits then
    end-of-file                                                          after START: execve(2) closed it: it runs

`start` connects to the socket ``start`` in the state directory, sends START and reads: end-of-file is success, FAILED
is the reason; LISTENER may come before either. SECURITY: the payloads are text with a fixed number of parts; nothing
from the container is unmarshalled.
"""

from __future__ import annotations

import _socket
import os

from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PID: Final = b"p"
GO: Final = b"g"
HOOKS: Final = b"h"
CONTINUE: Final = b"c"
MADE: Final = b"m"
TERMINAL: Final = b"t"
LISTENER: Final = b"n"
LOOKED: Final = b"l"
READY: Final = b"r"
START: Final = b"s"
WAIT: Final = b"w"
FAILED: Final = b"f"

_LONGEST: Final = 8192
_WITH_DESCRIPTOR: Final = (TERMINAL, LISTENER, LOOKED)
_MALFORMED: Final = "the container's first process sent a malformed message"
_LARGEST_ERRNO: Final = 4095
_DIGITS: Final = 9


class Gone(Exception):
    """The other side has closed the channel."""


class Unheard(Gone):
    """It did so without having read what it was told."""


class StepFailed(Exception):
    """FAILED, taken apart: which step of the plan, and what the kernel said."""

    __slots__ = ("call", "detail", "errno", "step")

    def __init__(self, payload: bytes) -> None:
        step, errno, call, detail = payload.split(b"\0", 3)
        self.step = int(step)
        self.errno = int(errno)
        if not 0 <= self.errno <= _LARGEST_ERRNO:
            raise ValueError
        self.call = call.decode("utf-8", "replace")
        self.detail = detail.decode("utf-8", "replace")
        super().__init__(self.call)

    def failure(self, doing: str, where: str) -> Failure:
        """The words, from whoever knows what the step was about."""
        if self.detail.startswith(doing):
            doing = self.detail
        elif self.detail and self.detail not in doing:
            doing = f"{doing} ({self.detail})"
        return Failure(doing, where=where, call=self.call, errno=self.errno)


class Channel:
    """One end. Descriptors are close-on-exec: execve(2) of the program closes the container's end by itself."""

    __slots__ = ("socket",)

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """(the parent's end, init's end)."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC, 0)
        return cls(ours), cls(theirs)

    def close(self) -> None:
        """Close this end."""
        self.socket.close()

    def send(self, kind: bytes, payload: bytes = b"", fd: int = -1) -> None:
        """Say one message, with a descriptor when `fd` >= 0; Unheard when nobody listens any more."""
        ancillary = []
        if fd >= 0:
            ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
        try:
            self.socket.sendmsg([kind + payload[: _LONGEST - 1]], ancillary, _socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            raise Unheard from None

    def receive(self, how: int = 0) -> tuple[bytes, bytes, int]:
        """(kind, payload, descriptor or -1); Gone at end-of-file, StepFailed for FAILED.

        CMSG_LEN, not CMSG_SPACE: its padding would let a second descriptor in, which nobody closes.
        """
        try:
            data, ancillary, flags, _address = self.socket.recvmsg(
                _LONGEST, _socket.CMSG_LEN(4), how | _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            raise Unheard from None
        fd = int.from_bytes(ancillary[0][2][:4], "little") if ancillary else -1
        kind = data[:1]
        cut = flags & _socket.MSG_TRUNC
        if fd >= 0 and (cut or kind not in _WITH_DESCRIPTOR):
            os.close(fd)
        if not data:
            raise Gone
        if kind == FAILED:
            try:
                raise StepFailed(data[1:])
            except ValueError:
                raise Failure(_MALFORMED) from None
        if cut or (fd >= 0) != (kind in _WITH_DESCRIPTOR):
            raise Failure(_MALFORMED)
        return kind, data[1:], fd

    def expect(self, kind: bytes, how: int = 0) -> tuple[bytes, int]:
        """(payload, descriptor or -1) of the one message that may come now."""
        got, payload, fd = self.receive(how)
        if got != kind:
            if fd >= 0:
                os.close(fd)
            raise Failure(f"the container's first process said {got!r} where {kind!r} was expected")
        return payload, fd

    def expect_pid(self) -> int:
        """What PID says, which has to be there; BlockingIOError when it is not."""
        payload, _fd = self.expect(PID, _socket.MSG_DONTWAIT)
        if not payload.isdigit() or len(payload) > _DIGITS:
            raise Failure(_MALFORMED)
        return int(payload)

    def send_failure(self, step: int, problem: OSError) -> None:
        """Say FAILED for `step`; numbers only, the parent makes the words."""
        call = getattr(problem, "call", "")
        detail = getattr(problem, "detail", "") or problem.filename or ""
        if not isinstance(detail, bytes):  # a descriptor where a file was given by one
            detail = str(detail).encode("utf-8", "replace")
        payload = b"%d\0%d\0%s\0%s" % (step, problem.errno or 0, call.encode(), detail[: _LONGEST // 2])
        self.send(FAILED, payload)
