"""Removing a container's cgroups: what it made, children first; never what was there before it."""

from __future__ import annotations

import os
import select
import time

from ocirun.errors import words
from ocirun.linux.cgroup import groupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Record = dict[str, Any]

_ENOTEMPTY: Final = 39
_SECONDS: Final = 2.0
_STEP_SECONDS: Final = 0.001


def remove(record: Record) -> list[str]:
    """Remove; returns a sentence for each cgroup that could not be removed. Doing it again is harmless.

    The container's own cgroups go with all that is below them. A parent that this container made goes when it is
    empty; when other containers are in it by now, it stays for them.
    """
    leaves = frozenset(record["paths"].values())
    deadline = time.monotonic() + _SECONDS
    problems = []
    for path in reversed(record["made"]):
        if path in leaves:
            problems.append(_remove_tree(path, deadline))
        else:
            _rmdir(path)
    if record.get("owners"):
        from ocirun.linux.cgroup import delegation

        delegation.take_back(record)
    if record.get("unit"):
        from ocirun.linux.cgroup import systemd

        problems.append(systemd.stop(record))  # last: without processes there is nothing that it has to kill
    return [problem for problem in problems if problem]


def remove_unused(record: Record) -> bool:
    """Remove what this container made for itself and no process is in, and take it out of the record; whether that was
    all of its cgroups. rmdir(2) looks by itself: nobody has to read who is in them.
    """
    for path in dict.fromkeys(record["paths"].values()):
        if path not in record["made"] or _rmdir(path):
            return False
        record["made"].remove(path)
    return True


def _remove_tree(path: str, deadline: float) -> str:
    """Remove a cgroup and all below it; empty when it is gone, else the sentence."""
    number = _rmdir(path)
    if number not in (groupfs.EBUSY, _ENOTEMPTY):
        return _sentence(path, number)
    for each in reversed(groupfs.tree(path)[1:]):
        _remove_one(each, deadline)
    return _sentence(path, _remove_one(path, deadline))


def _remove_one(path: str, deadline: float) -> int:
    """A process that has just been killed keeps its cgroup busy until the kernel has let go of it."""
    while (number := _rmdir(path)) == groupfs.EBUSY and time.monotonic() < deadline:
        if groupfs.children(path):
            return number
        _await_empty(path, deadline)
    return number


def _await_empty(path: str, deadline: float) -> None:
    """Wait for ``populated 0`` where the kernel tells it (cgroup2); v1 can only be asked again."""
    left = max(0.0, deadline - time.monotonic())
    try:
        events = os.open(f"{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        select.select([], [], [], min(left, _STEP_SECONDS))
        return
    try:
        from ocirun.linux.cgroup.freezer import await_event

        await_event(events, b"populated 0", left)
    except OSError:
        return  # gone meanwhile
    finally:
        os.close(events)


def _rmdir(path: str) -> int:
    """0 or the errno; a directory that is missing, or cannot be below a file, is what was wanted."""
    try:
        os.rmdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as problem:
        return problem.errno or 0
    return 0


def _sentence(path: str, number: int) -> str:
    if not number:
        return ""
    held = groupfs.all_processes(path)
    more = f", it holds {len(held)} processes" if held else ""
    return f"remove the cgroup {path}: rmdir: {words(number)}{more}"
