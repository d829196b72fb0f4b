"""Freezing: freezer.state of cgroup v1, cgroup.freeze of v2.

cgroup v2 tells when it is done (cgroup.events); v1 has to be asked again, and a fork that slipped through needs the
request to be repeated.
"""

from __future__ import annotations

import os
import select
import time

from ocirun.errors import Failure, failure
from ocirun.linux.cgroup import groupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Record = dict[str, Any]

_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 0.001


def _file(record: Record) -> tuple[str, str]:
    """(directory, file) of the switch; empty strings when the container has no freezer."""
    paths: dict[str, str] = record["paths"]
    if "freezer" in paths:
        return paths["freezer"], "freezer.state"
    if "unified" in paths:
        return paths["unified"], "cgroup.freeze"
    return "", ""


def is_frozen(record: Record) -> bool:
    """Whether the container's cgroup itself was frozen; false when it is gone."""
    path, name = _file(record)
    if not path:
        return False
    try:
        state = groupfs.read(f"{path}/{name}").strip()
    except (FileNotFoundError, OSError):
        return False
    return state in (b"FROZEN", b"FREEZING", b"1")


def freeze(record: Record) -> None:
    """Stop every process of the container, and come back when all of them stand still; thawed again on failure."""
    path, name = _file(record)
    if not path:
        raise Failure("freeze the container: it has no cgroup that can be frozen")
    try:
        done = _freeze_v1(path) if name == "freezer.state" else _freeze_v2(path)
    except OSError as problem:
        raise failure(f"freeze the cgroup {path}", problem) from None
    if not done:
        thaw(record)
        raise Failure(f"freeze the cgroup {path}: a process in it does not stop within {_SECONDS:.0f} s")


def thaw(record: Record) -> None:
    """Let every process of the container go on; nothing to do when the cgroup is gone."""
    path, name = _file(record)
    if not path:
        return
    try:
        groupfs.write(f"{path}/{name}", b"THAWED" if name == "freezer.state" else b"0")
    except FileNotFoundError:
        return
    except OSError as problem:
        raise failure(f"thaw the cgroup {path}", problem) from None


def _freeze_v1(path: str) -> bool:
    deadline = time.monotonic() + _SECONDS
    while True:
        groupfs.write(f"{path}/freezer.state", b"FROZEN")
        if groupfs.read(f"{path}/freezer.state").strip() == b"FROZEN":
            return True
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], _STEP_SECONDS)


def _freeze_v2(path: str) -> bool:
    events = os.open(f"{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        groupfs.write(f"{path}/cgroup.freeze", b"1")
        return await_event(events, b"frozen 1", _SECONDS)
    finally:
        os.close(events)


def await_event(events: int, line: bytes, seconds: float) -> bool:
    """Wait until the open cgroup.events has `line`; the kernel wakes the poll on each change (kernfs_notify)."""
    poll = select.poll()
    poll.register(events, select.POLLPRI)
    deadline = time.monotonic() + seconds
    while True:
        if line in os.pread(events, 4096, 0).splitlines():
            return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        poll.poll(left * 1000)
