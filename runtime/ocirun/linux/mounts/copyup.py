"""The mount option tmpcopyup: a new tmpfs begins with a copy of what it covers.

Everything is reached by descriptor, without following a symlink; owners, modes, times and device numbers are kept.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_CHUNK: Final = 1 << 20
_NOFOLLOW: Final = os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, destination: int) -> None:
    """Copy the content of the directory `source` into the directory `destination` (any descriptors, O_PATH too)."""
    there = os.open(".", os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW, dir_fd=source)
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW, dir_fd=destination)
    try:
        for name in os.listdir(there):
            _copy_entry(there, here, name)
        _copy_metadata(here, ".", os.fstat(there))
    finally:
        os.close(there)
        os.close(here)


def _copy_entry(there: int, here: int, name: str) -> None:
    found = os.stat(name, dir_fd=there, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        os.mkdir(name, 0o700, dir_fd=here)
        source = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW, dir_fd=there)
        destination = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW, dir_fd=here)
        copy_tree(source, destination)
        os.close(source)
        os.close(destination)
        return
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=there), name, dir_fd=here)
    elif stat.S_ISREG(found.st_mode):
        _copy_file(there, here, name)
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=here)
    _copy_metadata(here, name, found)


def _copy_file(there: int, here: int, name: str) -> None:
    source = os.open(name, os.O_RDONLY | _NOFOLLOW | os.O_NONBLOCK, dir_fd=there)
    destination = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600, dir_fd=here)
    try:
        while part := os.read(source, _CHUNK):
            while part:
                part = part[os.write(destination, part) :]
    finally:
        os.close(source)
        os.close(destination)


def _copy_metadata(here: int, name: str, found: os.stat_result) -> None:
    """Owner before mode: chown(2) clears the set-id bits. A symlink has no mode of its own."""
    os.chown(name, found.st_uid, found.st_gid, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=here)
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=here, follow_symlinks=False)
