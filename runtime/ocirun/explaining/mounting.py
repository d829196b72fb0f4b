"""The calls of `calls`, for mounts, the root and what covers paths."""

from __future__ import annotations

import os

from ocirun.explaining.words import attributes, propagation, quoted
from ocirun.kernel import mount
from ocirun_spec import mount_options as table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ocirun.linux.mounts.wish import Wish

    Arguments = tuple[Any, ...]


def _setattr(to_set: int, to_clear: int, recursive: bool = False) -> list[str]:
    """mount_setattr(2) on the mount at hand; nothing for nothing."""
    flags = "AT_RECURSIVE" if recursive else "0"
    parts = [f"set {attributes(to_set)}"] if to_set else []
    parts += [f"clear {attributes(to_clear)}"] if to_clear else []
    return [f"mount_setattr(mount, {flags}, {', '.join(parts)})"] if parts else []


def _flags(wish: Wish) -> list[str]:
    return [*_setattr(*wish.attributes), *_setattr(*wish.recursive, True)]


def _propagate(wish: Wish) -> list[str]:
    return [
        f"mount_setattr(mount, {'AT_RECURSIVE' if flag & table.MS_REC else '0'}, {propagation(flag & ~table.MS_REC)})"
        for flag in wish.propagation
    ]


def _copy(args: Arguments) -> list[str]:
    source, wish, shared, mappings = args
    recursive = "|AT_RECURSIVE" if wish.bind == table.RBIND else ""
    return [
        f"open_tree({quoted(source)}, OPEN_TREE_CLONE{recursive})",
        *([] if shared else ["mount_setattr(mount, AT_RECURSIVE, MS_SLAVE)"]),
        *(_idmapped(wish) if mappings else []),
        *_flags(wish),
    ]


def _idmapped(wish: Wish) -> list[str]:
    return [f"mount_setattr(mount, {'AT_RECURSIVE' if wish.idmap == table.RIDMAP else '0'}, MOUNT_ATTR_IDMAP)"]


def _bind(args: Arguments) -> list[str]:
    destination, copied, by_parent = args
    attached = [f"openat2(root, {quoted(destination)}, O_PATH), or make it", "move_mount(copy, target)"]
    return [*([] if by_parent else _copy(copied.args)), *attached, *_propagate(copied.args[1])]


def _configured(kind: bytes, options: list[tuple[bytes, bytes]], flags: int) -> list[str]:
    """fsopen(2) to fsmount(2)."""
    return [
        f"fsopen({quoted(kind)})",
        *(
            f"fsconfig(FSCONFIG_SET_STRING, {quoted(key)}, {quoted(value)})"
            if value
            else f"fsconfig(FSCONFIG_SET_FLAG, {quoted(key)})"
            for key, value in options
        ),
        "fsconfig(FSCONFIG_CMD_CREATE)",
        f"fsmount({attributes(flags)})",
    ]


def _filesystem(args: Arguments) -> list[str]:
    destination, kind, options, wish, owner, made = args
    later = wish.attributes[0] & mount.MOUNT_ATTR_RDONLY
    return [
        *(["take the mount of the device, if it is one; else:"] if made else []),
        *_configured(kind, options, wish.attributes[0] & ~mount.MOUNT_ATTR_RDONLY),
        *(["copy the directory's content into it"] if wish.tmpcopyup else []),
        *(_idmapped(wish) if owner else []),
        *_setattr(later, 0),
        *_setattr(wish.recursive[0], wish.recursive[1], True),
        f"move_mount(mount, {quoted(destination)} in root)",
        *_propagate(wish),
    ]


def _on_device(args: Arguments) -> list[str]:
    source, kind, options, wish = args
    return [f"stat({quoted(source)}); if it is a block device:", *_configured(kind, options, wish.attributes[0])]


def _remount(args: Arguments) -> list[str]:
    destination, wish = args
    parameters = () if wish.bind else (*wish.keys, *wish.data)
    return [
        f"openat2(root, {quoted(destination)}, O_PATH)",
        *(["fspick(target)"] if parameters else []),
        *(f"fsconfig({quoted(each)})" for each in parameters),
        *(["fsconfig(FSCONFIG_CMD_RECONFIGURE)"] if parameters else []),
        *_flags(wish),
        *_propagate(wish),
    ]


def _attach_root(args: Arguments) -> list[str]:
    _opened, path, shown = args
    copied = [f"open({quoted(path)}, O_PATH)", "open_tree(directory, OPEN_TREE_CLONE|AT_RECURSIVE)"] if path else []
    return [*copied, f"move_mount(root, {quoted(os.fsdecode(shown)) if shown else quoted('/')})"]


def _open_root(args: Arguments) -> list[str]:
    path, may_mount = args
    opened = f"open({quoted(path)}, O_PATH|O_DIRECTORY|O_NOFOLLOW)"
    copied = ["open_tree(root, OPEN_TREE_CLONE|AT_RECURSIVE)", "mount_setattr(root, AT_RECURSIVE, MS_SLAVE)"]
    return [opened, *(copied if may_mount else [])]


_CHROOT: Final = ["fchdir(root)", 'chroot(".")', 'chdir("/")']

MOUNTING: Final[dict[str, Callable[[Arguments], list[str]] | list[str]]] = {
    "masks.make_readonly": lambda args: [
        f"openat2(root, {quoted(args[0])}, O_PATH); if it is there:", "open_tree(path, OPEN_TREE_CLONE|AT_RECURSIVE)",
        *_setattr(mount.MOUNT_ATTR_RDONLY, 0, recursive=True), "move_mount(copy, path)",
    ],
    "masks.mask": lambda args: [
        f"openat2(root, {quoted(args[0])}, O_PATH); if it is there:",
        "move_mount(an empty tmpfs on a directory, /dev/null on a file)",
    ],
    "masks.open_null": ['open("/dev/null", O_PATH|O_NOFOLLOW), which has to be makedev(1, 3)'],
    "mounts.attach_bind": _bind,
    "mounts.close_dev": ['openat2(root, "/dev", O_PATH)', *_setattr(mount.MOUNT_ATTR_RDONLY, 0)],
    "mounts.copy_source": _copy,
    "mounts.describe_cgroup": [],
    "mounts.make_on_device": _on_device,
    "mounts.map_ids": ["unshare(CLONE_NEWUSER) in a child, whose namespace is opened"],
    "mounts.mount_cgroup": lambda args: [
        f"openat2(root, {quoted(args[0])}, O_PATH), or make it",
        "for each hierarchy: fsopen(2) to move_mount(2), or a copy of the container's own cgroup", *_flags(args[1]),
        *_propagate(args[1]),
    ],
    "mounts.mount_filesystem": _filesystem,
    "mounts.propagate_again": lambda args: [f"openat2(root, {quoted(args[0])}, O_PATH)", *_propagate(args[1])],
    "mounts.remount": _remount,
    "rootfs.attach_root": _attach_root,
    "rootfs.change_root": _CHROOT,
    "rootfs.cut_propagation": ['mount_setattr("/", AT_RECURSIVE, MS_SLAVE)'],
    "rootfs.make_readonly": ["mount_setattr(root, 0, set MOUNT_ATTR_RDONLY)"],
    "rootfs.move_root": _CHROOT,
    "rootfs.move_to_top": ['move_mount(root, "/")'],
    "rootfs.open_root": _open_root,
    "rootfs.pivot_root": [
        "fchdir(root)", 'pivot_root(".", ".")', 'umount2(".", MNT_DETACH)', 'chdir("/")',
    ],
    "rootfs.set_propagation": lambda args: [
        f"mount_setattr(root, {'AT_RECURSIVE' if args[1] else '0'}, {propagation(args[0])})"
    ],
    "rootfs.use_directory": [],
}  # fmt: skip
