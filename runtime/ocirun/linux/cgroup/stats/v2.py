"""Statistics of cgroup v2's controllers, all from the container's one directory; see the kernel's cgroup-v2.rst.

cpu.stat, and the pressure of all, are there without any controller.
"""

from __future__ import annotations

from ocirun.linux.cgroup import groupfs
from ocirun.linux.cgroup.stats import parsing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.linux.cgroup.stats.parsing import Stats

_USEC_NS: Final = 1000
_BLOCK_LISTS: Final = (
    ("ioServiceBytesRecursive", ((b"rbytes", "Read"), (b"wbytes", "Write"))),
    ("ioServicedRecursive", ((b"rios", "Read"), (b"wios", "Write"))),
)
"""(member, (key of io.stat, the operation's name on cgroup v1)); runc leaves discards out, and so does this."""


def usage(group: str) -> Stats:
    """cpu.stat counts in microseconds; there is no count by processor."""
    found = parsing.table(parsing.text(group, "cpu.stat"))
    return {
        **parsing.present(total=found.get("usage_usec", 0) * _USEC_NS),
        "kernel": found.get("system_usec", 0) * _USEC_NS,
        "user": found.get("user_usec", 0) * _USEC_NS,
    }


def throttling(group: str) -> Stats:
    """The part of cpu.stat that needs the controller cpu."""
    found = parsing.table(parsing.text(group, "cpu.stat"))
    return parsing.present(
        periods=found.get("nr_periods"),
        throttledPeriods=found.get("nr_throttled"),
        throttledTime=found.get("throttled_usec", 0) * _USEC_NS,
    )


def memory(group: str) -> Stats:
    """Bytes. `swap` is memory and swap together, as on cgroup v1 and with runc; kernel memory has no files of its own.

    failcnt: how often the usage was about to go over memory.max, of memory.swap.max for `swap`.
    """
    raw = parsing.table(parsing.text(group, "memory.stat"))
    used, limit = parsing.value(group, "memory.current"), parsing.value(group, "memory.max")
    swapped, swap_limit = parsing.value(group, "memory.swap.current"), parsing.value(group, "memory.swap.max")
    return {
        **parsing.present(cache=raw.get("file")),
        "usage": parsing.memory_entry(limit, used, parsing.value(group, "memory.peak"), _hits(group, "memory.events")),
        "swap": parsing.memory_entry(
            min(limit + swap_limit, parsing.UINT64_MAX), used + swapped, 0, _hits(group, "memory.swap.events")
        ),
        "kernel": parsing.memory_entry(0, 0, 0, 0),
        "kernelTCP": parsing.memory_entry(0, 0, 0, 0),
        **parsing.present(raw=raw),
    }


def _hits(group: str, events: str) -> int:
    return parsing.table(parsing.text(group, events)).get("max", 0)


def pids(group: str) -> Stats:
    """Threads, or without the controller the processes of the cgroup and below; no limit is left out."""
    current = parsing.value(group, "pids.current")
    if group and not current:
        current = len(groupfs.all_processes(group))
    limit = parsing.value(group, "pids.max")
    return parsing.present(current=current, limit=0 if limit == parsing.UINT64_MAX else limit)


def blkio(group: str) -> Stats:
    """io.stat: lines of ``major:minor key=number …``."""
    lines = [line.split() for line in parsing.text(group, "io.stat").splitlines()]
    devices = [(line[0], dict(word.partition(b"=")[::2] for word in line[1:])) for line in lines if line]
    found: Stats = {}
    for member, keys in _BLOCK_LISTS:
        found[member] = [
            parsing.block_entry(device, op, parsing.number(values[key]))
            for device, values in devices
            for key, op in keys
            if key in values
        ]
    return parsing.present(**found)


def hugetlb(group: str) -> Stats:
    """Bytes by page size; there is no peak."""
    found = {}
    for size, prefix in parsing.page_sizes(group, "current"):
        used = parsing.value(group, f"{prefix}.current")
        found[size] = {**parsing.present(usage=used), "failcnt": _hits(group, f"hugetlb.{size}.events")}
    return found
