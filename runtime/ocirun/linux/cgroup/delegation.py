"""Cgroup ownership: a container that manages its own cgroups owns the one it starts in (config-linux.md).

Only on cgroup2, and only when the container gets a cgroup namespace and mounts its cgroup writable, see
`mounts.is_writable`. The owner is the user that runs the program, as the host knows him.

SECURITY: the directory and the files that the kernel lists for this, no others: whoever owns memory.max sets it, and
v1 has no such division at all.

A directory that was there before gets its owners back when the container is removed: `owners` in the record.
"""

from __future__ import annotations

import os

from ocirun.errors import failure, words
from ocirun.linux.cgroup import groupfs, place
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.parent import Host

    Record = dict[str, Any]

LIST: Final = "/sys/kernel/cgroup/delegate"
_OF_OLD: Final = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
"""What the spec names for kernels without the list."""
_KEEP_GROUP: Final = -1


def adopt(config: dict[str, Any]) -> list[OutsideStep]:
    """One step after the id maps are written. Without a process there is nobody to own it."""
    process = config.get("process")
    if not process:
        return []
    uid = (process.get("user") or {}).get("uid") or 0
    return [OutsideStep(hand_over, place.POINTER, f"give the cgroup to the container's user {uid}", uid)]


def hand_over(step: OutsideStep, host: Host) -> None:
    """chown(2). A runtime without the right to warns: the spec leaves it free to do this at all."""
    record = host.record["cgroup"]
    owner = host_uid(groupfs.read(f"{host.pid}/uid_map", host.proc), step.args[0])
    if not record or owner is None:  # who is not mapped cannot be switched to either, which says so
        return
    path = record["paths"][place.UNIFIED]
    names = [".", *files()]
    group = groupfs.open_group(path)
    try:
        if path not in record["made"]:
            record["owners"] = _owners(group, names)
            host.save()
        _chown(group, dict.fromkeys(names, owner))
    except PermissionError as problem:
        from ocirun import log

        log.warning(f"the cgroup {path} does not become the container's: chown: {words(problem.errno or 0)}")
    except OSError as problem:
        raise failure(f"{step.text} ({path})", problem, where=step.pointer) from None
    finally:
        os.close(group)


def take_back(record: Record) -> None:
    """Undo `hand_over` for a directory that stays. Idempotent; one that has gone meanwhile is nobody's."""
    path = record["paths"][place.UNIFIED]
    try:
        group = groupfs.open_group(path)
    except OSError:
        return
    try:
        _chown(group, record["owners"])
    finally:
        os.close(group)


def files() -> list[str]:
    """The files that go with the directory."""
    try:
        return groupfs.read(LIST).decode().split()
    except FileNotFoundError:
        return _OF_OLD


def host_uid(uid_map: bytes, uid: int) -> int | None:
    """The id that `uid` has outside, from ``inside outside size`` lines (user_namespaces(7))."""
    for line in uid_map.splitlines():
        inside, outside, size = map(int, line.split())
        if inside <= uid < inside + size:
            return outside + uid - inside
    return None


def _owners(group: int, names: list[str]) -> dict[str, int]:
    found = {}
    for name in names:
        try:
            found[name] = os.stat(name, dir_fd=group).st_uid
        except FileNotFoundError:
            continue
    return found


def _chown(group: int, owners: dict[str, int]) -> None:
    """The kernel lists what any cgroup may have: what this one does not have is passed over."""
    for name, owner in owners.items():
        try:
            os.chown(name, owner, _KEEP_GROUP, dir_fd=group)
        except FileNotFoundError:
            continue
