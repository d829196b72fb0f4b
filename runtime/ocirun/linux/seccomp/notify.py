"""SCMP_ACT_NOTIFY on the container's side: a filter that answers through a descriptor, which goes to the runtime.

seccomp(2) gives the descriptor only once the filter judges every system call of this process, so that handing it over
is under the filter already: where the profile refuses sendmsg(2) it would fail, and where it notifies sendmsg(2) it
would wait for ever, because nobody could answer yet. runc refuses such profiles. Here a door stands before the profile:

    0    ld  [4]                          seccomp_data.arch
    1    jeq #native, 0, to the profile
    2    ld  [0]                          seccomp_data.nr
    3-5  jeq #sendmsg, #close, #read      else to the profile
    6    ld  [56]  ; jeq #low,  0, to the profile
    8    ld  [60]  ; jeq #high, 0, to the profile
    10   ret ALLOW

The three calls pass with a secret of 64 random bits as their sixth argument, which the kernel does not use. With them
the process sends the descriptor, closes its own copy (as long as it had one, a listener that dies would leave it
waiting) and reads the answer. Whatever comes later, up to execve(2), the listener can answer.

SECURITY: the secret is made for one process, is in its memory only, which is not dumpable and which execve(2) takes
away; the three calls are never told to the listener. So the program can but guess: 1 in 2^64 for each call.
"""

from __future__ import annotations

import os
import sys

from ocirun.errors import Failure
from ocirun.kernel import raw
from ocirun.steps import InsideStep
from ocirun.sync import CONTINUE, LISTENER, Gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.scene import Scene

SECCOMP_SET_MODE_FILTER: Final = 1
BPF_MAXINSNS: Final = 4096
_SIZE_OF_FILTER: Final = 8
_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
"""linux/audit.h, by the machine's name in uname(2)."""
_LD_W_ABS: Final = 0x20
_JEQ: Final = 0x15
_RET: Final = 0x06
_SECCOMP_RET_ALLOW: Final = 0x7FFF0000
_SIXTH: Final = 16 + 5 * 8
"""offsetof(struct seccomp_data, args[5])."""
_DOOR: Final = 11
"""Instructions of the door."""
_SOL_SOCKET: Final = 1
_SCM_RIGHTS: Final = 1
_MSG_NOSIGNAL: Final = 0x4000
_BYTES_HEADER: Final = bytes.__basicsize__ - 1
_EMFILE: Final = 24


def step(pointer: str, text: str) -> InsideStep:
    """The step that loads the filter and hands its descriptor over; `with_door` makes its program and secret."""
    return InsideStep(load, pointer, text)


def with_door(program: bytes, pointer: str) -> tuple[bytes, int]:
    """(the program with the door before it, the secret that opens it)."""
    machine = os.uname().machine
    if machine not in _AUDIT_ARCH:
        raise Failure(f"SCMP_ACT_NOTIFY is not implemented for {machine}", where=pointer)
    count = len(program) // _SIZE_OF_FILTER + _DOOR
    if count > BPF_MAXINSNS:
        text = f"the seccomp profile compiles to {count} instructions, and the kernel takes {BPF_MAXINSNS}"
        raise Failure(text, where=pointer)
    secret = int.from_bytes(os.urandom(8), "little")
    return door(_AUDIT_ARCH[machine], secret) + program, secret


def door(arch: int, secret: int) -> bytes:
    """The instructions as an array of struct sock_filter; a jump's distance counts from the instruction after it."""
    low, high = secret & 0xFFFFFFFF, secret >> 32
    rows = (
        (_LD_W_ABS, 0, 0, 4),
        (_JEQ, 0, 9, arch),
        (_LD_W_ABS, 0, 0, 0),
        (_JEQ, 2, 0, raw.SENDMSG),
        (_JEQ, 1, 0, raw.CLOSE),
        (_JEQ, 0, 5, raw.READ),
        (_LD_W_ABS, 0, 0, _SIXTH),
        (_JEQ, 0, 3, low),
        (_LD_W_ABS, 0, 0, _SIXTH + 4),
        (_JEQ, 0, 1, high),
        (_RET, 0, 0, _SECCOMP_RET_ALLOW),
    )
    return b"".join(
        code.to_bytes(2, sys.byteorder) + bytes((on_true, on_false)) + k.to_bytes(4, sys.byteorder)
        for code, on_true, on_false, k in rows
    )


def load(step: InsideStep, scene: Scene) -> None:
    """seccomp(2), LISTENER, close(2), CONTINUE.

    All that the calls need is made before, for the filter may notify what the interpreter does for an allocation. The
    number of the descriptor is known by then: the lowest one that is free.
    """
    flags, fprog, _program, secret = step.args
    link = scene.channel.socket.fileno()
    number = os.dup(link)
    os.close(number)
    message = _Message(LISTENER, number)
    answer = bytearray(1)
    fd = raw.call("seccomp", raw.SECCOMP, SECCOMP_SET_MODE_FILTER, flags, fprog)
    if fd != number:
        raise raw.KernelError(_EMFILE, "seccomp", "another descriptor than the lowest free one")
    raw.call("sendmsg", raw.SENDMSG, link, message.header, _MSG_NOSIGNAL, 0, 0, secret)
    raw.call("close", raw.CLOSE, fd, 0, 0, 0, 0, secret)
    if raw.call("read", raw.READ, link, answer, 1, 0, 0, secret) != 1 or answer != CONTINUE:
        raise Gone


class _Message:
    """struct msghdr (socket(7)) for one byte and one descriptor; it keeps alive what its pointers lead to."""

    __slots__ = ("_parts", "header")

    def __init__(self, kind: bytes, fd: int) -> None:
        control = _numbers(8, 20) + _numbers(4, _SOL_SOCKET, _SCM_RIGHTS, fd, 0)
        vector = _numbers(8, _address(kind), len(kind))
        self.header = _numbers(8, 0, 0, _address(vector), 1, _address(control), len(control), 0)
        self._parts: tuple[Any, ...] = (kind, control, vector)


def _numbers(size: int, *values: int) -> bytes:
    return b"".join(value.to_bytes(size, sys.byteorder) for value in values)


def _address(content: bytes) -> int:
    """Where the content of a bytes object is: behind its header (CPython's id() is the object's address)."""
    return id(content) + _BYTES_HEADER
