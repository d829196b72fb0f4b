"""Making a container's cgroups: the steps of `create`, from the choice of the driver to the last limit.

The driver is chosen here, once, from the mounted hierarchies and --systemd-cgroup. What is made is in the record before
it is made (see `place`), so that only the record is needed afterwards.

A runtime without the right to make cgroups runs the container without one when no limit was asked for, and says so.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.linux.cgroup import Doors, attach, close_doors, join, remove
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts
    from ocirun.linux.cgroup.hierarchy import Hierarchies
    from ocirun.linux.cgroup.limits import Setting
    from ocirun.linux.cgroup.systemd import Unit
    from ocirun.parent import Host

    Record = dict[str, Any]

_NO_RIGHT: Final = (1, 13, 30)
"""EPERM, EACCES, EROFS: what a runtime gets that may not make cgroups."""


def prepare(config: dict[str, Any], facts: Facts, ident: str, systemd: bool) -> list[OutsideStep]:
    """The parent's steps before the clone: make, limit, allow devices. Refuses what this host cannot do."""
    from ocirun.linux.cgroup import limits, place

    resources: dict[str, Any] = (config.get("linux") or {}).get("resources") or {}
    found = facts.cgroups
    goal: str | Unit = ""
    if not systemd:
        goal = place.wanted(config, ident, facts.euid == 0 and facts.initial_userns)
    settings = _settings(resources, found)
    if systemd:
        from ocirun.linux.cgroup import systemd as driver

        goal = driver.plan(config, ident, facts, settings)
    early = [each for each in settings if not _late(each, goal) and not _last(each, goal)]
    text = f"create the cgroup {goal}" if isinstance(goal, str) else f"start the unit {goal.name}"
    return [
        OutsideStep(create, place.POINTER, text, found, goal, settings, Doors()),
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


def _late(setting: Setting, goal: str | Unit) -> bool:
    """On cgroup2 the processes that the clone makes count already: pids.max would keep them from being born."""
    return setting.unified and setting.controller == "pids" and isinstance(goal, str)


def _last(setting: Setting, goal: str | Unit) -> bool:
    """Without the OOM killer a set-up that needs more memory than there is would stand still for ever; and the process
    that keeps a unit counts for pids.max.
    """
    disabling = setting.file == "memory.oom_control" and setting.value == "1"
    return disabling or (setting.controller == "pids" and not isinstance(goal, str))


def _device_steps(resources: dict[str, Any], found: Hierarchies, facts: Facts) -> list[OutsideStep]:
    """devices.allow and devices.deny where that controller is mounted, else a program on the cgroup2.

    SECURITY: not after GO. Init opens files of the image, which may be devices of the host that do something when they
    are opened: its /etc/passwd, its ptmx. And hooks count on the rules, which some of them change.
    Nor between the clone and GO, which is slower by 0.4 ms: what the parent writes to then is copied.
    """
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


def adopt(config: dict[str, Any], facts: Facts, prepared: list[OutsideStep] | None = None) -> list[OutsideStep]:
    """The parent's steps after the clone. Give `prepared` when `inside` is used; else the parent moves the process."""
    from ocirun.linux.cgroup import limits, mounts, place

    steps = []
    if prepared is not None:
        doors = prepared[0].args[3]
        if not isinstance(prepared[0].args[1], str):
            steps.append(OutsideStep(attach, place.POINTER, "enter the unit", doors))
        steps.append(OutsideStep(close_doors, place.POINTER, "close the cgroup's files", doors))
    else:
        steps.append(OutsideStep(move_in, place.POINTER, "enter the cgroup"))
    found = facts.cgroups
    if prepared is not None and found.mode == "unified" and mounts.is_writable(config):
        from ocirun.linux.cgroup import delegation

        steps += delegation.adopt(config)
    resources: dict[str, Any] = (config.get("linux") or {}).get("resources") or {}
    goal, settings = ("", _settings(resources, found)) if prepared is None else prepared[0].args[1:3]
    late = [each for each in settings if _late(each, goal)]
    if late:
        steps.append(OutsideStep(limit, limits.POINTER, "set the limit of processes", late))
    return steps


def ready(prepared: list[OutsideStep]) -> list[OutsideStep]:
    """The parent's steps when the container is set up and waits for its program."""
    goal, settings, doors = prepared[0].args[1:4]
    steps = []
    if not isinstance(goal, str):  # until now, so that systemd does not drop the unit before we know why init has died
        steps.append(OutsideStep(end_keeper, prepared[0].pointer, "end the process that kept the unit", doors))
    if last := [each for each in settings if _last(each, goal)]:
        steps.append(OutsideStep(limit, last[0].pointer, "set the last limits", last))
    if not isinstance(goal, str):
        from ocirun.linux.cgroup import systemd

        steps += systemd.ready(settings)
    return steps


def create(step: OutsideStep, host: Host) -> None:
    """Make the directories. Without the right to and without a limit, the container has no cgroup."""
    found, goal, settings, doors = step.args
    try:
        if found.mode == "none":
            raise Failure("no cgroup hierarchy is mounted", where=step.pointer, errno=_NO_RIGHT[0])
        if not isinstance(goal, str):
            from ocirun.linux.cgroup import systemd

            goal, doors.keeper = systemd.begin(goal, found, host)
        _make(found, goal, settings, host, doors.keeper)
    except (Failure, OSError) as problem:
        if problem.errno not in _NO_RIGHT or any(not setting.optional for setting in settings):
            raise
        end_keeper(step, host)
        _go_without(host, problem)
        return
    from ocirun.linux.cgroup import entering

    host.cgroup_fd = entering.open_for_clone(host.record["cgroup"])
    if doors.wanted:
        doors.fds = entering.open_doors(host.record["cgroup"])
    doors.far = entering.far(host.record["cgroup"])


def _make(found: Hierarchies, path: str, settings: list[Setting], host: Host, keeper: int) -> None:
    if found.mode == "unified":
        from ocirun.linux.cgroup import v2

        v2.create(found, path, settings, host, keeper)
    else:
        from ocirun.linux.cgroup import v1

        v1.create(found, path, settings, host, keeper)


def end_keeper(step: OutsideStep, _host: Host) -> None:
    """The container's process is in its cgroup; nothing to do without a unit."""
    doors: Doors = step.args[-1]
    pid, doors.keeper = doors.keeper, 0
    if pid:
        from ocirun.linux.cgroup.systemd import keeper

        keeper.end(pid)


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
    except (Failure, OSError) as problem:
        if must or problem.errno not in _NO_RIGHT:
            raise
        from ocirun import log

        log.warning(f"the container runs without device rules: {problem}")


def close_all(steps: list[OutsideStep], host: Host) -> None:
    """After a failure: close the doors that `create` has opened, and end what it has begun."""
    for step in steps:
        if step.do is create:
            end_keeper(step, host)
            doors: Doors = step.args[3]
            while doors.fds:
                os.close(doors.fds.pop())


def move_in(_step: OutsideStep, host: Host) -> None:
    """Move the container's process into its cgroups; into a cgroup2 it was born."""
    record = host.record["cgroup"]
    if record and record["driver"] == "v1":
        join(record, host.pid)


def memory_death(record: Record, prepared: list[OutsideStep]) -> Failure | None:
    """The sentence for a first process that was killed for want of memory; None when it was not."""
    from ocirun.linux.cgroup import deaths

    settings = [setting for step in prepared if step.do is limit for setting in step.args[0]]
    return deaths.for_want_of_memory(record, settings)
