"""Stands in for CRIU where that does not know the kernel: `criu swrk FD` by its protocol (images/rpc.proto).

A dump succeeds and saves nothing; what is restored is a `sleep`, which becomes the caller's child, as with rst_sibling.
Moments are told as CRIU tells them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys

CLONE = 56
CLONE_PARENT = 0x8000
RESTORE, NOTIFY = 2, 6


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer: a small number, or bytes."""
    kind, content = (0, varint(value)) if isinstance(value, int) else (2, varint(len(value)) + value)
    return varint(number << 3 | kind) + content


def varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([value])


def restored() -> int:
    """The pid of a sibling that sleeps."""
    pid = int(ctypes.CDLL(None).syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
    if pid == 0:
        os.execv("/bin/sleep", ["sleep", "600"])
    return pid


if __name__ == "__main__":
    link = socket.socket(fileno=int(sys.argv[2]))
    os.set_inheritable(link.fileno(), False)
    kind = link.recv(1 << 16)[1]
    answer = field(1, kind) + field(2, 1)
    if kind == RESTORE:
        pid = restored()
        link.send(field(1, NOTIFY) + field(2, 1) + field(5, field(1, b"post-restore") + field(2, pid)))
        link.recv(1 << 16)
        answer += field(4, field(1, pid))
    link.send(answer)
