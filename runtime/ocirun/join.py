"""`exec`: another process in a running container, by the same parent, channel and init as `create`.

The container's first process is held by pidfd, compared with its recorded start time, and setns(2) on that pidfd
joins all the container's namespaces at once. The pid namespace is entered by the parent for its child; a runtime
without privileges joins everything in a middle process instead, since only the container's user namespace gives it
the right.

SECURITY: the process is not dumpable before it joins, so that nothing in the container can look into it; it never was
the container's: it has no descriptor of the host but close-on-exec ones.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure, doing
from ocirun.kernel import files, raw
from ocirun.kernel import process as kernel
from ocirun.linux import cgroup, console, idmap, keyring, lifecycle, lsm
from ocirun.plan import Plan, ProcessPlan
from ocirun.steps import InsideStep, OutsideStep
from ocirun_spec.names import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.facts import Facts
    from ocirun.parent import Host
    from ocirun.request import Request
    from ocirun.scene import Scene
    from ocirun.state import Entry


class Joining:
    """The running container's namespaces, in the shape that the parent's clone wants (see `namespaces.Namespaces`)."""

    __slots__ = ("_middle", "flags", "new", "pidfd")

    def __init__(self, config: dict[str, Any], pidfd: int, facts: Facts) -> None:
        self.new = 0
        self.pidfd = pidfd
        self.flags = 0
        for entry in (config.get("linux") or {}).get("namespaces") or ():
            self.flags |= NAMESPACES[entry["type"]][0]
        seen = self.private(kernel.CLONE_NEWPID) and self.private(kernel.CLONE_NEWNS)
        self._middle = seen or not facts.may_mount

    @property
    def needs_middle(self) -> bool:
        """Whether a middle process joins first: for a runtime without privileges, and for the pid namespace.

        SECURITY: a process that the container can see, in its pid namespace, must already stand in the container's
        root: with CAP_SYS_PTRACE the container may look at what it holds, which not being dumpable does not forbid.
        """
        return self._middle

    def private(self, flag: int) -> bool:
        """Whether the container does not share the runtime's own namespace of this type."""
        return bool(self.flags & flag)

    def enter_for_children(self) -> list[int]:
        """The pid namespace, for the next child; the runtime stays there, for it has nothing else to clone."""
        if self.flags & kernel.CLONE_NEWPID and not self.needs_middle:
            kernel.setns(self.pidfd, kernel.CLONE_NEWPID)
        return []

    def leave(self, own: list[int]) -> None:
        """Nothing to go back from."""

    def join_all(self) -> None:
        """The middle process: everything at once, the user namespace giving the right to the others."""
        kernel.setns(self.pidfd, self.flags)


def hold(entry: Entry) -> int:
    """A pidfd of the container's first process, which is certainly still that process."""
    try:
        pidfd = kernel.pidfd_open(entry.record["pid"])
    except raw.KernelError:
        raise _not_running() from None
    if not entry.alive():
        os.close(pidfd)
        raise _not_running()
    return pidfd


def _not_running() -> Failure:
    return Failure("container not running")


@doing("plan the process")
def compose(
    entry: Entry, config: dict[str, Any], process: dict[str, Any], facts: Facts, request: Request, subs: list[str]
) -> Plan:
    """The plan of an `exec`: no mounts, no hooks; what belongs to a process is planned as for `create`.

    subs: --cgroup values, ``[CONTROLLER:]PATH`` below the container's own cgroup.
    """
    joining = Joining(config, hold(entry), facts)
    plan = Plan(joining)
    userns = joining.private(kernel.CLONE_NEWUSER)
    owner = idmap.owner(config)
    settled = ProcessPlan(config, process, "", facts, request, userns, {})
    terminal = console.prepare(request.console_socket)
    pinned, unpinned, placed = _affinity(process)
    record = entry.record.get("cgroup")
    doors = cgroup.Doors()
    grouped = "enter the container's cgroup"
    plan.outside = [
        *terminal,
        *settled.outside,
        *([OutsideStep(open_cgroup, "", grouped, record, subs, doors)] if record else []),
        *pinned,  # last, for the process inherits it before it is in the cgroup
    ]
    plan.adopt = [
        *unpinned,
        *([OutsideStep(cgroup.attach, "", grouped, doors)] if record and record.get("user") else []),
        OutsideStep(cgroup.close_doors, "", "close the cgroup's files", doors),
        *settled.adopt,
    ]
    if entry.record.get("intelRdt"):
        from ocirun.linux import intelrdt

        plan.adopt += intelrdt.join(entry.record["intelRdt"])
    join = joining.flags & ~kernel.CLONE_NEWPID
    plan.inside = [
        InsideStep(cgroup.enter, "", grouped, doors, False),
        *placed,  # entering a cpuset changes the affinity
        *(
            []
            if joining.needs_middle or not join
            else [InsideStep(enter, "", "join the container's namespaces", joining, join)]
        ),
        *([InsideStep(become_root, "", "become root of the user namespace", *owner)] if userns else []),
        InsideStep(stand_in_root, "", "stand in the container's root", joining, entry.record["pid"]),
        *([] if request.no_new_keyring else keyring.inside(entry.ident)),
        *console.inside(process, "", terminal, False),
        InsideStep(open_cwd, "/cwd", f"open the working directory {process['cwd']}", os.fsencode(process["cwd"])),
        *lifecycle.new_session(process),
        *settled.enter,
    ]
    plan.launch = settled.launch
    plan.needs_proc = lsm.labelled(process) or not joining.private(kernel.CLONE_NEWNS)
    return plan


def _affinity(process: dict[str, Any]) -> tuple[list[OutsideStep], list[OutsideStep], list[InsideStep]]:
    """execCPUAffinity; the room is loaded only when it is there."""
    if not process.get("execCPUAffinity"):
        return [], [], []
    from ocirun.linux import scheduler

    return scheduler.affinity(process)


def enter(step: InsideStep, _scene: Scene) -> None:
    """setns(2) on the pidfd with all flags."""
    joining, flags = step.args
    kernel.setns(joining.pidfd, flags)


def become_root(step: InsideStep, _scene: Scene) -> None:
    """Ids that the user namespace knows; process.user follows."""
    uid, gid = step.args
    kernel.setresgid(gid)
    kernel.setresuid(uid)


def stand_in_root(step: InsideStep, scene: Scene) -> None:
    """Hold the root: setns(2) into a mount namespace moved us there; else the container's process shows it."""
    joining, pid = step.args
    if not joining.flags & kernel.CLONE_NEWNS:
        root = os.open(b"%d/root" % pid, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=scene.proc)
        os.fchdir(root)
        os.chroot(".")
        os.close(root)
    scene.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def open_cwd(step: InsideStep, scene: Scene) -> None:
    """Resolve cwd inside the root; a missing one is an error, since the container's tree is not ours to change."""
    scene.cwd = files.open_in_root(scene.root, step.args[0], os.O_PATH | os.O_DIRECTORY)


def open_cgroup(step: OutsideStep, host: Host) -> None:
    """cgroup v2: the process is born in the cgroup. v1: it enters by the opened files, as the first thing it does."""
    record, subs, doors = step.args
    host.cgroup_fd = cgroup.open_for_clone(record, *subs)
    opened = cgroup.open_doors(record, *subs)
    doors.fds, doors.far = opened.fds, opened.far
