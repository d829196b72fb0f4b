"""A FUSE filesystem whose server does not answer, by the kernel's protocol (linux/fuse.h): who looks into it hangs.

FUSE_INIT is answered, so that the mount is a proper one, and who asks for it gets one file. What waits for an answer
that nobody has read can be killed; once the question is read it cannot. Closing the descriptor ends the filesystem, and
everybody's wait.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = (7, 31)
_LOOKUP = 1
_INIT = 26
_PLAIN_FILE = 0o100644
_UMOUNT_DETACH = 2
_IN_HEADER, _OUT_HEADER = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
_ENTRY_OUT = struct.Struct("<QQQQIIQQQQQQIIIIIIIIII")
_libc = ctypes.CDLL(None, use_errno=True)


def unavailable() -> str:
    """A probe: the reason why there is none, or nothing."""
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "not this lane: there is no /dev/fuse"


class Server:
    """The server's side."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def read(self, operation: int = 0) -> int:
        """Read a question, which is in no hurry; returns its number."""
        readable, _, _ = select.select([self.descriptor], [], [], 30)
        assert readable, "nobody asks"
        _length, asked, unique, *_rest = _IN_HEADER.unpack_from(os.read(self.descriptor, 1 << 17))
        assert operation in (0, asked)
        return int(unique)

    def answer(self, unique: int, content: bytes) -> None:
        """Answer one question."""
        os.write(self.descriptor, _OUT_HEADER.pack(_OUT_HEADER.size + len(content), 0, unique) + content)

    def find(self) -> None:
        """Answer the first question: what is looked up is an empty file, about which all has to be asked again."""
        entry = (2, 0, 3600, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, _PLAIN_FILE, 1, 0, 0, 0, 4096, 0)
        self.answer(self.read(_LOOKUP), _ENTRY_OUT.pack(*entry))


@contextmanager
def mounted(point: Path) -> Iterator[Server]:
    """A filesystem on this directory, which is made."""
    point.mkdir()
    server = Server(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    try:
        options = f"fd={server.descriptor},rootmode=40000,user_id=0,group_id=0"
        if _libc.mount(b"hung", bytes(point), b"fuse", 0, options.encode()) < 0:
            raise OSError(ctypes.get_errno(), "mount")
        try:
            server.answer(server.read(_INIT), struct.pack("<IIII", *_VERSION, 0, 0).ljust(64, b"\0"))
            yield server
        finally:
            _libc.umount2(bytes(point), _UMOUNT_DETACH)
    finally:
        os.close(server.descriptor)
