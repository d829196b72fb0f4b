"""A mount of type ``cgroup``: carries out what `ocirun.linux.cgroup.mounts` has described for this host and container.

On v1 hosts that is a tmpfs with one mount per hierarchy below it; on v2 hosts the single cgroup2. The entry's flags
count for all of them; the tmpfs becomes read-only last, after its directories are made.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.kernel import files, mount, raw
from ocirun_spec.mount_options import MS_REC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.linux.mounts.wish import Wish
    from ocirun.parent import Host
    from ocirun.scene import Scene
    from ocirun.steps import InsideStep, OutsideStep

    Deed = tuple[str, str, str, tuple[str, ...], bool, int]

_EEXIST: Final = 17


def describe_cgroup(step: OutsideStep, host: Host) -> None:
    """Fill the container's step with its deeds; host directories are copied here, where the host's rights count."""
    describe, deeds, wish, may_mount = step.args
    own = (*wish.keys, *wish.data)
    for kind, name, source, options, readonly in describe(host.record["cgroup"]):
        if own and (kind, source) != ("fs", "cgroup2"):
            what = f"{step.text}: only a cgroup2 of its own takes options of a filesystem: {', '.join(own)}"
            raise Failure(what, where=f"{step.pointer}/options")
        fd = copy_directory(source) if kind == "bind" and may_mount else -1
        deeds.append((kind, name, source, (*options, *own), readonly, fd))


def mount_cgroup(step: InsideStep, scene: Scene) -> None:
    """Do the described deeds; `step.args` are the destination, the options and the list that the parent has filled."""
    destination, wish, deeds = step.args
    top = files.make_directories(scene.root, destination)
    writable = wish.attributes[0] & ~mount.MOUNT_ATTR_RDONLY
    first = -1
    for kind, name, source, options, readonly, fd in deeds:
        if kind == "symlink":
            made = raw.syscall(raw.SYMLINKAT, os.fsencode(source), top, os.fsencode(name))
            if made != -_EEXIST:
                raw.checked("symlinkat", made, name)
            continue
        tree = source == "tmpfs"
        labels = [(b"context", wish.label)] if tree and wish.label else []
        mounted = _made(kind, source, options, fd, writable, labels)
        if not tree:
            _set_flags(mounted, wish, readonly)
        target = files.make_directories(top, os.fsencode(name), note=False) if name else top
        if not name:
            scene.attach(mounted)
        mount.move_mount(mounted, target)
        os.close(target)
        if not name:
            top = files.open_in_root(scene.root, destination)
            first = mounted
        else:
            os.close(mounted)
    if first >= 0:
        if deeds[0][2] == "tmpfs":
            _set_flags(first, wish, False)
        _set_for_tree(first, wish)
        scene.leave(first)
    os.close(top)


def _set_for_tree(first: int, wish: Wish) -> None:
    """The recursive flags, and propagation. SECURITY: what is bound read-only stays so, whatever is asked for."""
    to_set, to_clear = wish.recursive[0], wish.recursive[1] & ~mount.MOUNT_ATTR_RDONLY
    if to_set or to_clear:
        mount.mount_setattr(first, mount.AT_RECURSIVE, to_set, to_clear)
    for flag in wish.propagation:
        recursive = mount.AT_RECURSIVE if flag & MS_REC else 0
        mount.mount_setattr(first, recursive, 0, propagation=flag & ~MS_REC)


def _made(
    kind: str, source: str, options: tuple[str, ...], fd: int, attributes: int, labels: list[tuple[bytes, bytes]]
) -> int:
    """A detached mount of one deed."""
    if kind == "fs":
        pairs = [(key, value) for key, _, value in (os.fsencode(option).partition(b"=") for option in options)]
        return mount.new_filesystem(os.fsencode(source), labels + pairs, attributes)
    return fd if fd >= 0 else copy_directory(source)


def copy_directory(source: str) -> int:
    """A detached copy of a host's cgroup directory, cut off from propagation."""
    copied = mount.open_tree(mount.AT_FDCWD, os.fsencode(source), mount.OPEN_TREE_CLONE)
    mount.mount_setattr(copied, 0, 0, propagation=mount.MS_PRIVATE)
    return copied


def _set_flags(fd: int, wish: Wish, readonly: bool) -> None:
    to_set, to_clear = wish.attributes
    if readonly:
        to_set, to_clear = to_set | mount.MOUNT_ATTR_RDONLY, to_clear & ~mount.MOUNT_ATTR_RDONLY
    if to_set or to_clear:
        mount.mount_setattr(fd, 0, to_set, to_clear)
