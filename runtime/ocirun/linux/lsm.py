"""process.apparmorProfile and process.selinuxLabel: written to /proc/self/attr just before the program is executed.

Also whether linux.mountLabel can be had; the mounts apply it.

A label that cannot be applied because the host lacks the security module is an error (runtime.md, create): running
without the asked-for confinement would drop it silently.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.kernel import files
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.scene import Scene


def apparmor_enabled() -> bool:
    """Whether AppArmor is in this kernel and switched on."""
    try:
        fd = os.open("/sys/module/apparmor/parameters/enabled", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, 8)[:1] == b"Y"
    finally:
        os.close(fd)


def selinux_enabled() -> bool:
    """Whether SELinux is in this kernel and mounted."""
    return os.path.isdir("/sys/fs/selinux/booleans")


def labelled(process: dict[str, Any]) -> bool:
    """Whether `launch` has something to write."""
    return bool(process.get("apparmorProfile") or process.get("selinuxLabel"))


def mount_label(config: dict[str, Any]) -> bytes:
    """linux.mountLabel, empty when there is none; refused where nothing would read it."""
    label = (config.get("linux") or {}).get("mountLabel") or ""
    if label and not selinux_enabled():
        doing = f"label the mounts with {label}"
        raise Failure(f"{doing}: SELinux is not enabled on this host", where="/linux/mountLabel")
    return os.fsencode(label)


def launch(process: dict[str, Any], pointer: str) -> list[InsideStep]:
    """At most one step per module; refuses a label whose module is absent."""
    steps = []
    if profile := process.get("apparmorProfile"):
        where = f"{pointer}/apparmorProfile"
        if not apparmor_enabled():
            raise Failure(f"apply the AppArmor profile {profile}: AppArmor is not enabled on this host", where=where)
        text = f"apply the AppArmor profile {profile}"
        attributes = (b"self/attr/apparmor/exec", b"self/attr/exec")
        steps.append(InsideStep(write, where, text, attributes, b"exec " + os.fsencode(profile)))
    if label := process.get("selinuxLabel"):
        where = f"{pointer}/selinuxLabel"
        if not selinux_enabled():
            raise Failure(f"apply the SELinux label {label}: SELinux is not enabled on this host", where=where)
        steps.append(
            InsideStep(write, where, f"apply the SELinux label {label}", (b"self/attr/exec",), os.fsencode(label))
        )
    return steps


def write(step: InsideStep, scene: Scene) -> None:
    """One write, to the module's own file where it exists.

    SECURITY: through the host's procfs by descriptor, never the container's /proc (CVE-2019-16884, CVE-2025-52881).
    """
    attributes, text = step.args
    pid = b"%d" % _host_pid(scene)
    for last, attribute in enumerate(attributes, 1):
        try:
            files.write_proc(scene.proc, attribute.replace(b"self", pid), text)
            return
        except OSError as problem:
            if problem.errno != 2 or last == len(attributes):
                raise


def _host_pid(scene: Scene) -> int:
    """This process's id in the pid namespace of that procfs: where its ``self`` points."""
    return int(os.readlink(b"self", dir_fd=scene.proc))
