"""A FUSE filesystem whose server reads no question, by the kernel's protocol (linux/fuse.h): who looks into it hangs.

Only FUSE_INIT is answered, so that the mount is a proper one. What waits for an answer that nobody has read can still
be killed. Closing the descriptor ends the filesystem, and everybody's wait.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = (7, 31)
_INIT = 26
_UMOUNT_DETACH = 2
_IN_HEADER, _OUT_HEADER = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
_libc = ctypes.CDLL(None, use_errno=True)


def unavailable() -> str:
    """A probe: the reason why there is none, or nothing."""
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "not this lane: there is no /dev/fuse"


@contextmanager
def mounted(point: Path) -> Iterator[None]:
    """A filesystem on this directory, which is made."""
    point.mkdir()
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
        if _libc.mount(b"hung", bytes(point), b"fuse", 0, options.encode()) < 0:
            raise OSError(ctypes.get_errno(), "mount")
        try:
            _length, operation, unique, *_rest = _IN_HEADER.unpack_from(os.read(server, 1 << 17))
            assert operation == _INIT
            answer = struct.pack("<IIII", *_VERSION, 0, 0).ljust(64, b"\0")
            os.write(server, _OUT_HEADER.pack(_OUT_HEADER.size + len(answer), 0, unique) + answer)
            yield
        finally:
            _libc.umount2(bytes(point), _UMOUNT_DETACH)
    finally:
        os.close(server)
