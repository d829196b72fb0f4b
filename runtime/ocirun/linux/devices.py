"""linux.devices, the default devices and the symlinks of /dev (config-linux.md; runtime-linux.md).

In the initial user namespace devices are made with mknodat(2), where they belong. For a container with a user namespace
of its own the parent makes the listed ones, in the container's folder of the state, and they are bound; the default
ones are bound from the host, as are all where the runtime itself is in a user namespace. An image that brings /dev as a
bind mount has arranged it itself and is left alone, as runc does; but a listed device has to be in it.

SECURITY: /dev is reached once, inside the root, and everything in it is made relative to that descriptor
(CVE-2026-41579). A file that already exists under a device's name must be exactly that device, or creation fails.
"""

from __future__ import annotations

import os
import stat

from ocirun import log
from ocirun.errors import Failure, failure
from ocirun.kernel import files, mount, raw
from ocirun.steps import InsideStep, OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.parent import Host
    from ocirun.scene import Scene

_KINDS: Final = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_EEXIST: Final = 17
_DEFAULT: Final = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_SYMLINKS: Final = (
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
)


def _wanted(config: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(pointer, path, entry) of the configured devices, then of the default ones that the config does not name."""
    listed = (config.get("linux") or {}).get("devices") or ()
    found = [(f"/linux/devices/{at}", files.clean(entry["path"]), entry) for at, entry in enumerate(listed)]
    named = {path for _pointer, path, _entry in found}
    for name, major, minor in _DEFAULT:
        if f"/dev/{name}" not in named:
            entry = {"type": "c", "major": major, "minor": minor, "fileMode": 0o666}
            found.append(("/linux/devices", f"/dev/{name}", entry))
    return found


def plan(
    config: dict[str, Any], may_mknod: bool, may_mount: bool, parent_may_mknod: bool = False, brought: bool = False
) -> tuple[list[OutsideStep], list[InsideStep]]:
    """The parent's copies of devices (only where the container cannot make them), and the container's steps.

    brought: /dev is a bind mount.
    """
    maps = config.get("linux") or {}
    outside: list[OutsideStep] = []
    inside: list[InsideStep] = []
    for pointer, path, entry in _wanted(config):
        mode = _KINDS[entry["type"]]
        number = 0 if entry["type"] == "p" else os.makedev(entry["major"], entry["minor"])
        listed = pointer != "/linux/devices"
        if brought and (path.startswith("/dev/") or not listed):
            if listed:
                inside.append(InsideStep(find, pointer, f"find the device {path}", os.fsencode(path), mode, number))
        elif may_mknod or entry["type"] == "p":
            text = f"make the device {path}"
            permissions = entry.get("fileMode", 0o666) & 0o7777
            owner = (entry.get("uid", 0), entry.get("gid", 0))
            named = (entry.get("fileMode", -1), entry.get("uid", -1), entry.get("gid", -1))
            inside.append(InsideStep(make, pointer, text, os.fsencode(path), mode | permissions, number, owner, named))
        elif parent_may_mknod and may_mount and listed and maps.get("uidMappings"):
            text = f"make the device {path}"
            permissions = entry.get("fileMode", 0o666) & 0o7777
            owner = (_host_id(maps, "uid", entry, pointer), _host_id(maps, "gid", entry, pointer))
            copied = OutsideStep(make_outside, pointer, text, path, mode | permissions, number, owner, len(outside))
            outside.append(copied)
            inside.append(InsideStep(bind, pointer, text, os.fsencode(path), copied, True))
        else:
            if kept := [name for name in ("fileMode", "uid", "gid") if name in entry and listed]:
                log.warning(f"{pointer}: ignoring {', '.join(kept)}: {path} is the host's device, bound as it is")
            text = f"bind the host's device {path}"
            copied = OutsideStep(copy_device, pointer, text, path, mode, number)
            if may_mount:
                outside.append(copied)
            inside.append(InsideStep(bind, pointer, text, os.fsencode(path), copied, may_mount))
    if not brought:
        inside.append(InsideStep(link_standard, "/linux/devices", "make the symbolic links of /dev"))
    return outside, inside


def _host_id(maps: dict[str, Any], name: str, entry: dict[str, Any], pointer: str) -> int:
    """What the uid or gid of a device is outside the container's user namespace."""
    number: int = entry.get(name, 0)
    for each in maps.get(f"{name}Mappings") or ():
        if each["containerID"] <= number < each["containerID"] + each["size"]:
            return int(each["hostID"] + number - each["containerID"])
    raise Failure(f"the {name} {number} of the device is not mapped to the host", where=f"{pointer}/{name}")


def find(step: InsideStep, scene: Scene) -> None:
    """The device is there, and it is the one: nothing is made in a /dev that may be the host's."""
    path, mode, number = step.args
    node = files.open_in_root(scene.root, path)
    _verify(node, path, mode, number)
    os.close(node)


def make(step: InsideStep, scene: Scene) -> None:
    """mknodat(2); an existing node must be the very device, and gets what the config names."""
    path, mode, number, owner, named = step.args
    head, _, name = path.rpartition(b"/")
    parent = files.make_directories(scene.root, head)
    umask = os.umask(0)  # so that a usual node is made as it has to be, and needs no second call
    try:
        made = raw.syscall(raw.MKNODAT, parent, name, mode, number)
        if made == -_EEXIST:
            _change(scene, parent, step.args, *named)
        else:
            raw.checked("mknodat", made, os.fsdecode(path))
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if (found.st_mode, found.st_rdev, found.st_uid, found.st_gid) != (mode, number, *owner):
                _change(scene, parent, step.args, stat.S_IMODE(mode), *owner)
    finally:
        os.umask(umask)
        os.close(parent)


def _change(scene: Scene, parent: int, wanted: tuple[Any, ...], permissions: int, uid: int, gid: int) -> None:
    """Owner, then mode, which chown(2) may change; -1 for what stays.

    SECURITY: the node is looked at by the descriptor that is then changed, through the verified procfs: another
    container that shares the directory may have put a symlink in its place, which chmod(2) would follow to the host.
    """
    path, mode, number = wanted[:3]
    node = os.open(path.rpartition(b"/")[2], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    found = _verify(node, path, mode, number)
    place = b"self/fd/%d" % node
    owned = uid in (-1, found.st_uid) and gid in (-1, found.st_gid)
    if not owned:
        os.chown(place, uid, gid, dir_fd=scene.proc)
    if permissions >= 0 and not (owned and stat.S_IMODE(found.st_mode) == permissions):
        os.chmod(place, permissions, dir_fd=scene.proc)
    os.close(node)


def _verify(node: int, path: bytes, mode: int, number: int) -> os.stat_result:
    found = os.fstat(node)
    if stat.S_IFMT(found.st_mode) != stat.S_IFMT(mode) or found.st_rdev != number:
        raise raw.KernelError(_EEXIST, "fstat", f"{os.fsdecode(path)} exists and is something else")
    return found


def make_outside(step: OutsideStep, host: Host) -> None:
    """A detached mount of a node in the container's folder, which only the runtime's user may enter.

    The folder may lie on a mount without devices: the copy's flag is its own.
    """
    _path, mode, number, owner, position = step.args
    name, folder = host.entry.device(position), host.entry.fd
    try:
        os.mknod(name, mode, number, dir_fd=folder)
        os.chmod(name, stat.S_IMODE(mode), dir_fd=folder)
        os.chown(name, *owner, dir_fd=folder)
        node = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        step.fd = mount.copy(node, False)
        os.close(node)
        mount.mount_setattr(step.fd, 0, 0, mount.MOUNT_ATTR_NODEV)
    except OSError as problem:
        raise failure(step.text, problem, where=step.pointer) from None


def copy_device(step: OutsideStep, _host: Host | None) -> None:
    """A detached mount of the host's device node, verified to be the one that the config means."""
    path, mode, number = step.args
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as problem:
        raise raw.KernelError(problem.errno or 0, "open", path) from None
    found = os.fstat(fd)
    if stat.S_IFMT(found.st_mode) != mode or found.st_rdev != number:
        raise Failure(f"{step.text}: the host's {path} is another device", where=step.pointer)
    step.fd = mount.copy(fd, False)
    os.close(fd)


def bind(step: InsideStep, scene: Scene) -> None:
    """Attach the copy to a file of that name: an empty one, or the very device."""
    path, copied, by_parent = step.args
    if not by_parent:
        copy_device(copied, None)
    target = files.make_file(scene.root, path)
    found = os.fstat(target)
    if not stat.S_ISREG(found.st_mode) or found.st_size:
        _verify(target, path, *copied.args[1:3])
    mount.move_mount(copied.fd, target)
    os.close(target)
    os.close(copied.fd)


def link_standard(_step: InsideStep, scene: Scene) -> None:
    """/dev/fd, stdin, stdout, stderr and ptmx; a name that the image already has stays."""
    dev = files.make_directories(scene.root, b"dev")
    links = list(_SYMLINKS) if _exists(scene.root, b"proc/self/fd") else []
    if _exists(scene.root, b"dev/pts/ptmx"):
        links.append((b"ptmx", b"pts/ptmx"))
    for name, target in links:
        made = raw.syscall(raw.SYMLINKAT, target, dev, name)
        if made == -_EEXIST and name == b"ptmx" and _remove_plain_ptmx(dev):
            made = raw.syscall(raw.SYMLINKAT, target, dev, name)
        if made != -_EEXIST:
            raw.checked("symlinkat", made, os.fsdecode(name))
    os.close(dev)


def _remove_plain_ptmx(dev: int) -> bool:
    """A device node ptmx in an image's own /dev belongs to another devpts: whether it has made room for the link."""
    if not stat.S_ISCHR(os.stat("ptmx", dir_fd=dev, follow_symlinks=False).st_mode):
        return False
    os.unlink("ptmx", dir_fd=dev)
    return True


def _exists(root: int, path: bytes) -> bool:
    fd = files.try_in_root(root, path)
    if fd >= 0:
        os.close(fd)
    return fd >= 0
