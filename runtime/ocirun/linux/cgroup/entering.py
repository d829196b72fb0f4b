"""Putting a process into a container's cgroups: by the clone, by itself through a door, or by the parent."""

from __future__ import annotations

import os

from ocirun.errors import Failure, failure
from ocirun.linux.cgroup import groupfs, place, v1, v2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


def _checked(subs: tuple[str, ...]) -> tuple[str, ...]:
    for sub in subs:
        if ".." in sub.rpartition(":")[2].split("/"):
            raise Failure(f"{sub} is not a sub cgroup path", where="--cgroup")
    return tuple(sub for sub in subs if sub)


def join(record: Record, pid: int, *subs: str) -> None:
    """Move a process into the container's cgroups; `subs` are ``[CONTROLLER[,CONTROLLER]:]PATH`` below them."""
    unified = record["paths"].get("unified")
    if record["driver"] == "v2":
        goals = [v2.entrance(record, _checked(subs))]
    else:
        goals = list(dict.fromkeys(v1.destinations(record, _checked(subs)).values()))
    for path in goals:
        if (path == unified or record["driver"] == "v2") and pid in groupfs.processes(path):
            continue  # born there
        try:
            groupfs.write(f"{path}/cgroup.procs", b"%d" % pid)
        except OSError as problem:
            raise failure(f"move process {pid} into the cgroup {path}", problem) from None


def _unified(record: Record, checked: tuple[str, ...]) -> str:
    """The directory of the cgroup2 to enter, empty without one."""
    if record["driver"] == "v2":
        return v2.entrance(record, checked)
    return v1.destinations(record, checked).get("unified", "")


def _can_be_born_in(record: Record, path: str) -> bool:
    """Whether CLONE_INTO_CGROUP is safe: only for a directory that this container made.

    A kernel that counts the writes to cgroup.kill kills a process cloned into a cgroup that has ever seen one (met on
    Linux 6.18); a directory that was there before may have.
    """
    return path in record["made"]


def far(record: Record, *subs: str) -> str:
    """The cgroup2 directory that the runtime may not put a process into, but the user's systemd may; else empty."""
    if not record.get("user"):
        return ""
    from ocirun.linux.cgroup import hierarchy

    path = _unified(record, _checked(subs))
    own = hierarchy.discover().unified
    if not path or own is None:
        return ""
    return "" if place.may_enter(own, path) else path


def open_doors(record: Record, *subs: str) -> list[int]:
    """Descriptors by which a process with one thread moves itself: ``tasks`` of v1, and where it is not born, of v2."""
    checked = _checked(subs)
    files = []
    if record["driver"] == "v1":
        goals = v1.destinations(record, checked)
        files = [f"{path}/tasks" for path in dict.fromkeys(path for name, path in goals.items() if name != "unified")]
    unified = _unified(record, checked)
    if unified and not _can_be_born_in(record, unified) and not far(record, *subs):
        files.append(f"{unified}/cgroup.procs")
    doors: list[int] = []
    for file in files:
        try:
            doors.append(os.open(file, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as problem:
            for fd in doors:
                os.close(fd)
            raise failure(f"open {file}", problem, where="--cgroup" if checked else "") from None
    return doors


def open_for_clone(record: Record, *subs: str) -> int:
    """A descriptor for CLONE_INTO_CGROUP, or -1 without a cgroup2 and where a door is used instead."""
    checked = _checked(subs)
    path = _unified(record, checked)
    if not path or not _can_be_born_in(record, path) or far(record, *subs):
        return -1
    try:
        return groupfs.open_group(path)
    except OSError as problem:
        raise failure(f"open the cgroup {path}", problem, where="--cgroup" if checked else "") from None
