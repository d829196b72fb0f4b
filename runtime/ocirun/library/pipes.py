"""Input and outputs of a process, a piece at a time."""

from __future__ import annotations

import os
import select
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ocirun.library.waiting import Waiting

_CHUNK: Final = 1 << 16
_PIPE: Final = 16
"""Chunks of a full pipe (pipe(7))."""


def pump(pidfd: int, stdin: IO[bytes] | None, kept: dict[int, bytearray], data: bytes, limit: int) -> Waiting[None]:
    """Until the process has ended, give it `data`, and keep `limit` bytes of each output: one more if there are more.

    kept: by the descriptors of the outputs. What the process leaves behind may hold them open, and is not waited for.
    """
    wanted = dict.fromkeys((pidfd, *kept), select.POLLIN)
    left = memoryview(data)
    if stdin:
        wanted[stdin.fileno()] = select.POLLOUT
    for fd in wanted.keys() - {pidfd}:
        os.set_blocking(fd, False)
    while True:
        ready = yield wanted
        for fd in wanted.keys() & ready:
            if fd in kept:
                if not _read(fd, kept[fd], limit):
                    del wanted[fd]
            elif fd != pidfd and stdin:
                left = _written(fd, left)
                if not left:
                    del wanted[fd]
                    stdin.close()
        if pidfd in ready:
            _drain(kept, limit)
            return


def _drain(kept: dict[int, bytearray], limit: int) -> None:
    """What the pipes hold, and not what is still written to them."""
    for fd, output in kept.items():
        for _ in range(_PIPE):
            if not _read(fd, output, limit):
                break


def _written(fd: int, left: memoryview) -> memoryview:
    """Write what the pipe takes; returns what is left, nothing when nobody reads it."""
    try:
        return left[os.write(fd, left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]


def _read(fd: int, kept: bytearray, limit: int) -> bool:
    """Read what there is, and keep one byte more than `limit`; false at the end, or when there is nothing now."""
    try:
        data = os.read(fd, _CHUNK)
    except BlockingIOError:
        return False
    kept += data[: max(0, limit + 1 - len(kept))]
    return bool(data)
