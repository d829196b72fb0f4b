"""Where the container's cgroups are, and making their directories: the part that both drivers share.

The record, which is all that later commands need (JSON):

    driver  ``v1`` or ``v2``
    paths   controller -> absolute directory; ``name=systemd``; ``unified`` for cgroup2
    made    the directories that this container made, parents first; everything else existed and stays
    owners  file -> uid of a cgroup that existed and is the container's for its life; mostly absent
    unit    the systemd scope whose cgroup it is, with the systemd driver
    user    whether that is a unit of the user's service manager

It is saved before the first mkdir(2), so that a runtime killed at any moment leaves nothing that `delete` cannot find.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure, failure
from ocirun.linux.cgroup import groupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ocirun.linux.cgroup.hierarchy import Hierarchy
    from ocirun.parent import Host

    Place = tuple[str, str, list[str]]
    Record = dict[str, Any]

POINTER: Final = "/linux/cgroupsPath"
UNIFIED: Final = "unified"
DELEGATE: Final = "let systemd delegate it (Delegate=yes, systemd-run --user --scope -p Delegate=yes), or call as root"
"""The hint for who may not make a cgroup."""
_TRIES: Final = 16
_LONGEST: Final = 2048
"""Of a cgroupsPath, so that the mount point before it and a file's name after it leave it below PATH_MAX."""


def wanted(config: dict[str, Any], ident: str, rooted: bool) -> str:
    """linux.cgroupsPath, or the container's id; refuses what is no path of the cgroup filesystem.

    rooted: a relative cgroupsPath starts at the mount too, since the specification wants the same value to name the
    same place, from wherever the runtime is called. Whoever may not write there has only the place `directory` gives.
    """
    path: str = (config.get("linux") or {}).get("cgroupsPath") or ""
    if path.count(":") == 2 and "/" not in path:
        what = f"{path} has the form slice:prefix:name, which only --systemd-cgroup understands"
        raise Failure(what, where=POINTER)
    if ".." in path.split("/"):
        raise Failure(f"the path {path} contains ..", where=POINTER)
    if path and not path.strip("/."):
        raise Failure(f"the path {path} is the root of the hierarchy, not a container's cgroup", where=POINTER)
    if "\n" in path:
        raise Failure("the path has a line feed, which no cgroup's name can have", where=POINTER)
    if len(os.fsencode(path)) > _LONGEST:
        raise Failure(f"the path is longer than {_LONGEST} bytes", where=POINTER)
    return f"/{path}" if path and rooted else path or ident


def directory(hierarchy: Hierarchy, path: str, beside: bool) -> str:
    """The cgroup's directory: an absolute path starts at the mount, a relative one at the runtime's own cgroup.

    beside: or beside the runtime's own cgroup, since a cgroup with processes cannot have children with controllers
    (v2).
    """
    start = ""
    if not path.startswith("/"):
        start = os.path.dirname(hierarchy.own) if beside else hierarchy.own
    return os.path.normpath(f"{hierarchy.mount}/{start}/{path}")


def may_enter(hierarchy: Hierarchy, path: str) -> bool:
    """Whether the runtime may move processes from its own cgroup2 to the directory `path`, also one still to be made.

    That needs the right to write to cgroup.procs of the nearest cgroup above both places (cgroup-v2.rst).
    """
    here = f"{hierarchy.mount}{hierarchy.own}".rstrip("/")
    shared = ""
    for part, other in zip(path.split("/")[1:], here.split("/")[1:], strict=False):
        if part != other:
            break
        shared += f"/{part}"
    return os.access(f"{shared}/cgroup.procs", os.W_OK)


def make(host: Host, driver: str, places: list[Place], furnish: Callable[[str, str], None], keeper: int = 0) -> None:
    """Record and make the directories of (mount, directory, names in `paths`).

    furnish: called with (mount, directory) after each mkdir(2), for what a new cgroup needs before it can be used.
    keeper:  the process that keeps the container's unit alive: a directory that systemd has made for it is ours.
    """
    made: list[str] = []
    given: list[str] = []
    owners: dict[str, str] = {}
    paths: dict[str, str] = {}
    for mount, path, names in places:
        absent = groupfs.missing(mount, path)
        if not absent:
            check_unused(path, keeper)
            given += [path] if keeper else []
        elif not os.path.isdir(above := os.path.dirname(absent[0])):
            raise Failure(f"make the cgroup {path}: {above} is not a directory", where=POINTER)
        made += absent
        owners.update(dict.fromkeys(absent, mount))
        paths.update(dict.fromkeys(names, path))
    record: Record = {**(host.record["cgroup"] or {}), "driver": driver, "paths": paths, "made": [*given, *made]}
    host.record["cgroup"] = record
    host.save()
    leaves = frozenset(paths.values())
    for path in made:
        if not _mkdir(owners[path], path):
            # somebody else made it since: it is theirs, and a container's own cgroup must still be unused
            record["made"].remove(path)
            host.save()
            if path in leaves:
                check_unused(path)
        furnish(owners[path], path)


def _mkdir(mount: str, path: str) -> bool:
    """Whether it was made and not there already. A parent that another container's delete took away is made again."""
    for _ in range(_TRIES):
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            return False
        except FileNotFoundError:
            for parent in groupfs.missing(mount, os.path.dirname(path)):
                try:
                    os.mkdir(parent, 0o755)
                except FileExistsError:
                    continue
        except OSError as problem:
            hint = DELEGATE if isinstance(problem, PermissionError) else ""
            raise failure(f"make the cgroup {path}", problem, where=POINTER, hint=hint) from None
        else:
            return True
    raise Failure(f"make the cgroup {path}: its parent is removed again and again", where=POINTER)


def check_unused(path: str, keeper: int = 0) -> None:
    """Refuse a cgroup with other processes than `keeper`, or a frozen one: what is done to one container must not reach
    another.
    """
    pids = [pid for pid in groupfs.all_processes(path) if pid != keeper]
    if pids:
        raise Failure(f"the container's cgroup is not empty: {path} holds {len(pids)} processes", where=POINTER)
    for name, frozen in (("freezer.state", b"FROZEN"), ("cgroup.freeze", b"1")):
        try:
            if groupfs.read(f"{path}/{name}").strip() == frozen:
                raise Failure(f"the container's cgroup unexpectedly frozen: {path}", where=POINTER)
        except FileNotFoundError:
            continue
