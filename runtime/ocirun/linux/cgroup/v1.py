"""The cgroup v1 driver: one cgroup in each mounted hierarchy, on a hybrid host in the cgroup2 hierarchy too.

The container's process moves itself: one thread that writes 0 to ``tasks`` needs no lock, while moving another process,
or a whole one through ``cgroup.procs``, makes the kernel wait for a grace period (13 to 22 ms when no one has just done
it). In cgroup2 it is born (CLONE_INTO_CGROUP).
"""

from __future__ import annotations

import os

from ocirun.errors import Failure, failure
from ocirun.linux.cgroup import devices_v1, groupfs, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.linux.cgroup.hierarchy import Hierarchies
    from ocirun.linux.cgroup.limits import Setting
    from ocirun.parent import Host

    Record = dict[str, Any]

_SETS: Final = ("cpuset.cpus", "cpuset.mems")


def is_unified(found: Hierarchies, controller: str) -> bool:
    """Whether a hybrid host's cgroup2 has the controller, by its name there; a controller is in one hierarchy only."""
    legacy = "blkio" if controller == "io" else controller
    if not found.unified or any(legacy in hierarchy.controllers for hierarchy in found.v1):
        return False
    return controller in groupfs.controllers(found.unified.mount)


def check(found: Hierarchies, settings: list[Setting]) -> None:
    """Refuse a limit whose controller is not mounted."""
    there = {name for hierarchy in found.v1 for name in hierarchy.controllers}
    unified = [setting for setting in settings if setting.unified]
    for setting in settings:
        if not setting.unified and setting.controller not in there and not setting.optional:
            what = f"{setting.file} needs the cgroup v1 controller {setting.controller}, which is not mounted"
            raise Failure(what, where=setting.pointer)
    if unified and not found.unified:
        raise Failure(f"{unified[0].file} is of cgroup v2, which is not mounted", where=unified[0].pointer)
    if unified:
        from ocirun.linux.cgroup import v2

        v2.check(found, unified)


def create(found: Hierarchies, path: str, settings: list[Setting], host: Host, keeper: int) -> None:
    """Make a cgroup in every hierarchy, in the cgroup2 of a hybrid host with the controllers that `settings` need."""
    places = [(each.mount, place.directory(each, path, False), list(each.controllers)) for each in found.v1]
    asked = [setting for setting in settings if setting.unified]
    if found.unified:
        unified = place.directory(found.unified, path, False)
        # A plain user who has been given cgroups of v1 may move his processes there, but rarely in the cgroup2 as well.
        if asked or keeper or place.may_enter(found.unified, unified):
            places.append((found.unified.mount, unified, [place.UNIFIED]))
    sets = {each.mount for each in found.v1 if "cpuset" in each.controllers}
    place.make(host, "v1", places, lambda mount, directory: _furnish(directory) if mount in sets else None, keeper)
    if asked and found.unified:
        from ocirun.linux.cgroup import v2

        v2.enable(found.unified, unified, asked)


def _furnish(path: str) -> None:
    """A new cpuset has neither processors nor memory nodes, and takes no process without: it gets its parent's.

    The parent may be new too: another runtime has made it and not come to this yet. The hierarchy's root has all.
    """
    for name in _SETS:
        try:
            if groupfs.read(f"{path}/{name}").strip():
                continue
        except FileNotFoundError:
            return
        parent = os.path.dirname(path)
        value = groupfs.read(f"{parent}/{name}")
        if not value.strip():
            _furnish(parent)
            value = groupfs.read(f"{parent}/{name}")
        try:
            groupfs.write(f"{path}/{name}", value)
        except OSError as problem:
            raise failure(f"give the cgroup {path} its parent's {name}", problem, where=place.POINTER) from None


def allow_devices(writes: list[tuple[str, str]], path: str) -> None:
    """Write what `devices_v1.writes` has computed to the cgroup at `path`."""
    group = groupfs.open_group(path)
    try:
        for file, value in writes:
            try:
                groupfs.write(file, value.encode(), group)
            except OSError as problem:
                if problem.errno == groupfs.EPERM and file == "devices.allow" and _is_usual(value):
                    continue  # the runtime's own cgroup denies it: so does the container's
                raise groupfs.refusal(problem, path, file, value, devices_v1.POINTER) from None
    finally:
        os.close(group)


def _is_usual(value: str) -> bool:
    return any(value.startswith(devices_v1.text(usual[:3]) + " ") for usual in devices_v1.USUAL)


def destinations(record: Record, subs: tuple[str, ...]) -> dict[str, str]:
    """Controller to directory for a process that goes to ``[CONTROLLER[,CONTROLLER]:]PATH`` below the container's."""
    paths: dict[str, str] = record["paths"]
    found = dict(paths)
    for sub in subs:
        controllers, colon, path = sub.rpartition(":")
        named = controllers.split(",") if colon else list(paths)
        for name in named:
            if name not in paths:
                raise Failure(f"unknown controller {name}: the container has no cgroup of it", where="--cgroup")
            for other, where in paths.items():
                if where == paths[name]:  # controllers that are mounted together move together
                    found[other] = os.path.normpath(f"{paths[name]}/{path}")
    return found
