"""Statistics of cgroup v1's controllers, each from the container's directory in that controller's hierarchy.

See the kernel's Documentation/admin-guide/cgroup-v1 (cpuacct, memory, blkio-controller, cpusets, hugetlb, pids) and
scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from ocirun.linux.cgroup.stats import parsing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.linux.cgroup.stats.parsing import Stats

_TICK_NS: Final = 1_000_000_000 // 100
"""cpuacct.stat counts in USER_HZ, which is 100 on the architectures that ocirun is made for."""
_CPUSET_FLAGS: Final = (
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
)
_BLOCK_LISTS: Final = (
    ("ioServiceBytesRecursive", "io_service_bytes_recursive", "io_service_bytes"),
    ("ioServicedRecursive", "io_serviced_recursive", "io_serviced"),
    ("ioQueueRecursive", "io_queued_recursive", ""),
    ("ioServiceTimeRecursive", "io_service_time_recursive", ""),
    ("ioWaitTimeRecursive", "io_wait_time_recursive", ""),
    ("ioMergedRecursive", "io_merged_recursive", ""),
    ("ioTimeRecursive", "time_recursive", ""),
    ("sectorsRecursive", "sectors_recursive", ""),
)
"""(member, file behind the prefix of a scheduler, the throttler's file of a kernel without the recursive one)."""


def usage(group: str) -> Stats:
    """cpuacct: nanoseconds, also by processor."""
    modes = [line.split() for line in parsing.text(group, "cpuacct.usage_all").splitlines()[1:]]
    rows = [row for row in modes if len(row) == 3]
    ticks = parsing.table(parsing.text(group, "cpuacct.stat"))
    return {
        **parsing.present(
            total=parsing.value(group, "cpuacct.usage"),
            percpu=[parsing.number(word) for word in parsing.text(group, "cpuacct.usage_percpu").split()],
            percpu_kernel=[parsing.number(row[2]) for row in rows],
            percpu_user=[parsing.number(row[1]) for row in rows],
        ),
        "kernel": ticks.get("system", 0) * _TICK_NS,
        "user": ticks.get("user", 0) * _TICK_NS,
    }


def throttling(group: str) -> Stats:
    """cpu.stat, whose throttled_time is in nanoseconds."""
    found = parsing.table(parsing.text(group, "cpu.stat"))
    return parsing.present(
        periods=found.get("nr_periods"),
        throttledPeriods=found.get("nr_throttled"),
        throttledTime=found.get("throttled_time"),
    )


def cpuset(group: str) -> Stats:
    """The processors and memory nodes, and the flags; without a cpuset of v1 the flags are 0, as with runc."""
    cpus, mems = (parsing.numbers(parsing.text(group, f"cpuset.{name}")) for name in ("cpus", "mems"))
    level = parsing.text(group, "cpuset.sched_relax_domain_level").strip()
    return {
        **parsing.present(cpus=cpus),
        "cpu_exclusive": parsing.value(group, "cpuset.cpu_exclusive"),
        **parsing.present(mems=mems),
        **{flag: parsing.value(group, f"cpuset.{flag}") for flag in _CPUSET_FLAGS},
        "sched_relax_domain_level": int(level) if level.lstrip(b"-").isdigit() else 0,
    }


def memory(group: str) -> Stats:
    """Bytes; `swap` is memory and swap together, as cgroup v1 counts it."""
    raw = parsing.table(parsing.text(group, "memory.stat"))
    return {
        **parsing.present(cache=raw.get("cache")),
        "usage": _memory_entry(group, "memory"),
        "swap": _memory_entry(group, "memory.memsw"),
        "kernel": _memory_entry(group, "memory.kmem"),
        "kernelTCP": _memory_entry(group, "memory.kmem.tcp"),
        **parsing.present(raw=raw),
    }


def _memory_entry(group: str, prefix: str) -> Stats:
    return parsing.memory_entry(
        parsing.value(group, f"{prefix}.limit_in_bytes"),
        parsing.value(group, f"{prefix}.usage_in_bytes"),
        parsing.value(group, f"{prefix}.max_usage_in_bytes"),
        parsing.value(group, f"{prefix}.failcnt"),
    )


def pids(group: str) -> Stats:
    """Threads; no limit is left out."""
    limit = parsing.value(group, "pids.max")
    return parsing.present(
        current=parsing.value(group, "pids.current"), limit=0 if limit == parsing.UINT64_MAX else limit
    )


def blkio(group: str) -> Stats:
    """The lists that have entries: of the BFQ scheduler, else of CFQ (before Linux 5.0), else of the throttler."""
    found: Stats = {}
    for member, file, local in _BLOCK_LISTS:
        names = [f"blkio.bfq.{file}", f"blkio.{file}"]
        if local:
            names += [f"blkio.throttle.{file}", f"blkio.throttle.{local}"]
        lists = (_block_list(parsing.text(group, name)) for name in names)
        found[member] = next((entries for entries in lists if entries), [])
    return parsing.present(**found)


def _block_list(content: bytes) -> list[Stats]:
    """Lines of ``major:minor [operation] number``; the sum over all devices at the end is left out."""
    lines = [line.split() for line in content.splitlines()]
    rows = [row for row in lines if len(row) in (2, 3) and b":" in row[0]]
    return [parsing.block_entry(row[0], b"".join(row[1:-1]).decode(), parsing.number(row[-1])) for row in rows]


def hugetlb(group: str) -> Stats:
    """Bytes by page size."""
    found = {}
    for size, prefix in parsing.page_sizes(group, "usage_in_bytes"):
        used = parsing.value(group, f"{prefix}.usage_in_bytes")
        peak = parsing.value(group, f"{prefix}.max_usage_in_bytes")
        failcnt = parsing.value(group, f"{prefix}.failcnt")
        found[size] = {**parsing.present(usage=used, max=peak), "failcnt": failcnt}
    return found
