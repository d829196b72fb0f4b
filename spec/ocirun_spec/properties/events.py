"""Members of what `events` prints: runc's documents (its package ``types``), which the specification does not have.

Required is what runc's Go types write even when it is 0 or empty; the other members are left out then. Times are
nanoseconds, but for the total of a pressure, which is microseconds; sizes are bytes.
"""

from __future__ import annotations

from .row import Property, Section

_NO_VERSION = "-"

_event = Section("", "events", _NO_VERSION)
_data = Section("/data", "events", _NO_VERSION)
_cpu = Section("/data/cpu", "events", _NO_VERSION)
_cpuset = Section("/data/cpuset", "events", _NO_VERSION)
_memory = Section("/data/memory", "events", _NO_VERSION)
_blkio = Section("/data/blkio", "events", _NO_VERSION)

TYPES = ("stats", "oom")
OPERATIONS = ("Read", "Write", "Sync", "Async", "Discard", "Total")
MEMORY_ENTRIES = ("usage", "swap", "kernel", "kernelTCP")
BLOCK_LISTS = (
    "ioServiceBytesRecursive",
    "ioServicedRecursive",
    "ioQueueRecursive",
    "ioServiceTimeRecursive",
    "ioWaitTimeRecursive",
    "ioMergedRecursive",
    "ioTimeRecursive",
    "sectorsRecursive",
)
_CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
)
_PARTS = ("cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces")
_COUNTERS = ("RxBytes", "RxPackets", "RxErrors", "RxDropped", "TxBytes", "TxPackets", "TxErrors", "TxDropped")


def _counts(section: Section, path: str, *names: str) -> tuple[Property, ...]:
    return tuple(section.integer(f"{path}/{name}", "uint64") for name in names)


def _numbers(section: Section, path: str, range_name: str = "uint64") -> tuple[Property, Property]:
    return section.array(path), section.integer(f"{path}/*", range_name)


def _pressure(section: Section) -> tuple[Property, ...]:
    rows = [section.object("/psi", "some")]
    for kind in ("some", "full"):
        rows.append(section.object(f"/psi/{kind}", "avg10", "avg60", "avg300", "total"))
        rows += [section.number(f"/psi/{kind}/{name}") for name in ("avg10", "avg60", "avg300")]
        rows.append(section.integer(f"/psi/{kind}/total", "uint64"))
    return tuple(rows)


def _memory_entry(name: str) -> tuple[Property, ...]:
    return (
        _memory.object(f"/{name}", "limit", "failcnt"),
        *_counts(_memory, f"/{name}", "limit", "usage", "max", "failcnt"),
    )


def _block_list(name: str) -> tuple[Property, ...]:
    return (
        _blkio.array(f"/{name}"),
        _blkio.object(f"/{name}/*"),
        *_counts(_blkio, f"/{name}/*", "major", "minor", "value"),
        _blkio.choice(f"/{name}/*/op", OPERATIONS),
    )


ROWS: tuple[Property, ...] = (
    _event.object("", "type", "id"),
    _event.choice("/type", TYPES),
    _event.string("/id"),
    _data.object("", *_PARTS),
    _cpu.object("", "usage", "throttling"),
    _cpu.object("/usage", "kernel", "user"),
    *_counts(_cpu, "/usage", "total", "kernel", "user"),
    *_numbers(_cpu, "/usage/percpu"),
    *_numbers(_cpu, "/usage/percpu_kernel"),
    *_numbers(_cpu, "/usage/percpu_user"),
    _cpu.object("/throttling"),
    *_counts(_cpu, "/throttling", "periods", "throttledPeriods", "throttledTime"),
    *_pressure(_cpu),
    _cpuset.object("", *_CPUSET_FLAGS, "sched_relax_domain_level"),
    *_numbers(_cpuset, "/cpus", "uint16"),
    *_numbers(_cpuset, "/mems", "uint16"),
    *_counts(_cpuset, "", *_CPUSET_FLAGS),
    _cpuset.integer("/sched_relax_domain_level", "int64"),
    _memory.object("", *MEMORY_ENTRIES),
    _memory.integer("/cache", "uint64"),
    *(row for name in MEMORY_ENTRIES for row in _memory_entry(name)),
    _memory.map("/raw"),
    _memory.integer("/raw/*", "uint64"),
    *_pressure(_memory),
    _data.object("/pids"),
    *_counts(_data, "/pids", "current", "limit"),
    _blkio.object(""),
    *(row for name in BLOCK_LISTS for row in _block_list(name)),
    *_pressure(_blkio),
    _data.map("/hugetlb"),
    _data.object("/hugetlb/*", "failcnt"),
    *_counts(_data, "/hugetlb/*", "usage", "max", "failcnt"),
    _data.object("/intel_rdt"),
    _data.string("/intel_rdt/l3_cache_schema"),
    _data.string("/intel_rdt/mem_bw_schema"),
    *_data.strings("/intel_rdt/schemata"),
    _data.array("/network_interfaces"),
    _data.object("/network_interfaces/*", "Name", *_COUNTERS),
    _data.string("/network_interfaces/*/Name"),
    *_counts(_data, "/network_interfaces/*", *_COUNTERS),
)
