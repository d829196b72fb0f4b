"""mounts: each entry in the order of the config, with the new mount API and without a path string inside the root.

A bind is copied by the parent (open_tree(2)), in the host's namespaces and with the host's rights to the source; the
copy is detached, gets its flags there, and is inherited. A filesystem is made inside (fsopen(2)), in the namespaces
that it shows. Both are attached (move_mount(2)) to a target that was resolved inside the root.

SECURITY: a proc or sysfs is only mounted on a directory reached without any symlink (CVE-2023-27561), and nothing but
a few files of lxcfs is mounted inside a procfs (CVE-2019-16884).
"""

from __future__ import annotations

import os
import stat

from ocirun.kernel import files, mount, raw
from ocirun.kernel.userns import mapped_namespace
from ocirun.linux.mounts import copyup
from ocirun.linux.mounts.cgroupfs import describe_cgroup, mount_cgroup
from ocirun.linux.mounts.wish import PROC_FILES, Wish, check
from ocirun.steps import InsideStep, OutsideStep
from ocirun_spec import mount_options as table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from ocirun.parent import Host
    from ocirun.scene import Scene

_ENOENT: Final = 2
_ELOOP: Final = 40
_DEV: Final = b"/dev"
_PROC: Final = b"/proc"
_NO_SYMLINK_TYPES: Final = ("proc", "sysfs")
_OWN_LABELS: Final = ("proc", "sysfs", "cgroup2", "mqueue")
"""Filesystems whose files the policy labels one by one; only an mqueue's root takes a label, once it is made."""


def plan(
    config: dict[str, Any],
    bundle: str,
    may_mount: bool,
    shared: bool,
    describe: Callable[[Any], list[Any]],
    label: bytes = b"",
) -> tuple[list[OutsideStep], list[InsideStep], list[OutsideStep]]:
    """The parent's and the container's steps, in order; the third list belongs after the cgroups are made.

    may_mount:  whether who does the first list may copy mounts; else the container's process does it.
    shared:     copies stay peers of the host's mounts instead of becoming their slaves.
    describe:   what a mount of type ``cgroup`` consists of, given the record's cgroups.
    label:      linux.mountLabel, which new filesystems get; a bind shows files that have labels of their own.
    """
    views: list[OutsideStep] = []
    outside: list[OutsideStep] = []
    inside: list[InsideStep] = []
    for at, entry in enumerate(config.get("mounts") or ()):
        pointer = f"/mounts/{at}"
        wish = Wish(entry, label)
        check(entry, wish, pointer)
        destination = os.fsencode(files.clean(entry["destination"]))
        if wish.remount:
            text = f"remount {entry['destination']}"
            inside.append(InsideStep(remount, pointer, text, destination, wish))
        elif wish.bind:
            source = os.path.join(bundle, entry.get("source") or "")
            text = f"bind mount {source} on {entry['destination']}"
            mappings = _mappings(entry, wish, config)
            copied = OutsideStep(copy_source, pointer, text, source, wish, shared, mappings)
            if may_mount:
                outside.append(copied)
            inside.append(InsideStep(attach_bind, pointer, text, destination, copied, may_mount))
        elif entry.get("type") == "cgroup":
            text = f"mount cgroup on {entry['destination']}"
            deeds: list[Any] = []
            views.append(OutsideStep(describe_cgroup, pointer, text, describe, deeds, wish, may_mount))
            inside.append(InsideStep(mount_cgroup, pointer, text, destination, wish, deeds))
        else:
            if destination == _DEV:
                wish.put_off_readonly()
            mappings = _mappings(entry, wish, config)
            text = f"map the ids of the mount on {entry['destination']}"
            owner = OutsideStep(map_ids, pointer, text, mappings) if mappings else None
            made, step = _filesystem(entry, wish, pointer, destination, owner, may_mount)
            outside += [each for each in (owner, made) if each]
            inside.append(step)
    return outside, inside, views


def bind(
    source: str, destination: str, options: Sequence[str], pointer: str, may_mount: bool
) -> tuple[list[OutsideStep], list[InsideStep]]:
    """The steps of one bind mount that the configuration does not have; the lists of `plan`."""
    text = f"bind mount {source} on {destination}"
    copied = OutsideStep(copy_source, pointer, text, source, Wish({"options": options}), False, None)
    attached = InsideStep(attach_bind, pointer, text, os.fsencode(destination), copied, may_mount)
    return [copied] if may_mount else [], [attached]


def again(config: dict[str, Any]) -> list[InsideStep]:
    """The mounts' own propagation once more, when a recursive one of the root has changed them all."""
    if not ((config.get("linux") or {}).get("rootfsPropagation") or "").startswith("r"):
        return []
    steps = []
    for at, entry in enumerate(config.get("mounts") or ()):
        wish = Wish(entry)
        if wish.propagation:
            text = f"propagate mounts on {entry['destination']} as it wants"
            destination = os.fsencode(files.clean(entry["destination"]))
            steps.append(InsideStep(propagate_again, f"/mounts/{at}/options", text, destination, wish))
    return steps


def finish(config: dict[str, Any]) -> list[InsideStep]:
    """A read-only /dev of its own, once the devices and mount points in it are made."""
    for at, entry in enumerate(config.get("mounts") or ()):
        if os.fsencode(files.clean(entry["destination"])) != _DEV:
            continue
        wish = Wish(entry)
        if not (wish.bind or wish.remount) and wish.put_off_readonly():
            return [InsideStep(close_dev, f"/mounts/{at}/options", "make /dev read-only")]
    return []


def provides(config: dict[str, Any], path: str) -> bool:
    """Whether a bind mount brings `path` as a whole."""
    entries = config.get("mounts") or ()
    return any(files.clean(entry["destination"]) == path and Wish(entry).bind for entry in entries)


def _mappings(entry: dict[str, Any], wish: Wish, config: dict[str, Any]) -> tuple[Any, ...] | None:
    """The id mappings of an ``idmap`` mount: its own, else the container's, else (path,) of the joined namespace."""
    if not wish.idmap and not entry.get("uidMappings"):
        return None
    linux = config.get("linux") or {}
    for each in (entry, linux):
        if each.get("uidMappings") and each.get("gidMappings"):
            return each["uidMappings"], each["gidMappings"]
    return tuple(space["path"] for space in linux["namespaces"] if space["type"] == "user")


def _namespace(mappings: tuple[Any, ...]) -> int:
    """A descriptor of the user namespace that has what `_mappings` found."""
    if len(mappings) == 1:
        return os.open(mappings[0], os.O_RDONLY | os.O_CLOEXEC)
    return mapped_namespace(*mappings)


def _filesystem(
    entry: dict[str, Any], wish: Wish, pointer: str, destination: bytes, owner: OutsideStep | None, may_mount: bool
) -> tuple[OutsideStep | None, InsideStep]:
    """The step that makes it, and the one that comes before for what lies on a device."""
    fstype = entry.get("type") or "none"
    text = f"mount {fstype} on {entry['destination']}"
    options = [(b"source", os.fsencode(entry["source"]))] if entry.get("source") else []
    if wish.label and fstype not in _OWN_LABELS:
        options.append((b"context", wish.label))
    for option in (*wish.keys, *wish.data):
        key, equals, value = os.fsencode(option).partition(b"=")
        options.append((key, value if equals else b""))
    kind, source = os.fsencode(fstype), entry.get("source") or ""
    made = None
    if may_mount and source.startswith("/dev/"):
        from ocirun.linux.mounts import ondevice

        made = ondevice.plan(pointer, text, source, kind, options, wish)
    return made, InsideStep(mount_filesystem, pointer, text, destination, kind, options, wish, owner, made)


def copy_source(step: OutsideStep, _host: Host | None) -> None:
    """A detached copy of the source with all its flags set, in `step.fd`."""
    source, wish, shared, mappings = step.args
    recursive = mount.AT_RECURSIVE if wish.bind == table.RBIND else 0
    step.fd = mount.open_tree(mount.AT_FDCWD, os.fsencode(source), mount.OPEN_TREE_CLONE | recursive)
    if not shared:
        mount.mount_setattr(step.fd, mount.AT_RECURSIVE, 0, propagation=mount.MS_SLAVE)
    if mappings:
        userns = _namespace(mappings)
        try:
            _idmap(step.fd, wish, userns)
        finally:
            os.close(userns)
    _set_attributes(step.fd, wish)


def map_ids(step: OutsideStep, _host: Host) -> None:
    """A user namespace with the mappings, in `step.fd`, for a filesystem that is made inside.

    Not made there, since the kernel makes no user namespace for a process whose root lies below another mount.
    """
    step.fd = _namespace(step.args[0])


def _idmap(fd: int, wish: Wish, userns: int) -> None:
    recursive = mount.AT_RECURSIVE if wish.idmap == table.RIDMAP else 0
    mount.mount_setattr(fd, recursive, mount.MOUNT_ATTR_IDMAP, userns=userns)


def _set_attributes(fd: int, wish: Wish) -> None:
    """Flags of this mount, flags of the whole tree, propagation; each only when asked for."""
    for flags, (to_set, to_clear) in ((0, wish.attributes), (mount.AT_RECURSIVE, wish.recursive)):
        if to_set or to_clear:
            mount.mount_setattr(fd, flags, to_set, to_clear)


def _propagate(fd: int, wish: Wish) -> None:
    """Of an attached mount: what is attached to a shared one becomes shared."""
    for flag in wish.propagation:
        recursive = mount.AT_RECURSIVE if flag & table.MS_REC else 0
        mount.mount_setattr(fd, recursive, 0, propagation=flag & ~table.MS_REC)


def propagate_again(step: InsideStep, scene: Scene) -> None:
    """What is mounted there now."""
    destination, wish = step.args
    target = files.open_in_root(scene.root, destination)
    _propagate(target, wish)
    os.close(target)


def close_dev(_step: InsideStep, scene: Scene) -> None:
    """The mount alone: what is mounted in it keeps its own flags."""
    target = files.open_in_root(scene.root, _DEV)
    mount.mount_setattr(target, 0, mount.MOUNT_ATTR_RDONLY)
    os.close(target)


def _target(scene: Scene, destination: bytes, directory: bool) -> int:
    """The mount's target inside the root, made when missing; an O_PATH descriptor."""
    if directory:
        target = files.make_directories(scene.root, destination)
    else:
        try:
            target = files.open_in_root(scene.root, destination)
        except raw.KernelError as problem:
            if problem.errno != _ENOENT:
                raise
            target = files.make_file(scene.root, destination)
    return target


def _attach(scene: Scene, fd: int, target: int, destination: bytes, plain: bool = False) -> None:
    """move_mount(2), unless the target turned out to lie in a procfs.

    plain: a proc on a directory that was reached without a symlink: /proc itself may be a procfs where root.path is a
    root in use, such as the host's; the new one covers it.
    """
    inside = files.statfs_type(target) == files.PROC_SUPER_MAGIC and not (plain and destination == _PROC)
    if inside and os.fsdecode(destination) not in PROC_FILES:
        raise raw.KernelError(1, "move_mount", "the destination leads into a procfs")
    scene.attach(fd)
    mount.move_mount(fd, target)
    os.close(target)


def attach_bind(step: InsideStep, scene: Scene) -> None:
    """Attach the copied source."""
    destination, copied, by_parent = step.args
    if not by_parent:
        copy_source(copied, None)
    directory = stat.S_ISDIR(os.fstat(copied.fd).st_mode)
    _attach(scene, copied.fd, _target(scene, destination, directory), destination)
    _propagate(copied.fd, copied.args[1])
    scene.leave(copied.fd)


def mount_filesystem(step: InsideStep, scene: Scene) -> None:
    """fsopen, fsconfig, fsmount, then the order that tmpcopyup needs: fill it, make it read-only, attach it."""
    destination, fstype, options, wish, owner, made = step.args
    if os.fsdecode(fstype) in _NO_SYMLINK_TYPES:
        target = _plain_directory(scene.root, destination)
    else:
        target = _target(scene, destination, True)
    if fstype == b"tmpfs" and not any(key == b"mode" for key, _value in options):
        options = [(b"mode", b"%o" % stat.S_IMODE(os.fstat(target).st_mode)), *options]
    if made and made.fd >= 0:
        fd = made.fd
    else:
        fd = mount.new_filesystem(fstype, options, wish.attributes[0] & ~mount.MOUNT_ATTR_RDONLY)
    if wish.tmpcopyup:
        copyup.copy_tree(target, fd)
    if wish.label and fstype == b"mqueue":
        _label(fd, wish.label)
    if owner:
        _idmap(fd, wish, owner.fd)
    _set_attributes(fd, wish)
    _attach(scene, fd, target, destination, fstype == b"proc")
    _propagate(fd, wish)
    scene.leave(fd)


def _label(fd: int, label: bytes) -> None:
    """Set the SELinux label of a mount's root directory."""
    top = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        os.setxattr(top, "security.selinux", label)
    except OSError as problem:
        raise raw.KernelError(problem.errno or 0, "fsetxattr", "security.selinux") from None
    os.close(top)


def _plain_directory(root: int, destination: bytes) -> int:
    """SECURITY: proc and sysfs go on a real directory: a symlink anywhere in the path would move what LSMs trust."""
    os.close(files.make_directories(root, destination))
    resolve = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_SYMLINKS
    try:
        return files.openat2(root, destination, os.O_PATH | os.O_DIRECTORY, resolve)
    except raw.KernelError as problem:
        if problem.errno != _ELOOP:
            raise
        raise raw.KernelError(_ELOOP, "openat2", "it must be mounted on ordinary directory") from None


def _reconfigure(target: int, options: list[bytes]) -> None:
    context = mount.fspick(target)
    for option in options:
        key, equals, value = option.partition(b"=")
        if equals:
            mount.fsconfig_string(context, key, value)
        else:
            mount.fsconfig_flag(context, key)
    mount.fsconfig_reconfigure(context)
    os.close(context)


def remount(step: InsideStep, scene: Scene) -> None:
    """Change what is mounted at the destination: its flags, and without ``bind`` its filesystem's parameters."""
    destination, wish = step.args
    target = files.open_in_root(scene.root, destination)
    if not wish.bind and (wish.keys or wish.data):
        _reconfigure(target, [os.fsencode(option) for option in (*wish.keys, *wish.data)])
    _set_attributes(target, wish)
    if not wish.bind and wish.attributes[1] & mount.MOUNT_ATTR_RDONLY and os.fstatvfs(target).f_flag & os.ST_RDONLY:
        _reconfigure(target, [b"rw"])
    _propagate(target, wish)
    os.close(target)
