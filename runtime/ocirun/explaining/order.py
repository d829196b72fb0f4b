"""Why a step stands where it stands: (what comes first, what comes later, the reason), by subsystem and function.

Each row holds in every plan that has both; the tests of the plan see to it. The reasons for what is decided in `plan`
stand there in full.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

ORDER: Final = (
    ("namespaces.open_path", "cgroup.create", "what can be refused is refused before anything is made"),
    ("namespaces.open_path", "netdevices.look", "it looks at that namespace too"),
    ("rootfs.open_root", "cgroup.create", "what can be refused is refused before anything is made"),
    ("mounts.copy_source", "cgroup.create", "what can be refused is refused before anything is made"),
    ("seccomp.provide", "cgroup.create", "what can be refused is refused before anything is made"),
    ("cgroup.create", "cgroup.limit", "the limits are files of the cgroup"),
    ("cgroup.create", "cgroup.allow_devices", "the rules belong to the cgroup"),
    ("cgroup.allow_devices", "lifecycle.ask_for_hooks", "some hooks change the rules"),
    ("cgroup.allow_devices", "program.complete_home", "the image's file may be a device of the host"),
    ("cgroup.create", "mounts.describe_cgroup", "it shows what was just made"),
    ("cgroup.create", "intelrdt.make", "it is taken back in the opposite order"),
    ("idmap.write_map", "cgroup.close_doors", "nothing is root before it is mapped"),
    ("idmap.write_map", "cgroup.hand_over", "the owner is an id of the user namespace"),
    ("rlimits.raise_hard", "netdevices.move", "a device that moves loses its routes, so what may fail has not failed"),
    ("idmap.write_map", "idmap.become_root", "an id that is not mapped cannot be taken"),
    ("cgroup.enter", "rootfs.attach_root", "before the process makes anything that counts"),
    ("namespaces.join", "rootfs.cut_propagation", "everything later acts in the final namespaces"),
    ("timens.shift_clocks", "idmap.become_root", "with the runtime's user, whose the process's files in /proc are"),
    ("idmap.become_root", "rootfs.attach_root", "what is made belongs to the container's root"),
    ("sysctl.write", "mounts.mount_filesystem", "it goes through the host's procfs, before there is another"),
    ("rootfs.cut_propagation", "rootfs.attach_root", "the host must not see the new root"),
    ("rootfs.attach_root", "mounts.mount_filesystem", "mounts lie in the root"),
    ("rootfs.attach_root", "mounts.attach_bind", "mounts lie in the root"),
    ("mounts.mount_filesystem", "devices.bind", "/dev is one of the mounts"),
    ("mounts.mount_filesystem", "devices.make", "/dev is one of the mounts"),
    ("mounts.attach_bind", "devices.bind", "/dev may be one of the mounts"),
    ("mounts.attach_bind", "devices.make", "/dev may be one of the mounts"),
    ("devices.link_standard", "console.open_pty", "its devpts is one of the mounts"),
    ("mounts.attach_bind", "masks.make_readonly", "no mount may lie on top of it"),
    ("mounts.attach_bind", "masks.mask", "no mount may lie on top of it"),
    ("console.open_pty", "masks.make_readonly", "no mount may lie on top of it"),
    ("masks.make_readonly", "masks.mask", "a path may be in both lists, and then masked wins"),
    ("program.open_cwd", "rootfs.make_readonly", "the working directory may have to be made"),
    ("masks.mask", "rootfs.pivot_root", "the host's /dev/null covers files"),
    ("masks.mask", "lifecycle.ask_for_hooks", "hooks see the environment that was made"),
    ("lifecycle.ask_for_hooks", "lifecycle.stand_in_root", "createRuntime hooks come before createContainer hooks"),
    ("lifecycle.stand_in_root", "lifecycle.run_hook", "hooks find the container's files below their working directory"),
    ("lifecycle.ask_for_hooks", "rootfs.pivot_root", "these hooks see the host's tree"),
    ("lifecycle.stand_in_root", "rootfs.pivot_root", "createContainer hooks come before the root changes"),
    ("lifecycle.ask_for_hooks", "rootfs.make_readonly", "hooks make devices and mounts too"),
    ("lifecycle.ask_for_hooks", "rootfs.move_to_top", "hooks find the root at its own place"),
    ("rootfs.make_readonly", "rootfs.pivot_root", "by a descriptor from before the image could be reached"),
    ("lifecycle.close_proc", "rootfs.pivot_root", "no process of the container finds anything of the host's procfs"),
    ("rootfs.pivot_root", "rootfs.set_propagation", "pivot_root(2) refuses a shared root"),
    ("rootfs.set_propagation", "mounts.propagate_again", "a recursive change of the root has changed them all"),
    ("rootfs.pivot_root", "capabilities.cut_bounding", "the pivot needs the rights"),
    ("scheduler.schedule", "credentials.set_uid", "while CAP_SYS_NICE is there"),
    ("program.try_cwd", "credentials.set_groups", "with the runtime's rights, in case the program's do not suffice"),
    ("capabilities.cut_bounding", "credentials.set_groups", "while CAP_SETPCAP is there"),
    ("credentials.set_groups", "credentials.set_gid", "while CAP_SETGID is there"),
    ("credentials.set_gid", "credentials.set_uid", "while CAP_SETGID is there"),
    ("credentials.set_uid", "capabilities.set_capabilities", "setresuid(2) clears the effective set"),
    ("capabilities.set_capabilities", "lifecycle.set_no_new_privileges", "from then on they cannot grow"),
    ("lifecycle.set_no_new_privileges", "seccomp.load", "seccomp(2) asks for it, or for CAP_SYS_ADMIN"),
    ("credentials.set_uid", "program.enter_cwd", "with the program's rights"),
    ("credentials.set_uid", "program.find", "with the program's rights"),
    ("lsm.write", "seccomp.load", "the filter may forbid writing"),
    ("rlimits.set_limit", "program.execute", "a small limit would starve what comes before"),
    ("seccomp.load", "program.execute", "all that comes after it must pass the filter"),
)


def reasons(name: str, present: Iterable[str]) -> list[tuple[str, str]]:
    """(what has come before, why) of the step called `name`, as far as it is in the same plan."""
    return [(first, why) for first, later, why in ORDER if later == name and first in present]
