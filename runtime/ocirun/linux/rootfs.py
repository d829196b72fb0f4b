"""root: from a directory of the bundle to the container's ``/``.

The parent copies the directory's mount, detached (open_tree(2)), so that the container's process never needs the host's
path. Inside, the copy is attached over ``/`` and pivot_root(2) makes it the root; the host's tree is unmounted. With
--no-pivot the copy becomes the root by chroot(2) instead, for hosts whose root is not a mount (initramfs). Hooks that
run before look for the container's mounts at root.path, and mount there: for them the copy waits there until they have
run, and only then moves over ``/``.

SECURITY: between `attach` and `pivot` everything under the container's root is reached through `scene.root` only.
"""

from __future__ import annotations

import os
import stat

from ocirun.errors import Failure
from ocirun.kernel import mount
from ocirun.steps import InsideStep, OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts
    from ocirun.parent import Host
    from ocirun.scene import Scene

KERNELS_VIEWS: Final = (b"proc", b"sysfs")

PROPAGATION: Final = {
    "shared": (mount.MS_SHARED, 0),
    "slave": (mount.MS_SLAVE, 0),
    "private": (mount.MS_PRIVATE, 0),
    "unbindable": (mount.MS_UNBINDABLE, 0),
    "rshared": (mount.MS_SHARED, mount.AT_RECURSIVE),
    "rslave": (mount.MS_SLAVE, mount.AT_RECURSIVE),
    "rprivate": (mount.MS_PRIVATE, mount.AT_RECURSIVE),
    "runbindable": (mount.MS_UNBINDABLE, mount.AT_RECURSIVE),
}


def stays_shared(config: dict[str, Any]) -> bool:
    """Whether what is bound from the host stays its peer: only where the config asks for a shared root."""
    return (config.get("linux") or {}).get("rootfsPropagation") in ("shared", "rshared")


def prepare(config: dict[str, Any], bundle: str, facts: Facts) -> OutsideStep:
    """Open the root directory and, where the runtime may, copy its mount."""
    path = os.path.join(bundle, config["root"]["path"])
    return OutsideStep(open_root, "/root/path", f"open the root filesystem {path}", path, facts.may_mount)


def open_root(step: OutsideStep, _host: Host) -> None:
    """A detached recursive copy in `step.fd`, or without the privilege to copy a plain O_PATH descriptor.

    A slave of the host's: a shared root has a peer group of its own (config-linux.md, Rootfs Mount Propagation), and
    pivot_root(2) refuses to move a shared mount.
    """
    path, may_mount = step.args
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise Failure(f"{step.text}: it is a symbolic link", where=step.pointer)
    if not stat.S_ISDIR(found.st_mode):
        raise Failure(f"{step.text}: it is not a directory", where=step.pointer)
    step.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if may_mount:
        plain, step.fd = step.fd, mount.copy(step.fd, True)
        os.close(plain)
        mount.mount_setattr(step.fd, mount.AT_RECURSIVE, 0, propagation=mount.MS_SLAVE)


def attach(opened: OutsideStep, config: dict[str, Any], facts: Facts) -> list[InsideStep]:
    """Cut the new mount namespace's ties to the host, then put the root on top of it."""
    text = "stop mounts from reaching the host"
    path = None if facts.may_mount else opened.args[0]
    shown = os.fsencode(opened.args[0]) if _shown(config) else None
    return [
        InsideStep(cut_propagation, "/linux/rootfsPropagation", text),
        InsideStep(attach_root, "/root/path", "attach the root filesystem", opened, path, shown),
    ]


def _shown(config: dict[str, Any]) -> bool:
    """Whether there are hooks that may want to see it at its place."""
    hooks: dict[str, Any] = config.get("hooks") or {}
    return bool(hooks.get("prestart") or hooks.get("createRuntime") or hooks.get("createContainer"))


def cut_propagation(_step: InsideStep, _scene: Scene) -> None:
    """MS_SLAVE on the whole copy of the host's tree, before the first mount: the host sees none of ours.

    SECURITY: for a shared root too. What is to stay the host's peer was copied before, by the parent; in a tree that
    is still shared, the unmounting of `pivot` would reach the host and take its mounts away.
    """
    top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount.mount_setattr(top, mount.AT_RECURSIVE, 0, propagation=mount.MS_SLAVE)
    os.close(top)


def attach_root(step: InsideStep, scene: Scene) -> None:
    """move_mount(2) over ``/``; the process's own root stays below it until `pivot`.

    Where the parent could not copy the mount, it is copied here, by path, while no content of the image is reachable.
    With hooks it goes to its own place first. In a user namespace, or a joined mount namespace, that may be out of
    reach; for hooks it is then, too.
    """
    opened, path, shown = step.args
    scene.root = opened.fd
    if path is not None:
        plain = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        scene.root = mount.copy(plain, True)
        os.close(plain)
    place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    own = _own_place(shown, scene.root) if shown is not None else -1
    if own >= 0:
        place, scene.top = own, place
    mount.move_mount(scene.root, place)
    os.close(place)


def _own_place(path: bytes, root: int) -> int:
    """The directory that the root is a copy of, in this mount namespace; -1 when it is not there or out of reach.

    SECURITY: whoever can swap a part of the path must not make the image cover the host's files that hooks are.
    """
    try:
        place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    found, wanted = os.fstat(place), os.fstat(root)
    if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
        return place
    os.close(place)
    return -1


def move_to_top(_step: InsideStep, scene: Scene) -> None:
    """move_mount(2) over ``/``, with all that hooks have mounted in it."""
    if scene.top >= 0:
        mount.move_mount(scene.root, scene.top)
        os.close(scene.top)
        scene.top = -1


def pivot(no_pivot: bool, mount_namespace: bool) -> InsideStep:
    """Make the container's root the root; the way depends on --no-pivot and on there being a mount namespace."""
    if not mount_namespace:
        return InsideStep(change_root, "/root/path", "change the root to the container's")
    if no_pivot:
        return InsideStep(move_root, "/root/path", "move the container's root to / (--no-pivot)")
    return InsideStep(pivot_root, "/root/path", "pivot to the container's root")


def pivot_root(_step: InsideStep, scene: Scene) -> None:
    """pivot_root(".", ".") and unmount what is then below; pivot_root(2), notes, describes this form."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(scene.root)
    mount.pivot_root(b".", b".")
    os.fchdir(old)
    os.close(old)
    mount.umount(b".")
    os.chdir("/")


def move_root(step: InsideStep, scene: Scene) -> None:
    """chroot(2) into the mount on top of ``/``. The host's tree stays mounted below it, out of reach of path walks."""
    for line in mount.mountinfo().splitlines():
        before, _, after = line.partition(b" - ")
        if after.split(b" ", 1)[0] in KERNELS_VIEWS:
            _hide(mount.unescape(before.split(b" ")[4]))
    change_root(step, scene)


def _hide(point: bytes) -> None:
    """Unmount it, or cover it where it is locked, as in a user namespace.

    SECURITY: who makes a user namespace in the container may mount a proc or a sysfs of his own, without the masks, as
    long as the mount namespace has one without masks. The paths are those of the host: the walk begins at the process's
    root, which lies below the container's. Of a mount of the container there may be none; then nothing is done.
    """
    flags = mount.MNT_DETACH | mount.UMOUNT_NOFOLLOW
    try:
        mount.umount(point, flags)
    except OSError:
        try:
            place = os.open(point, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return
        cover = mount.new_filesystem(b"tmpfs", [(b"size", b"4k")], mount.MOUNT_ATTR_RDONLY)
        mount.move_mount(cover, place)
        os.close(cover)
        os.close(place)


def change_root(_step: InsideStep, scene: Scene) -> None:
    """chroot(2) alone: without a mount namespace there is nothing to pivot."""
    os.fchdir(scene.root)
    os.chroot(".")
    os.chdir("/")


def enter_plain(opened: OutsideStep) -> InsideStep:
    """Without a mount namespace: the root is the plain directory."""
    return InsideStep(use_directory, "/root/path", "enter the root filesystem", opened)


def use_directory(step: InsideStep, scene: Scene) -> None:
    """The descriptor as it is."""
    scene.root = step.args[0].fd


def finish(config: dict[str, Any]) -> list[InsideStep]:
    """After everything is mounted and the hooks have run: the root's read-only flag, on the descriptor."""
    steps = []
    if _shown(config):
        steps.append(InsideStep(move_to_top, "/root/path", "move the root filesystem over /"))
    if config["root"].get("readonly"):
        steps.append(InsideStep(make_readonly, "/root/readonly", "make the root read-only"))
    return steps


def propagate(config: dict[str, Any]) -> list[InsideStep]:
    """The root's propagation, after `pivot`: pivot_root(2) refuses a shared root."""
    name = (config.get("linux") or {}).get("rootfsPropagation")
    if not name:
        return []
    return [InsideStep(set_propagation, "/linux/rootfsPropagation", f"make the root {name}", *PROPAGATION[name])]


def set_propagation(step: InsideStep, scene: Scene) -> None:
    """mount_setattr(2) on the root mount."""
    propagation, recursive = step.args
    mount.mount_setattr(scene.root, recursive, 0, propagation=propagation)


def make_readonly(_step: InsideStep, scene: Scene) -> None:
    """MOUNT_ATTR_RDONLY on the root mount alone; what is mounted below keeps its own flags.

    SECURITY: on the descriptor that was opened before the image was reachable (CVE-2026-115521).
    """
    mount.mount_setattr(scene.root, 0, mount.MOUNT_ATTR_RDONLY)
