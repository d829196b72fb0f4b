"""Taking back the mount points that a failed `create` or `run` has made in the image's root.

Best effort and without a word: what is in use by now, or not empty, stays.

SECURITY: the tree is the image's, and another container may change it meanwhile. An entry goes only when it is the very
one that was made; what stands in its place then is at most an empty directory or a name below the root.
"""

from __future__ import annotations

import os
import stat

from ocirun.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_RESOLVE: Final = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_SYMLINKS | files.RESOLVE_NO_MAGICLINKS


def remove(rootfs: str, made: list[bytes]) -> None:
    """Remove, the last first. `made`: ``device inode path``; the path is the container's or, for hooks, the host's."""
    own = os.fsencode(rootfs)
    try:
        root = os.open(own, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    for each in reversed(made):
        try:
            device, inode, path = each.split(b" ", 2)
            _remove(root, path.removeprefix(own), (int(device), int(inode)))
        except (OSError, ValueError):
            continue
    os.close(root)


def _remove(root: int, path: bytes, wanted: tuple[int, int]) -> None:
    head, _, name = path.rpartition(b"/")
    parent = files.openat2(root, head or b".", os.O_PATH | os.O_DIRECTORY, _RESOLVE)
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if (found.st_dev, found.st_ino) != wanted:
            return
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=parent)
        elif stat.S_ISREG(found.st_mode) and not found.st_size:
            os.unlink(name, dir_fd=parent)
    finally:
        os.close(parent)
