"""linux.maskedPaths, linux.readonlyPaths.

A masked file gets the host's /dev/null over it, a masked directory an empty read-only tmpfs: one superblock whose
clones serve every directory. A path that is absent is skipped (config-linux.md). All of it happens before the root is
given up, on descriptors inside the root.

SECURITY: the /dev/null that covers files is the host's, opened here and verified to be 1:3; the image's own may be
anything (CVE-2025-31133). Its mounts are read-only, which stops nobody from writing to the device, but chmod(2) and
chown(2): root of the container would change the host's own node.
"""

from __future__ import annotations

import os
import stat

from ocirun.kernel import files, mount, raw
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.scene import Scene

NULL_DEVICE: Final = os.makedev(1, 3)


def inside(config: dict[str, Any], label: bytes = b"") -> list[InsideStep]:
    """Read-only paths first: a path may be in both lists, and then masked wins. `label` is linux.mountLabel."""
    linux = config.get("linux") or {}
    steps = [
        InsideStep(make_readonly, f"/linux/readonlyPaths/{at}", f"make {path} read-only", os.fsencode(path))
        for at, path in enumerate(linux.get("readonlyPaths") or ())
    ]
    masked = linux.get("maskedPaths") or ()
    if masked:
        null = InsideStep(open_null, "/linux/maskedPaths", "open the host's /dev/null")
        steps.append(null)
        steps += [
            InsideStep(mask, f"/linux/maskedPaths/{at}", f"mask {path}", os.fsencode(path), null, label)
            for at, path in enumerate(masked)
        ]
    return steps


def _existing(root: int, path: bytes) -> int:
    try:
        return files.open_in_root(root, path)
    except raw.KernelError as problem:
        if problem.errno in (2, 20):
            return -1
        raise


def make_readonly(step: InsideStep, scene: Scene) -> None:
    """Bind the path on itself, recursively read-only."""
    target = _existing(scene.root, step.args[0])
    if target < 0:
        return
    clone = mount.copy(target, True)
    mount.mount_setattr(clone, mount.AT_RECURSIVE, mount.MOUNT_ATTR_RDONLY)
    mount.move_mount(clone, target)
    os.close(clone)
    os.close(target)


def open_null(step: InsideStep, _scene: Scene) -> None:
    """Open the host's /dev/null through this namespace's copy of the host's tree."""
    step.fd = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(step.fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != NULL_DEVICE:
        raise raw.KernelError(19, "fstat", "/dev/null of the host is not the null device")


def mask(step: InsideStep, scene: Scene) -> None:
    """Cover one path."""
    path, null, label = step.args
    target = _existing(scene.root, path)
    if target < 0:
        return
    directory = stat.S_ISDIR(os.fstat(target).st_mode)
    cover = _empty_directory(scene, label) if directory else _null_device(null.fd)
    mount.move_mount(cover, target)
    os.close(target)
    if cover != scene.shared:
        os.close(cover)


def _null_device(null: int) -> int:
    """A mount of the host's node that nobody can change the node through."""
    cover = mount.copy(null, False)
    mount.mount_setattr(cover, 0, mount.MOUNT_ATTR_RDONLY | mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NOEXEC)
    return cover


def _empty_directory(scene: Scene, label: bytes) -> int:
    """A mount of the shared empty tmpfs: the superblock the first time, then clones of the attached mount."""
    if scene.shared >= 0:
        return mount.copy(scene.shared, False)
    context = mount.fsopen(b"tmpfs")
    mount.fsconfig_string(context, b"nr_blocks", b"1")
    mount.fsconfig_string(context, b"nr_inodes", b"1")
    if label:
        mount.fsconfig_string(context, b"context", label)
    mount.fsconfig_create(context)
    attributes = mount.MOUNT_ATTR_RDONLY | mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NODEV | mount.MOUNT_ATTR_NOEXEC
    scene.shared = mount.fsmount(context, attributes)
    os.close(context)
    return scene.shared
