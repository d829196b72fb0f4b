"""The cgroup v1 driver: one cgroup in each mounted hierarchy, on a hybrid host in the cgroup2 hierarchy too.

The container's process moves itself: one thread that writes 0 to ``tasks`` needs no lock, while moving another process,
or a whole one through ``cgroup.procs``, makes the kernel wait for a grace period (13 to 22 ms when no one has just done
it). In cgroup2 it is born (CLONE_INTO_CGROUP).
"""

from __future__ import annotations

import os

from ocirun.errors import Failure, failure
from ocirun.linux.cgroup import devices_v1, groupfs, limits, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.linux.cgroup.hierarchy import Hierarchies
    from ocirun.linux.cgroup.limits import Setting
    from ocirun.parent import Host

    Record = dict[str, Any]

_SETS: Final = ("cpuset.cpus", "cpuset.mems")


def check(found: Hierarchies, settings: list[Setting]) -> None:
    """Refuse a limit whose controller is not mounted."""
    there = {name for hierarchy in found.v1 for name in hierarchy.controllers}
    for setting in settings:
        if setting.controller not in there and not setting.optional:
            what = f"{setting.file} needs the cgroup v1 controller {setting.controller}, which is not mounted"
            raise Failure(what, where=setting.pointer)


def create(found: Hierarchies, path: str, host: Host) -> None:
    """Make a cgroup in every hierarchy."""
    places = [(each.mount, place.directory(each, path, False), list(each.controllers)) for each in found.v1]
    if found.unified:
        unified = place.directory(found.unified, path, False)
        places.append((found.unified.mount, unified, [place.UNIFIED]))
    sets = {each.mount for each in found.v1 if "cpuset" in each.controllers}
    place.make(host, "v1", places, lambda mount, directory: _furnish(directory) if mount in sets else None)


def _furnish(path: str) -> None:
    """A new cpuset has neither processors nor memory nodes, and takes no process without: it gets its parent's."""
    for name in _SETS:
        try:
            if groupfs.read(f"{path}/{name}").strip():
                continue
        except FileNotFoundError:
            return
        value = groupfs.read(f"{os.path.dirname(path)}/{name}")
        try:
            groupfs.write(f"{path}/{name}", value)
        except OSError as problem:
            raise failure(f"give the cgroup {path} its parent's {name}", problem, where=place.POINTER) from None


def limit(settings: list[Setting], record: Record) -> None:
    """Write the limits, in their order."""
    groups: dict[str, int] = {}
    try:
        for at, setting in enumerate(settings):
            path = record["paths"].get(setting.controller)
            if path is None:
                continue  # `check` has let it pass: it is the default
            if path not in groups:
                groups[path] = groupfs.open_group(path)
            following = settings[at + 1] if at + 1 < len(settings) else None
            _put(groups[path], path, setting, following)
    finally:
        for group in groups.values():
            os.close(group)


def _put(group: int, path: str, setting: Setting, following: Setting | None) -> None:
    """One setting. The limits of memory and of memory plus swap bound each other, so either may have to go first."""
    file, value = setting.file, setting.value
    if (setting.instead or setting.optional) and not os.access(file, os.F_OK, dir_fd=group):
        if setting.instead is None:
            return
        file, value = setting.instead
    try:
        groupfs.write(file, value.encode(), group)
    except OSError as problem:
        bounded = following is not None and following.file == limits.MEMORY_AND_SWAP
        if problem.errno != groupfs.EINVAL or following is None or not bounded:
            raise groupfs.refusal(problem, path, file, value, setting.pointer) from None
        groupfs.put(group, path, following.file, following.value, following.pointer)
        groupfs.put(group, path, file, value, setting.pointer)


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
                raise Failure(f"the container has no cgroup of the controller {name}", where="--cgroup")
            for other, where in paths.items():
                if where == paths[name]:  # controllers that are mounted together move together
                    found[other] = os.path.normpath(f"{paths[name]}/{path}")
    return found
