"""Files by descriptor: openat2(2) inside a root, and writes whose errors name the file.

SECURITY: nothing here follows a magic link, and nothing resolves above the directory it was given. Code that touches
the container's tree or /proc goes through this module and never through path strings.
"""

from __future__ import annotations

import os

from ocirun.kernel import raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10
O_PATH: Final = os.O_PATH
PROC_SUPER_MAGIC: Final = 0x9FA0
DEVPTS_SUPER_MAGIC: Final = 0x1CD1
_EAGAIN_TRIES: Final = 64


def clean(path: str) -> str:
    """A container path made absolute, without ``.``, ``..`` and double slashes; a relative one counts from ``/``."""
    return os.path.normpath("/" + path.lstrip("/"))


def openat2(dirfd: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2) (struct open_how, 3 × u64), close-on-exec; repeated when a rename raced with the walk (EAGAIN)."""
    how = b"".join(number.to_bytes(8, "little") for number in (flags | os.O_CLOEXEC, mode, resolve))
    for _ in range(_EAGAIN_TRIES):
        fd = raw.syscall(raw.OPENAT2, dirfd, path, how, len(how))
        if fd != -11:
            break
    return raw.checked("openat2", fd, os.fsdecode(path))


def open_in_root(root: int, path: bytes, flags: int = O_PATH) -> int:
    """Open `path` as a process would whose root directory is `root`: symlinks and ``..`` cannot leave it."""
    return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def make_directories(root: int, path: bytes, mode: int = 0o755) -> int:
    """Walk `path` inside `root`, making what is missing, and return an O_PATH descriptor of the last part.

    SECURITY: the part that exists is resolved by one openat2 in the root, so a symlink stays inside it; below that,
    each part is made with mkdirat relative to a descriptor and opened without following links, so nobody can swap one.
    """
    parts = [part for part in path.split(b"/") if part and part != b"."]
    missing: list[bytes] = []
    while True:
        try:
            fd = open_in_root(root, b"/".join(parts) or b".", O_PATH | os.O_DIRECTORY)
            break
        except raw.KernelError as problem:
            if problem.errno != 2 or not parts:
                raise
            missing.append(parts.pop())
    for part in reversed(missing):
        try:
            deeper = _make_directory(fd, part, mode)
        finally:
            os.close(fd)
        fd = deeper
    return fd


def _make_directory(dirfd: int, name: bytes, mode: int) -> int:
    made = raw.syscall(raw.MKDIRAT, dirfd, name, mode)
    if made < 0 and made != -17:
        raw.checked("mkdirat", made, os.fsdecode(name))
    return openat2(dirfd, name, O_PATH | os.O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)


def make_file(root: int, path: bytes, mode: int = 0o644) -> int:
    """Make the empty regular file `path` inside `root`, with its directories; returns an O_PATH descriptor."""
    head, _, name = path.rstrip(b"/").rpartition(b"/")
    parent = make_directories(root, head)
    try:
        fd = openat2(
            parent, name, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, mode
        )
        os.close(fd)
        return openat2(parent, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    finally:
        os.close(parent)


def write_proc(proc: int, path: bytes, data: bytes) -> None:
    """Write `data` to the file `path` of the procfs whose root is `proc`, in one write.

    SECURITY: NO_XDEV keeps the walk on that very procfs, whatever is mounted over its files.
    """
    resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
    fd = openat2(proc, path, os.O_WRONLY, resolve)
    try:
        os.write(fd, data)
    except OSError as problem:
        raise raw.KernelError(problem.errno or 0, "write", os.fsdecode(path)) from None
    finally:
        os.close(fd)


def statfs_type(fd: int) -> int:
    """f_type of the filesystem that `fd` lies on (struct statfs begins with it)."""
    buffer = bytearray(120)
    raw.call("fstatfs", raw.FSTATFS, fd, buffer)
    return int.from_bytes(buffer[:8], "little")


def open_proc() -> int:
    """An O_PATH descriptor of the host's procfs, verified to be one."""
    fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if statfs_type(fd) != PROC_SUPER_MAGIC:
        os.close(fd)
        raise raw.KernelError(22, "fstatfs", "/proc is not a procfs")
    return fd
