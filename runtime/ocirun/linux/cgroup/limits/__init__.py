"""linux.resources as writes to cgroup files: pure, in the order in which they have to be made.

A number of 0 is "not set", as in every engine's configuration, but for pids.limit, where the specification wants 0 to
be a limit, and for cpu.idle, cpu.burst, network priorities, RDMA and huge pages, where it says something. A value that
cgroup v2 has no file for is refused there, since the specification demands an error when it cannot be converted.

Each member has a module of its own, loaded when a configuration has the member. Device rules are not here.
"""

from __future__ import annotations

from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    Resources = dict[str, Any]

POINTER: Final = "/linux/resources"
EMPTY: Final = "\n"
"""An empty value: a write(2) of no bytes would not reach the file."""


class Setting:
    """One write: `value` to `file` of `controller`, for `pointer`.

    controller: its name in the hierarchy that the file is in; empty for a file that every cgroup2 has.
    instead:    (file, value) to use when `file` does not exist.
    optional:   the value is the kernel's default, or another setting says the same, so a missing file does no harm.
    bounded:    its value is judged against that of other bounded ones, so it may have to wait for them.
    usage:      a file whose number must not be above the value (memory.checkBeforeUpdate on cgroup v2).
    kept:       read back what was written, since some kernels accept the value and drop it.
    parents:    the cgroups above it that this container made need the value first.
    unified:    the file is in the cgroup2 hierarchy.
    """

    __slots__ = (
        "bounded",
        "controller",
        "file",
        "instead",
        "kept",
        "optional",
        "parents",
        "pointer",
        "unified",
        "usage",
        "value",
    )

    def __init__(
        self,
        controller: str,
        file: str,
        value: int | str,
        pointer: str,
        instead: tuple[str, str] | None = None,
        optional: bool = False,
        bounded: bool = False,
        usage: str = "",
        kept: bool = False,
        parents: bool = False,
    ) -> None:
        self.controller = controller
        self.file = file
        self.value = str(value)
        self.pointer = f"{POINTER}/{pointer}"
        self.instead = instead
        self.optional = optional
        self.bounded = bounded
        self.usage = usage
        self.kept = kept
        self.parents = parents
        self.unified = False


def or_max(value: int) -> int | str:
    """A negative number is no limit."""
    return "max" if value < 0 else value


def no_v2_file(pointer: str, why: str) -> Failure:
    """The refusal of what the specification wants an error for: it has no counterpart on cgroup v2."""
    return Failure(f"it cannot be converted to cgroup v2: {why}", where=f"{POINTER}/{pointer}")


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
