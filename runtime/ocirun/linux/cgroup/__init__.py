"""linux.cgroupsPath and linux.resources: the container's cgroups, from their making to their removal.

`prepare` chooses the driver once, from the mounted hierarchies; everything later works on the record (see `place`).
Each function imports what it needs, since `state`, `kill` and `delete` need little of it.

A runtime without the right to make cgroups runs the container without one when no limit was asked for, and says so.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep, OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts
    from ocirun.journal import Journal
    from ocirun.linux.cgroup.hierarchy import Hierarchies
    from ocirun.linux.cgroup.limits import Setting
    from ocirun.parent import Host
    from ocirun.scene import Scene

    Record = dict[str, Any]

_NO_RIGHT: Final = (1, 13, 30)
"""EPERM, EACCES, EROFS: what a runtime gets that may not make cgroups."""


class Doors:
    """The descriptors by which the container's process enters cgroups that it was not born in, when `wanted`."""

    __slots__ = ("fds", "wanted")

    def __init__(self) -> None:
        self.fds: list[int] = []
        self.wanted = False


def prepare(config: dict[str, Any], facts: Facts, ident: str, systemd: bool) -> list[OutsideStep]:
    """The parent's steps before the clone: make, limit, allow devices. Refuses what this host cannot do."""
    from ocirun.linux.cgroup import limits, place

    resources: dict[str, Any] = (config.get("linux") or {}).get("resources") or {}
    path = place.wanted(config, ident, systemd, facts.euid == 0 and facts.initial_userns)
    found = facts.cgroups
    settings = _settings(resources, found)
    early = [each for each in settings if not _late(each) and not _last(each)]
    return [
        OutsideStep(create, place.POINTER, f"create the cgroup {path}", found, path, settings, Doors()),
        *([OutsideStep(limit, limits.POINTER, "set the limits", early)] if early else []),
        *_device_steps(resources, found, facts),
    ]


def _settings(resources: dict[str, Any], found: Hierarchies) -> list[Setting]:
    settings = settings_of(resources, found)
    check(found, settings)
    return settings


def settings_of(resources: dict[str, Any], found: Hierarchies) -> list[Setting]:
    """The writes that these resources are, on these hierarchies."""
    from ocirun.linux.cgroup import limits

    if found.mode == "unified":
        return limits.settings(resources, lambda _controller: True)
    from ocirun.linux.cgroup import v1

    return limits.settings(resources, lambda controller: v1.is_unified(found, controller))


def check(found: Hierarchies, settings: list[Setting]) -> None:
    """Refuse a setting whose controller is in none of these hierarchies."""
    if found.mode == "unified":
        from ocirun.linux.cgroup import v2

        v2.check(found, settings)
    else:
        from ocirun.linux.cgroup import v1

        v1.check(found, settings)


def _late(setting: Setting) -> bool:
    """On cgroup2 the processes that the clone makes count already: pids.max would keep them from being born."""
    return setting.unified and setting.controller == "pids"


def _last(setting: Setting) -> bool:
    """Without the OOM killer a set-up that needs more memory than there is would stand still for ever."""
    return setting.file == "memory.oom_control"


def _device_steps(resources: dict[str, Any], found: Hierarchies, facts: Facts) -> list[OutsideStep]:
    """devices.allow and devices.deny where that controller is mounted, else a program on the cgroup2."""
    from ocirun.linux.cgroup import devices_v1

    rules = devices_v1.rules(resources)
    must = facts.euid == 0 and facts.initial_userns
    if any("devices" in each.controllers for each in found.v1):
        content: object = devices_v1.writes(rules)
    elif found.unified:
        from ocirun.linux.cgroup import devices_bpf

        content = devices_bpf.program(rules)
        if not content:
            return []
    elif must and found.v1 and devices_v1.writes(rules) != devices_v1.UNRESTRICTED:
        # SECURITY: without the controller nothing would keep the container from the host's devices
        raise Failure(
            "device rules need the cgroup v1 controller devices, which is not mounted", where=devices_v1.POINTER
        )
    else:
        return []
    return [OutsideStep(allow_devices, devices_v1.POINTER, "set the device rules", content, must)]


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


def adopt(config: dict[str, Any], facts: Facts, prepared: list[OutsideStep] | None = None) -> list[OutsideStep]:
    """The parent's steps after the clone. Give `prepared` when `inside` is used; else the parent moves the process."""
    from ocirun.linux.cgroup import limits, mounts, place

    steps = []
    if prepared is not None:
        steps.append(OutsideStep(close_doors, place.POINTER, "close the cgroup's files", prepared[0].args[3]))
    else:
        steps.append(OutsideStep(move_in, place.POINTER, "enter the cgroup"))
    found = facts.cgroups
    if prepared is not None and found.mode == "unified" and mounts.is_writable(config):
        from ocirun.linux.cgroup import delegation

        steps += delegation.adopt(config)
    resources: dict[str, Any] = (config.get("linux") or {}).get("resources") or {}
    settings = _settings(resources, found) if prepared is None else prepared[0].args[2]
    late = [each for each in settings if _late(each)]
    if late:
        steps.append(OutsideStep(limit, limits.POINTER, "set the limit of processes", late))
    return steps


def ready(prepared: list[OutsideStep]) -> list[OutsideStep]:
    """The parent's steps when the container is set up and waits for its program."""
    last = [each for each in prepared[0].args[2] if _last(each)]
    return [OutsideStep(limit, last[0].pointer, "disable the OOM killer", last)] if last else []


def create(step: OutsideStep, host: Host) -> None:
    """Make the directories. Without the right to and without a limit, the container has no cgroup."""
    found, path, settings, doors = step.args
    try:
        if found.mode == "none":
            raise Failure("no cgroup hierarchy is mounted", where=step.pointer, errno=_NO_RIGHT[0])
        _make(found, path, settings, host)
    except (Failure, OSError) as problem:
        if problem.errno not in _NO_RIGHT or any(not setting.optional for setting in settings):
            raise
        _go_without(host, problem)
        return
    from ocirun.linux.cgroup import entering

    host.cgroup_fd = entering.open_for_clone(host.record["cgroup"])
    if doors.wanted:
        doors.fds = entering.open_doors(host.record["cgroup"])


def _make(found: Hierarchies, path: str, settings: list[Setting], host: Host) -> None:
    if found.mode == "unified":
        from ocirun.linux.cgroup import v2

        v2.create(found, path, settings, host)
    else:
        from ocirun.linux.cgroup import v1

        v1.create(found, path, settings, host)


def _go_without(host: Host, problem: BaseException) -> None:
    from ocirun import log

    if host.record.get("cgroup"):
        for left in remove(host.record["cgroup"]):
            log.warning(left)
        host.record["cgroup"] = None
        host.save()
    log.warning(f"the container runs without a cgroup of its own, so without device rules: {problem}")


def limit(step: OutsideStep, host: Host) -> None:
    """Write the limits of `step.args[0]`."""
    record = host.record["cgroup"]
    if not record:
        return
    from ocirun.linux.cgroup import writing

    writing.write(step.args[0], record)


def allow_devices(step: OutsideStep, host: Host) -> None:
    """Apply the device rules; only a user namespace, where no device can be made, may go without them."""
    content, must = step.args
    record = host.record["cgroup"]
    if not record:
        return
    try:
        if isinstance(content, bytes):
            from ocirun.linux.cgroup import devices_bpf

            devices_bpf.apply(content, record["paths"]["unified"])
        else:
            from ocirun.linux.cgroup import v1

            v1.allow_devices(content, record["paths"]["devices"])
    except OSError as problem:
        if must or problem.errno not in _NO_RIGHT:
            raise
        from ocirun import log

        log.warning(f"the container runs without device rules: {problem}")


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


def close_all(steps: list[OutsideStep]) -> None:
    """After a failure: close the doors that `create` has opened."""
    for step in steps:
        if step.do is create:
            doors: Doors = step.args[3]
            while doors.fds:
                os.close(doors.fds.pop())


def move_in(_step: OutsideStep, host: Host) -> None:
    """Move the container's process into its cgroups; into a cgroup2 it was born."""
    record = host.record["cgroup"]
    if record and record["driver"] == "v1":
        join(record, host.pid)


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


def update(
    record: Record | None, current: dict[str, Any], asked: dict[str, Any], facts: Facts, journal: Journal
) -> dict[str, Any]:
    """Change limits; returns what the container has then as linux.resources. `journal` gets the ways back.

    record:  the container's, None for one without a cgroup, which is refused.
    current: its linux.resources; asked: an accepted object of that kind, with what is to be changed.
    """
    from ocirun.linux.cgroup import updating

    return updating.update(record, current, asked, facts, journal)


def memory_death(record: Record, prepared: list[OutsideStep]) -> Failure | None:
    """The sentence for a first process that was killed for want of memory; None when it was not."""
    from ocirun.linux.cgroup import deaths

    settings = [setting for step in prepared if step.do is limit for setting in step.args[0]]
    return deaths.for_want_of_memory(record, settings)


def remove(record: Record) -> list[str]:
    """Remove what this container made; returns what could not be done. Idempotent."""
    from ocirun.linux.cgroup import removal

    return removal.remove(record)
