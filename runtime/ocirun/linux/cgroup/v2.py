"""The cgroup v2 driver: one cgroup, in which the container's process is born (CLONE_INTO_CGROUP).

A controller reaches a cgroup when every ancestor has it in cgroup.subtree_control, see the kernel's
Documentation/admin-guide/cgroup-v2.rst ("Enabling and Disabling"). Those that a limit needs are enabled on the way
down, and those that count, where that can be had: without them nobody could say what a container without limits uses.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure, failure
from ocirun.linux.cgroup import groupfs, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy
    from ocirun.linux.cgroup.limits import Setting
    from ocirun.parent import Host

    Record = dict[str, Any]


COUNTING: Final = ("cpu", "io", "memory", "pids", "hugetlb")
"""What engines show statistics of. The others are of use with a limit only."""


def check(found: Hierarchies, settings: list[Setting]) -> None:
    """Refuse a limit whose controller the mounted hierarchy does not have."""
    assert found.unified
    needed = [setting for setting in settings if setting.controller and not setting.optional]
    if not needed:
        return
    available = groupfs.controllers(found.unified.mount)
    for setting in needed:
        if setting.controller not in available:
            lack = f"which {found.unified.mount} does not have"
            what = f"{setting.file} needs the cgroup v2 controller {setting.controller}, {lack}"
            raise Failure(what, where=setting.pointer)


def create(found: Hierarchies, path: str, settings: list[Setting], host: Host, keeper: int) -> None:
    """Make the cgroup and enable the controllers of `settings` for it."""
    hierarchy = found.unified
    assert hierarchy
    directory = place.directory(hierarchy, path, True)
    place.make(host, "v2", [(hierarchy.mount, directory, [place.UNIFIED])], _furnish, keeper)
    refuse_threaded(directory)  # before controllers are enabled on the way down to it
    enable(hierarchy, directory, settings)
    _count(hierarchy, directory)


def _furnish(_mount: str, _path: str) -> None:
    """A cgroup of v2 is usable as it is."""


def refuse_threaded(path: str) -> None:
    """A process can only live in a cgroup whose type is ``domain`` or ``domain threaded``."""
    try:
        kind = groupfs.read(f"{path}/cgroup.type").strip().decode()
    except FileNotFoundError:
        return  # the root has no type
    if kind not in ("domain", "domain threaded"):
        what = f"the cgroup {path} is of type {kind}: it holds threads of another cgroup, a container needs a domain"
        raise Failure(what, where=place.POINTER)


def enable(hierarchy: Hierarchy, directory: str, settings: list[Setting]) -> None:
    """Write cgroup.subtree_control from the mount down to the cgroup's parent, where something is missing."""
    wanted = {setting.controller: setting for setting in settings if setting.controller and not setting.optional}
    if not wanted:
        return
    for parent in parents(hierarchy, directory):
        enabled = groupfs.read(f"{parent}/cgroup.subtree_control").decode().split()
        lacking = [name for name in wanted if name not in enabled]
        for name in lacking:
            _enable_one(parent, name, wanted[name])


def _count(hierarchy: Hierarchy, directory: str) -> None:
    """Enable what counts, as far down as that goes: what cannot be had is not needed for any limit."""
    for parent in parents(hierarchy, directory):
        try:
            enabled = groupfs.read(f"{parent}/cgroup.subtree_control").decode().split()
            lacking = [name for name in COUNTING if name not in enabled]
            there = groupfs.controllers(parent) if lacking else []
            lacking = [name for name in lacking if name in there]
            if lacking and not is_inhabited(parent):
                groupfs.write(f"{parent}/cgroup.subtree_control", "".join(f"+{name} " for name in lacking).encode())
        except (Failure, OSError):
            return


def parents(hierarchy: Hierarchy, directory: str) -> list[str]:
    """The cgroups above it, the mount first."""
    parents = [hierarchy.mount]
    for part in directory[len(hierarchy.mount) :].split("/")[1:-1]:
        parents.append(f"{parents[-1]}/{part}")
    return parents


def is_inhabited(parent: str) -> bool:
    """Whether it has processes of its own and is not the root, which alone may have children with controllers then."""
    return os.access(f"{parent}/cgroup.type", os.F_OK) and bool(groupfs.processes(parent))


def _enable_one(parent: str, name: str, setting: Setting) -> None:
    """The kernel would enable a threaded controller (cpu, cpuset, pids) beside the parent's own processes, and with it
    turn all of the parent's children into cgroups that take no process.
    """
    try:
        if is_inhabited(parent):
            raise OSError(groupfs.EBUSY, "")
        groupfs.write(f"{parent}/cgroup.subtree_control", b"+" + name.encode())
    except OSError as problem:
        doing = f"{setting.file} needs the controller {name}: enable it below {parent}"
        hint = ""
        if problem.errno == groupfs.EBUSY:
            hint = f"{parent} holds processes itself; cgroup v2 allows that only in cgroups without such children"
        elif problem.errno == groupfs.ENOENT:
            doing += ", which does not have it from its own parent"
        raise failure(doing, problem, where=setting.pointer, hint=hint) from None


def entrance(record: Record, subs: tuple[str, ...]) -> str:
    """The directory that a process of `exec` is put into: ``PATH`` below the container's cgroup, or that itself.

    A container that manages its own cgroups (systemd) has moved its processes down and enabled controllers; its cgroup
    then takes no process, and the one that holds its oldest process is taken.
    """
    path: str = record["paths"][place.UNIFIED]
    if subs:
        sub = subs[-1].rpartition(":")[2]
        return os.path.normpath(f"{path}/{sub}")
    if not groupfs.read(f"{path}/cgroup.subtree_control").strip() or groupfs.processes(path):
        return path
    held = [(min(pids), each) for each in groupfs.tree(path) if (pids := groupfs.processes(each))]
    return min(held)[1] if held else path
