"""The systemd driver: the container's cgroup is that of a transient scope, which a service manager makes for it.

The manager owns the tree down to the scope, and the scope is delegated (systemd's docs/CGROUP_DELEGATION.md): below it,
and in its files, the container's limits are written as by the other drivers, which do all the rest. So there is nothing
here but the unit's life: started around a process that keeps it (`keeper`), its properties, and its end.

`plan` is pure. The other functions talk to the manager, over D-Bus with jeepney, which is cold.
"""

from __future__ import annotations

import os
import select
import time

from ocirun import log
from ocirun.errors import Failure, failure
from ocirun.linux.cgroup import devices_v1, groupfs, hierarchy, place
from ocirun.linux.cgroup.limits import POINTER
from ocirun.linux.cgroup.systemd import annotated, keeper, names, properties
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts
    from ocirun.journal import Journal
    from ocirun.linux.cgroup.devices_v1 import Rule
    from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy
    from ocirun.linux.cgroup.limits import Setting
    from ocirun.linux.cgroup.systemd.bus import Bus
    from ocirun.linux.cgroup.systemd.properties import Property
    from ocirun.parent import Host

    Record = dict[str, Any]
    Resources = dict[str, Any]

_GONE: Final = "org.freedesktop.systemd1.NoSuchUnit"
_UNKNOWN: Final = "org.freedesktop.DBus.Error.UnknownObject"
_EXISTS: Final = "org.freedesktop.systemd1.UnitExists"
_LIVES: Final = ("active", "activating", "reloading", "refreshing")
_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.005


class Unit:
    """A container's scope: what it is called, whose manager makes it, its properties, and those that are its limits."""

    __slots__ = ("limits", "name", "properties", "user")

    def __init__(self, name: str, user: bool, given: list[Property], limits: list[Property]) -> None:
        self.name = name
        self.user = user
        self.properties = given
        self.limits = limits


def plan(config: dict[str, Any], ident: str, facts: Facts, settings: list[Setting]) -> Unit:
    """The unit of a configuration; without root's rights it is one of the user's own manager.

    TasksMax comes when the container is set up: until then there are more processes than the container's.
    """
    user = not (facts.euid == 0 and facts.initial_userns)
    above, name = names.unit_of(config, ident, user)
    legacy = bool(facts.cgroups.v1)
    resources: Resources = (config.get("linux") or {}).get("resources") or {}
    limits = properties.of(settings)
    asked = any(each[0] == properties.TASKS_MAX for each in limits)
    given: list[Property] = [
        ("Description", ("s", f"container {ident}")),
        ("Slice", ("s", above)),
        ("Delegate", ("b", True)),
        ("DefaultDependencies", ("b", False)),
        ("CollectMode", ("s", "inactive-or-failed")),  # a scope that failed is not kept for somebody to look at
        ("MemoryAccounting", ("b", True)),
        ("CPUAccounting", ("b", True)),
        ("TasksAccounting", ("b", True)),
        ("BlockIOAccounting" if legacy else "IOAccounting", ("b", True)),
        *([] if asked else [(properties.TASKS_MAX, ("t", properties.INFINITY))]),  # else the manager's default counts
        *(_devices_of(devices_v1.rules(resources)) if legacy else []),
        *annotated.properties(config.get("annotations") or {}),
    ]
    return Unit(name, user, given, [each for each in limits if each[0] != properties.TASKS_MAX])


def _devices_of(rules: list[Rule]) -> list[Property]:
    named = properties.device_names(os.fsdecode(groupfs.read("/proc/devices")))
    return properties.devices(rules, named)


def begin(unit: Unit, found: Hierarchies, host: Host) -> tuple[str, int]:
    """Start the unit. (its cgroup, absolute below each mount; the pid of the process that keeps it).

    The record names the unit before it is asked for, so that `stop` finds what a killed runtime has begun.
    """
    with _connect(unit.user) as link:
        host.record["cgroup"] = {"driver": "", "paths": {}, "made": [], "unit": unit.name, "user": unit.user}
        host.save()
        pid = keeper.begin()
        try:
            _start(link, unit, pid)
            return _where(unit, found, pid), pid
        except BaseException:
            keeper.end(pid)
            raise


def _connect(user: bool) -> Bus:
    from ocirun import cold

    cold.enable()
    from ocirun.linux.cgroup.systemd import bus

    return bus.connect(user)


def _start(link: Bus, unit: Unit, pid: int) -> None:
    """Limits that systemd does not take are the kernel's to judge: with their place in the configuration."""
    from ocirun.linux.cgroup.systemd.bus import Refused

    doing = f"start the unit {unit.name}"
    given = [*unit.properties, ("PIDs", ("au", [pid]))]
    limits = unit.limits
    untaken = ""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            result = link.job("StartTransientUnit", "ssa(sv)a(sa(sv))", (unit.name, "replace", [*given, *limits], []))
        except Refused as problem:
            if problem.name == _EXISTS:
                if time.monotonic() < deadline and _forget(link, unit.name):
                    continue
            elif limits:
                limits, untaken = [], problem.text
                continue
            raise _refusal(doing, problem, place.POINTER) from None
        except OSError as problem:
            raise failure(f"{doing}: wait for systemd", problem, where=place.POINTER) from None
        if result != "done":
            raise Failure(f"{doing}: systemd's job ended with the result {result}", where=place.POINTER)
        if untaken:
            _warn(unit.name, untaken)
        return


def _warn(name: str, text: str) -> None:
    log.warning(f"the limits of the unit {name} are in its cgroup's files alone, systemd does not take them: {text}")


def _forget(link: Bus, name: str) -> bool:
    """Whether the unit of that name is dead: systemd forgets it in a moment. One that failed it has to be told of."""
    from ocirun.linux.cgroup.systemd.bus import Refused

    try:
        path = link.path("GetUnit", "s", (name,))
        state = link.property(path, "Unit", "ActiveState")
        if state in _LIVES:
            return False
        if state == "failed":
            link.manager("ResetFailedUnit", "s", (name,))
    except Refused as problem:
        return problem.name in (_GONE, _UNKNOWN)  # it has gone between two questions
    select.select([], [], [], _STEP_SECONDS)
    return True


def _refusal(doing: str, problem: Any, where: str) -> Failure:
    """systemd's own words; the name of its error where it has none."""
    said = (problem.text or problem.name).rstrip(".")
    return Failure(f"{doing}: systemd says: {said[:1].lower() + said[1:]}", where=where)


def _where(unit: Unit, found: Hierarchies, pid: int) -> str:
    """Where the manager has put the process: what the kernel says is the unit's cgroup."""
    managed, name = _managed(found)
    path = hierarchy.below(hierarchy.own_cgroups(groupfs.read(f"/proc/{pid}/cgroup")).get(name, "/"), managed.root)
    if path.rpartition("/")[2] != unit.name:
        raise Failure(f"systemd started {unit.name}, and its process stands in the cgroup {path}", where=place.POINTER)
    return path


def _managed(found: Hierarchies) -> tuple[Hierarchy, str]:
    """The hierarchy in which systemd has its units, and its name in /proc/PID/cgroup."""
    named = next((each for each in found.v1 if hierarchy.SYSTEMD in each.controllers), None)
    if named:
        return named, hierarchy.SYSTEMD
    if found.unified:
        return found.unified, ""
    raise Failure("systemd's own cgroup hierarchy is not mounted", where=place.POINTER)


def ready(settings: list[Setting]) -> list[OutsideStep]:
    """What `plan` has left for the moment in which only the container's processes count."""
    tasks = [each for each in settings if each.controller == "pids"]
    if not tasks:
        return []
    return [OutsideStep(limit, tasks[0].pointer, "set the unit's limit of tasks", properties.of(tasks))]


def limit(step: OutsideStep, host: Host) -> None:
    """Set the properties of `step.args[0]`."""
    if host.record["cgroup"]:
        apply(host.record["cgroup"], step.args[0])


def attach(record: Record, pid: int, directory: str) -> None:
    """Let the manager move a process into the unit's cgroup, or below it: into `directory`.

    A plain user may only move processes within what is delegated to him, and the runtime may have been called outside
    of that (cgroup-v2.rst, "Delegation Containment").
    """
    doing = f"attach process {pid} to the unit {record['unit']}"
    below = directory.removeprefix(record["paths"][place.UNIFIED])
    with _connect(record["user"]) as link:
        from ocirun.linux.cgroup.systemd.bus import Refused

        try:
            link.manager("AttachProcessesToUnit", "ssau", (record["unit"], below, [pid]))
        except Refused as problem:
            raise _refusal(doing, problem, place.POINTER) from None
        except OSError as problem:
            raise failure(f"{doing}: wait for systemd", problem, where=place.POINTER) from None


def apply(record: Record, given: list[Property]) -> None:
    """SetUnitProperties for as long as the unit lives, all or none. What systemd does not take is a warning: it is the
    kernel that limits.
    """
    if not given:
        return
    with _connect(record["user"]) as link:
        from ocirun.linux.cgroup.systemd.bus import Refused

        try:
            link.manager("SetUnitProperties", "sba(sv)", (record["unit"], True, given))
        except Refused as problem:
            _warn(record["unit"], problem.text)
        except OSError as problem:
            doing = f"set properties of the unit {record['unit']}: wait for systemd"
            raise failure(doing, problem, where=POINTER) from None


def change(
    record: Record,
    before: list[Setting],
    after: list[Setting],
    devices: tuple[list[Rule], list[Rule]] | None,
    journal: Journal,
) -> None:
    """For `update`: tell the manager what the files will say, and the journal the way back.

    before: all that the container has; after: what will be written. devices: rules as they were and will be, when they
    change on cgroup v1.
    """
    former = dict(properties.of(before))
    given = properties.of(after)
    back = [(each[0], former[each[0]]) if each[0] in former else properties.unset(each) for each in given]
    if devices:
        back += _replaced(devices[0])
        given += _replaced(devices[1])
    if given:
        journal.add(f"set properties of the unit {record['unit']} back", apply, record, back)
        apply(record, given)


def _replaced(rules: list[Rule]) -> list[Property]:
    """systemd adds to its list of devices, which an empty one clears first."""
    policy, *allowed = _devices_of(rules)
    return [policy, ("DeviceAllow", ("a(ss)", [])), *allowed]


def stop(record: Record) -> str:
    """Stop the unit, when its processes have ended; empty, or the sentence of what went wrong. Idempotent.

    Of a `create` that was killed while it began, nobody knows whether the unit is its own: without a process it is
    nobody else's.
    """
    doing = f"stop the unit {record['unit']}"
    try:
        with _connect(record["user"]) as link:
            from ocirun.linux.cgroup.systemd.bus import Refused

            try:
                if not record["paths"] and _is_inhabited(link, record["unit"]):
                    return ""
                result = link.job("StopUnit", "ss", (record["unit"], "replace"))
            except Refused as problem:
                return "" if problem.name == _GONE else str(_refusal(doing, problem, ""))
            except OSError as problem:
                return str(failure(f"{doing}: wait for systemd", problem))
            return "" if result == "done" else f"{doing}: systemd's job ended with the result {result}"
    except Failure as problem:
        return f"{doing}: {problem}"


def _is_inhabited(link: Bus, name: str) -> bool:
    path = link.path("GetUnit", "s", (name,))
    managed, _name = _managed(hierarchy.discover())
    group = hierarchy.below(link.property(path, "Scope", "ControlGroup"), managed.root)
    return bool(groupfs.all_processes(f"{managed.mount}{group}"))
