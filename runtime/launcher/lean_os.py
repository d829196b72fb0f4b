"""The part of `os` that hot modules use, without the 1.5 ms that `os` takes to load (mostly for abstract base classes).

Rules: freezing replaces ``import os`` by this in each module of ours all of whose uses of `os` are found here, and
leaves it alone in every other; so whatever stands here behaves as in `os`, or is not here. The system calls and
constants are the very same objects. `environ` is for reading only.
"""

from __future__ import annotations

import posix
from posix import *  # noqa: F403
from posix import _exit as _exit  # noqa: PLC0414

name = "posix"
sep = "/"
devnull = "/dev/null"
SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2

environb = posix.environ


def fsencode(filename: str | bytes) -> bytes:
    """Encode a path as the kernel takes it."""
    filename = posix.fspath(filename)
    return filename if isinstance(filename, bytes) else filename.encode("utf-8", "surrogateescape")


def fsdecode(filename: str | bytes) -> str:
    """Decode a path from the kernel; bytes that are not UTF-8 become lone surrogates."""
    filename = posix.fspath(filename)
    return filename if isinstance(filename, str) else filename.decode("utf-8", "surrogateescape")


environ = {fsdecode(key): fsdecode(value) for key, value in environb.items()}  # type: ignore[misc]


def makedirs(name: str, mode: int = 0o777, exist_ok: bool = False) -> None:
    """Make a folder and those above it; `mode` is for the last one."""
    parent = path.dirname(name.rstrip("/"))
    if parent and not path.isdir(parent):
        try:
            makedirs(parent, exist_ok=True)
        except FileExistsError:
            pass  # as in `os`: the next call says what is wrong
    try:
        posix.mkdir(name, mode)
    except OSError:
        if not exist_ok or not path.isdir(name):
            raise


class path:  # noqa: N801
    """The part of `os.path`, for str."""

    @staticmethod
    def join(first: str, *rest: str) -> str:
        """Put paths together; an absolute one drops those before it."""
        whole = first
        for part in rest:
            if part.startswith("/"):
                whole = part
            elif not whole or whole.endswith("/"):
                whole += part
            else:
                whole += "/" + part
        return whole

    @staticmethod
    def dirname(whole: str) -> str:
        """Everything before the last slash."""
        head = whole[: whole.rfind("/") + 1]
        return head.rstrip("/") or head

    @staticmethod
    def basename(whole: str) -> str:
        """Everything behind the last slash."""
        return whole[whole.rfind("/") + 1 :]

    @staticmethod
    def isabs(whole: str) -> bool:
        """Whether it begins with a slash."""
        return whole.startswith("/")

    @staticmethod
    def isdir(whole: str) -> bool:
        """Whether it is a folder, or leads to one."""
        try:
            return posix.stat(whole).st_mode & 0o170000 == 0o040000
        except (OSError, ValueError):
            return False

    @staticmethod
    def normpath(whole: str) -> str:
        """Without ``.``, ``..`` and doubled slashes, by the text alone."""
        root = "/" if whole.startswith("/") else ""
        if whole.startswith("//") and not whole.startswith("///"):
            root = "//"
        kept: list[str] = []
        for part in whole.split("/"):
            if part == ".." and kept and kept[-1] != "..":
                kept.pop()
            elif part not in ("", ".") and not (part == ".." and root):
                kept.append(part)
        return root + "/".join(kept) or "."

    @staticmethod
    def abspath(whole: str) -> str:
        """The normal form below the working directory."""
        return path.normpath(whole if whole.startswith("/") else path.join(posix.getcwd(), whole))
