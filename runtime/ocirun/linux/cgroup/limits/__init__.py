"""linux.resources as writes to cgroup files: pure, in the order in which they have to be made.

A number of 0 is "not set", as in every engine's configuration, but for pids.limit, where the specification wants 0 to
be a limit, and for cpu.idle, network priorities, RDMA and huge pages, where it says something. A value that cgroup v2
has no file for is refused there, since the specification demands an error when it cannot be converted.

Each member has a module of its own, loaded when a configuration has the member. Device rules are not here.
"""

from __future__ import annotations

from ocirun.linux.cgroup.limits.setting import POINTER, Setting, or_max

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Resources = dict[str, Any]

__all__ = ["POINTER", "Setting", "settings"]


def settings(resources: Resources, on_v2: Callable[[str], bool]) -> list[Setting]:
    """All writes. `on_v2` says whether a controller, by its name on cgroup v2, is one of the cgroup2 hierarchy."""
    found = [
        *_memory(resources.get("memory"), on_v2),
        *_cpu(resources.get("cpu"), on_v2),
        *_pids(resources.get("pids"), on_v2),
        *_block_io(resources.get("blockIO"), on_v2),
    ]
    if pages := resources.get("hugepageLimits"):
        from ocirun.linux.cgroup.limits import hugepages

        modern = on_v2("hugetlb")
        found += _in_hierarchy(modern, hugepages.v2(pages) if modern else hugepages.v1(pages))
    if network := resources.get("network"):
        from ocirun.linux.cgroup.limits import network as room

        found += room.v2(network) if on_v2("net_cls") else room.v1(network)
    if devices := resources.get("rdma"):
        from ocirun.linux.cgroup.limits import rdma

        found += _in_hierarchy(on_v2("rdma"), rdma.both(devices))
    if files := resources.get("unified"):  # last, since it may say more of what the others have said
        from ocirun.linux.cgroup.limits import unified

        found += _in_hierarchy(True, unified.v2(files))
    return found


def _in_hierarchy(unified: bool, found: list[Setting]) -> list[Setting]:
    for each in found:
        each.unified = unified
    return found


def _memory(memory: Resources | None, on_v2: Callable[[str], bool]) -> list[Setting]:
    if not memory:
        return []
    from ocirun.linux.cgroup.limits import memory as room

    modern = on_v2("memory")
    return _in_hierarchy(modern, room.v2(memory) if modern else room.v1(memory))


def _cpu(cpu: Resources | None, on_v2: Callable[[str], bool]) -> list[Setting]:
    if not cpu:
        return []
    from ocirun.linux.cgroup.limits import cpu as room

    modern = on_v2("cpu")
    found = _in_hierarchy(modern, room.v2(cpu) if modern else room.v1(cpu))
    return found + _in_hierarchy(on_v2("cpuset"), room.sets(cpu))


def _pids(pids: Resources | None, on_v2: Callable[[str], bool]) -> list[Setting]:
    limit = (pids or {}).get("limit")
    if limit is None:
        return []
    asked = Setting("pids", "pids.max", or_max(limit), "pids/limit", optional=limit < 0)
    return _in_hierarchy(on_v2("pids"), [asked])


def _block_io(block_io: Resources | None, on_v2: Callable[[str], bool]) -> list[Setting]:
    if not block_io or not any(block_io.values()):
        return []
    from ocirun.linux.cgroup.limits import blockio

    modern = on_v2("io")
    return _in_hierarchy(modern, blockio.v2(block_io) if modern else blockio.v1(block_io))
