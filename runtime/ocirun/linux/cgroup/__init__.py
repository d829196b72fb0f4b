"""linux.cgroupsPath and linux.resources: the container's cgroups, from their making to their removal.

These are the doors. `making` chooses the driver and makes the cgroups; everything later works on the record (see
`place`). Each function imports what it needs, since `state`, `kill` and `delete` need little of it.
"""

from __future__ import annotations

import os

from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.errors import Failure
    from ocirun.facts import Facts
    from ocirun.journal import Journal
    from ocirun.linux.cgroup.hierarchy import Hierarchies
    from ocirun.linux.cgroup.oomwatch import Watch
    from ocirun.parent import Host
    from ocirun.scene import Scene
    from ocirun.steps import OutsideStep

    Record = dict[str, Any]


class Doors:
    """The descriptors by which the container's process enters cgroups that it was not born in, when `wanted`.

    far:    the cgroup2 directory that only systemd may move it into, mostly empty.
    keeper: the process that keeps the container's unit alive until then, 0 without a unit or when it has ended.
    """

    __slots__ = ("far", "fds", "keeper", "wanted")

    def __init__(self) -> None:
        self.far = ""
        self.fds: list[int] = []
        self.keeper = 0
        self.wanted = False


def prepare(config: dict[str, Any], facts: Facts, ident: str, systemd: bool) -> list[OutsideStep]:
    """The parent's steps before the clone: make, limit, allow devices. Refuses what this host cannot do."""
    from ocirun.linux.cgroup import making

    return making.prepare(config, facts, ident, systemd)


def adopt(config: dict[str, Any], facts: Facts, prepared: list[OutsideStep] | None = None) -> list[OutsideStep]:
    """The parent's steps after the clone. Give `prepared` when `inside` is used; else the parent moves the process."""
    from ocirun.linux.cgroup import making

    return making.adopt(config, facts, prepared)


def ready(prepared: list[OutsideStep]) -> list[OutsideStep]:
    """The parent's steps when the container is set up and waits for its program."""
    from ocirun.linux.cgroup import making

    return making.ready(prepared)


def close_all(steps: list[OutsideStep], host: Host) -> None:
    """After a failure: close the doors that `making.create` has opened, and end what it has begun."""
    from ocirun.linux.cgroup import making

    making.close_all(steps, host)


def memory_death(record: Record, prepared: list[OutsideStep]) -> Failure | None:
    """The sentence for a first process that was killed for want of memory; None when it was not."""
    from ocirun.linux.cgroup import making

    return making.memory_death(record, prepared)


def attach(step: OutsideStep, host: Host) -> None:
    """Let systemd move the container's process, where nobody else may."""
    doors: Doors = step.args[0]
    if doors.far:
        from ocirun.linux.cgroup import systemd

        systemd.attach(host.record["cgroup"], host.pid, doors.far)


def inside(config: dict[str, Any], prepared: list[OutsideStep]) -> list[InsideStep]:
    """The container's first step: enter the v1 cgroups, which it does without the kernel's global lock (see `v1`).

    On cgroup2 there is nothing to enter for a process that was born there, but for a directory that was there before.
    Then the new cgroup namespace, if the config wants one: its root is the cgroup that the process is in at that
    moment, so the clone cannot make it.
    """
    found: Hierarchies = prepared[0].args[0]
    doors: Doors = prepared[0].args[3]
    doors.wanted = found.mode != "none"
    named = (config.get("linux") or {}).get("namespaces") or ()
    fresh = any(entry["type"] == "cgroup" and not entry.get("path") for entry in named)
    return [InsideStep(enter, prepared[0].pointer, "enter the cgroup", doors, fresh)] if doors.wanted or fresh else []


def enter(step: InsideStep, _scene: Scene) -> None:
    """Write 0, which is oneself, to each ``tasks``."""
    doors, fresh = step.args
    for fd in doors.fds:
        try:
            os.write(fd, b"0")
        except OSError as problem:
            raise raw.KernelError(problem.errno or 0, "write", "tasks") from None
        os.close(fd)
    if fresh:
        kernel.unshare(kernel.CLONE_NEWCGROUP)


def close_doors(step: OutsideStep, _host: Host) -> None:
    """The container's process has its own copies."""
    doors: Doors = step.args[0]
    while doors.fds:
        os.close(doors.fds.pop())


def pids(record: Record) -> list[int]:
    """The processes in the container's cgroups and below, unordered; none when these are gone."""
    from ocirun.linux.cgroup import members

    return members.pids(record)


def kill_all(record: Record, signal: int) -> None:
    """Signal every process of the container; see `members.kill_all`."""
    from ocirun.linux.cgroup import members

    members.kill_all(record, signal)


def join(record: Record, pid: int, *subs: str) -> None:
    """Move a process in; `subs` are ``[CONTROLLER[,CONTROLLER]:]PATH`` below the container's cgroups."""
    from ocirun.linux.cgroup import entering

    entering.join(record, pid, *subs)


def open_doors(record: Record, *subs: str) -> Doors:
    """For `exec`: what `enter` needs, in place of `join`."""
    from ocirun.linux.cgroup import entering

    doors = Doors()
    doors.fds = entering.open_doors(record, *subs)
    doors.far = entering.far(record, *subs)
    return doors


def open_for_clone(record: Record, *subs: str) -> int:
    """A descriptor for CLONE_INTO_CGROUP, or -1 where there is no cgroup2."""
    from ocirun.linux.cgroup import entering

    return entering.open_for_clone(record, *subs)


def freeze(record: Record) -> None:
    """Stop all processes of the container; comes back when they stand still."""
    from ocirun.linux.cgroup import freezer

    freezer.freeze(record)


def thaw(record: Record) -> None:
    """Let them go on."""
    from ocirun.linux.cgroup import freezer

    freezer.thaw(record)


def is_frozen(record: Record) -> bool:
    """Whether `freeze` holds."""
    from ocirun.linux.cgroup import freezer

    return freezer.is_frozen(record)


def statistics(record: Record) -> dict[str, Any]:
    """What the container uses, in the shape of runc's `events` (see `stats`): the members `cpu` to `hugetlb`."""
    from ocirun.linux.cgroup import stats

    return stats.read(record["paths"])


def watch_memory(record: Record) -> Watch | None:
    """For `events`: what tells of processes killed for want of memory; None where nothing can (see `oomwatch`)."""
    from ocirun.linux.cgroup import oomwatch

    return oomwatch.watch(record)


def update(
    record: Record | None, current: dict[str, Any], asked: dict[str, Any], facts: Facts, journal: Journal
) -> dict[str, Any]:
    """Change limits; returns what the container has then as linux.resources. `journal` gets the ways back.

    record:  the container's, None for one without a cgroup, which is refused.
    current: its linux.resources; asked: an accepted object of that kind, with what is to be changed.
    """
    from ocirun.linux.cgroup import updating

    return updating.update(record, current, asked, facts, journal)


def remove_unused(record: Record) -> bool:
    """Remove what this container made and no process is in; whether nobody is left to be killed."""
    from ocirun.linux.cgroup import removal

    return removal.remove_unused(record)


def remove(record: Record) -> list[str]:
    """Remove what this container made; returns what could not be done. Idempotent."""
    from ocirun.linux.cgroup import removal

    return removal.remove(record)
