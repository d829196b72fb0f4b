"""A filesystem on a block device is made by the parent: the container's cgroup may be forbidden to open the device.

The rules of linux.resources.devices are for the container's processes, and hold for its first one before it mounts.
"""

from __future__ import annotations

import os
import stat

from ocirun.errors import failure
from ocirun.kernel import mount, raw
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.linux.mounts.wish import Wish
    from ocirun.parent import Host


def plan(
    pointer: str, text: str, source: str, fstype: bytes, options: list[tuple[bytes, bytes]], wish: Wish
) -> OutsideStep:
    """The step that makes it, when the source turns out to be such a device."""
    return OutsideStep(make_on_device, pointer, text, source, fstype, options, wish)


def make_on_device(step: OutsideStep, _host: Host) -> None:
    """A detached mount in `step.fd`; nothing for any other source, such as the word /dev/shm of a tmpfs.

    ``ro`` is also the filesystem's here, as for mount(8): the kernel opens the device accordingly, and neither replays
    a journal nor counts the mount.
    """
    source, fstype, options, wish = step.args
    try:
        if not stat.S_ISBLK(os.stat(source).st_mode):
            return
    except OSError:
        return
    if wish.attributes[0] & mount.MOUNT_ATTR_RDONLY:
        options = [(b"ro", b""), *options]
    try:
        step.fd = mount.new_filesystem(fstype, options, wish.attributes[0])
    except raw.KernelError as problem:
        raise failure(step.text, problem, where=step.pointer) from None
