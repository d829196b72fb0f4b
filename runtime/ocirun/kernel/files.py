"""Files by descriptor: openat2(2) inside a root, and writes whose errors name the file.

SECURITY: nothing here follows a magic link, and nothing resolves above the directory it was given. Code that touches
the container's tree or /proc goes through this module and never through path strings.
"""

from __future__ import annotations

import os
import stat

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
_MOST_LINKS: Final = 40
_ENOENT: Final = 2
_EEXIST: Final = 17
_ELOOP: Final = 40

made: list[bytes] = []
"""What this process has made below a root, as ``device inode path``, until somebody takes it."""
entered = False
"""Whether this process has entered a running container: its working directory is the host's procfs, since /proc is the
container's, and what is mounted in the root stays when this process fails.
"""


def clean(path: str) -> str:
    """A container path made absolute, without ``.``, ``..`` and double slashes; a relative one counts from ``/``."""
    return os.path.normpath("/" + path.lstrip("/"))


def openat2(dirfd: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2), close-on-exec."""
    return raw.checked("openat2", _openat2(dirfd, path, flags, resolve, mode), os.fsdecode(path))


def _openat2(dirfd: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """With struct open_how, 3 × u64; repeated when a rename raced with the walk (EAGAIN). The negated errno else."""
    how = b"".join(number.to_bytes(8, "little") for number in (flags | os.O_CLOEXEC, mode, resolve))
    for _ in range(_EAGAIN_TRIES):
        fd = raw.syscall(raw.OPENAT2, dirfd, path, how, len(how))
        if fd != -11:
            break
    return fd


def open_in_root(root: int, path: bytes, flags: int = O_PATH) -> int:
    """Open `path` as a process would whose root directory is `root`: symlinks and ``..`` cannot leave it."""
    return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def try_in_root(root: int, path: bytes) -> int:
    """The same for what may be missing: the negated errno then, since an exception takes a tenth of a millisecond."""
    return _openat2(root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def make_directories(root: int, path: bytes, mode: int = 0o755, note: bool = True) -> int:
    """Walk `path` inside `root`, making what is missing, and return an O_PATH descriptor of the last part.

    note: false where `root` is a mount of the container's own, which needs no entry in `made`.

    SECURITY: the part that exists is resolved by one openat2 in the root, so a symlink stays inside it; below that,
    each part is made with mkdirat relative to a descriptor and opened without following links, so nobody can swap one.
    A symlink that leads nowhere yet is followed by starting again, in the root, with its text in its place.
    """
    for _ in range(_MOST_LINKS):
        parts = [part for part in path.split(b"/") if part and part != b"."]
        fd, depth = _open_deepest(root, parts)
        while depth < len(parts):
            try:
                deeper = _make_directory(root if note else -1, fd, parts[depth], mode)
            except raw.KernelError as problem:
                # SECURITY: a link of a procfs may be a magic one, whose text is a path of the host.
                if problem.errno != _ELOOP or statfs_type(fd) == PROC_SUPER_MAGIC:
                    raise
                target = os.readlink(parts[depth], dir_fd=fd)
                before = [] if target.startswith(b"/") else parts[:depth]
                path = b"/".join([*before, target, *parts[depth + 1 :]])
                break
            finally:
                os.close(fd)
            fd = deeper
            depth += 1
        else:
            return fd
    raise raw.KernelError(_ELOOP, "openat2", os.fsdecode(path))


def _open_deepest(root: int, parts: list[bytes]) -> tuple[int, int]:
    """(an O_PATH descriptor, how many of the parts it covers) of the longest beginning that exists."""
    for depth in range(len(parts), -1, -1):
        try:
            return open_in_root(root, b"/".join(parts[:depth]) or b".", O_PATH | os.O_DIRECTORY), depth
        except raw.KernelError as problem:
            if problem.errno != _ENOENT or not depth:
                raise
    raise raw.KernelError(_ENOENT, "openat2")


def _make_directory(root: int, dirfd: int, name: bytes, mode: int) -> int:
    result = raw.syscall(raw.MKDIRAT, dirfd, name, mode)
    if result < 0 and result != -_EEXIST:
        raw.checked("mkdirat", result, os.fsdecode(name))
    fd = openat2(dirfd, name, O_PATH | os.O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    if not result and root >= 0:
        _note(root, fd)
    return fd


def _note(root: int, fd: int) -> None:
    """Add to `made` what is on the root's own filesystem; a mount of the container takes its content with it."""
    found = os.fstat(fd)
    if entered or found.st_dev == os.fstat(root).st_dev:
        link = b"self/fd/%d" if entered else b"/proc/self/fd/%d"
        made.append(b"%d %d %s" % (found.st_dev, found.st_ino, os.readlink(link % fd)))


def make_file(root: int, path: bytes, mode: int = 0o644) -> int:
    """Make the empty regular file `path` inside `root`, with its directories, unless something stands there already.

    Returns an O_PATH descriptor. SECURITY: nothing is opened for use: what the image has put there may be a fifo or a
    device, and a symlink is refused.
    """
    head, _, name = path.rstrip(b"/").rpartition(b"/")
    parent = make_directories(root, head)
    try:
        result = raw.syscall(raw.MKNODAT, parent, name, stat.S_IFREG | mode, 0)
        if result != -_EEXIST:
            raw.checked("mknodat", result, os.fsdecode(path))
        fd = openat2(parent, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
        if not result:
            _note(root, fd)
        return fd
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
