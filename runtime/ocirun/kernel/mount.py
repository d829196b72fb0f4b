"""The mount family: fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2), umount2(2).

Constants are those of linux/mount.h and linux/fcntl.h. Every descriptor returned is close-on-exec.
"""

from __future__ import annotations

import os

from ocirun.kernel import raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
FSOPEN_CLOEXEC: Final = 1
FSMOUNT_CLOEXEC: Final = 1
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
FSCONFIG_CMD_RECONFIGURE: Final = 7
FSPICK_CLOEXEC: Final = 1
FSPICK_EMPTY_PATH: Final = 8
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOUNT_ATTR__ATIME: Final = 0x70
MOUNT_ATTR_IDMAP: Final = 0x100000
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8
STATX_ATTR_MOUNT_ROOT: Final = 0x2000


def open_tree(dirfd: int, path: bytes, flags: int) -> int:
    """A descriptor of a mount, or with OPEN_TREE_CLONE of a detached copy of it."""
    return raw.call("open_tree", raw.OPEN_TREE, dirfd, path, flags | OPEN_TREE_CLOEXEC, detail=os.fsdecode(path))


def copy(fd: int, recursive: bool) -> int:
    """A detached copy of the mount at `fd`, with what is mounted below it when `recursive`."""
    return open_tree(fd, b"", OPEN_TREE_CLONE | AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0))


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the mount `mount_fd` on top of the directory or file `target_fd`: descriptors only, never a path."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    raw.call("move_mount", raw.MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags)


def mount_setattr(fd: int, flags: int, attr_set: int, attr_clr: int = 0, propagation: int = 0, userns: int = 0) -> None:
    """Change the attributes of the mount `fd`; `flags` is 0 or AT_RECURSIVE (struct mount_attr, 4 × u64)."""
    numbers = (attr_set, attr_clr, propagation, userns)
    attr = b"".join(number.to_bytes(8, "little") for number in numbers)
    raw.call("mount_setattr", raw.MOUNT_SETATTR, fd, b"", flags | AT_EMPTY_PATH, attr, len(attr))


def fsopen(fstype: bytes) -> int:
    """A filesystem context of type `fstype`."""
    return raw.call("fsopen", raw.FSOPEN, fstype, FSOPEN_CLOEXEC, detail=os.fsdecode(fstype))


def fsconfig_flag(fd: int, key: bytes) -> None:
    """Set a flag parameter of the context."""
    _config(fd, FSCONFIG_SET_FLAG, key, None)


def fsconfig_string(fd: int, key: bytes, value: bytes) -> None:
    """Set a string parameter of the context."""
    _config(fd, FSCONFIG_SET_STRING, key, value)


def fsconfig_create(fd: int) -> None:
    """Make the superblock."""
    _config(fd, FSCONFIG_CMD_CREATE, None, None)


def fsconfig_reconfigure(fd: int) -> None:
    """Apply the parameters to the picked superblock."""
    _config(fd, FSCONFIG_CMD_RECONFIGURE, None, None)


def _config(fd: int, command: int, key: bytes | None, value: bytes | None) -> None:
    try:
        raw.call("fsconfig", raw.FSCONFIG, fd, command, key, value, 0)
    except raw.KernelError as problem:
        said = _kernel_log(fd)
        option = (key or b"").decode("utf-8", "replace") + ("=" + value.decode("utf-8", "replace") if value else "")
        problem.detail = "; ".join(part for part in (option, said) if part)
        raise


def _kernel_log(fd: int) -> str:
    """What the kernel wrote into the context's log: lines that begin with ``e ``, ``w `` or ``i ``."""
    said = []
    for _ in range(8):
        try:
            line = os.read(fd, 1024)
        except OSError:
            break
        said.append(line[2:].decode("utf-8", "replace").strip())
    return "; ".join(said)


def fsmount(fd: int, attributes: int) -> int:
    """A detached mount of the created context."""
    return raw.call("fsmount", raw.FSMOUNT, fd, FSMOUNT_CLOEXEC, attributes)


def new_filesystem(fstype: bytes, options: list[tuple[bytes, bytes]], attributes: int) -> int:
    """A detached mount of a new filesystem instance."""
    context = fsopen(fstype)
    try:
        for key, value in options:
            if value:
                fsconfig_string(context, key, value)
            else:
                fsconfig_flag(context, key)
        fsconfig_create(context)
        return fsmount(context, attributes)
    finally:
        os.close(context)


def fspick(fd: int) -> int:
    """A context of the superblock under the mount `fd`, for fsconfig_reconfigure."""
    return raw.call("fspick", raw.FSPICK, fd, b"", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)


def mountinfo() -> bytes:
    """/proc/self/mountinfo, whole (proc(5))."""
    fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts)


def unescape(field: bytes) -> bytes:
    """A field of mountinfo as it is."""
    for escape, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(escape, character)
    return field


def is_mount_point(fd: int) -> bool:
    """Whether `fd` is the root of a mount (struct statx: stx_attributes are its second 8 bytes; since Linux 5.8)."""
    buffer = bytearray(256)
    raw.call("statx", raw.STATX, fd, b"", AT_EMPTY_PATH, 0, buffer)
    return bool(int.from_bytes(buffer[8:16], "little") & STATX_ATTR_MOUNT_ROOT)


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    """pivot_root(2); ``.`` twice stacks the old root on the new one."""
    raw.call("pivot_root", raw.PIVOT_ROOT, new_root, put_old)


def umount(path: bytes, flags: int = MNT_DETACH) -> None:
    """umount2(2)."""
    raw.call("umount2", raw.UMOUNT2, path, flags)
