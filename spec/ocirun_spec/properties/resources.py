"""Properties of config-linux.md's control groups: cgroupsPath and everything under /linux/resources."""

from __future__ import annotations

from .row import Property, Section, but

_V1 = "on cgroup v1; cgroup v2 has nothing like it and it is refused there"
_V2 = "on cgroup v2 and in the cgroup2 of a hybrid host; without one it is refused"
_NO_CFQ = "on cgroup v1 of kernels before 5.0, which had the CFQ scheduler; refused elsewhere"

_cgroup = Section("/linux", "cgroup")
_access = Section("/linux/resources/devices", "cgroup")
_memory = Section("/linux/resources/memory", "cgroup")
_cpu = Section("/linux/resources/cpu", "cgroup")
_pids = Section("/linux/resources/pids", "cgroup")
_blockio = Section("/linux/resources/blockIO", "cgroup")
_hugepages = Section("/linux/resources/hugepageLimits", "cgroup")
_network = Section("/linux/resources/network", "cgroup", "1.0.0", "applied", _V1)
_rdma = Section("/linux/resources/rdma", "cgroup", "1.0.2")
_unified = Section("/linux/resources", "cgroup", "1.1.0", "applied", _V2)


def _throttle(name: str) -> tuple[Property, ...]:
    return (
        _blockio.array(f"/{name}"),
        _blockio.object(f"/{name}/*", "major", "minor", "rate"),
        _blockio.integer(f"/{name}/*/major", "int64"),
        _blockio.integer(f"/{name}/*/minor", "int64"),
        _blockio.integer(f"/{name}/*/rate", "uint64"),
    )


_LIMITS: tuple[Property, ...] = (
    _cgroup.string("/cgroupsPath"),
    _cgroup.object("/resources"),
    _access.array(""),
    _access.object("/*", "allow"),
    _access.boolean("/*/allow"),
    _access.choice("/*/type", ("a", "c", "b")),
    _access.integer("/*/major", "int64"),
    _access.integer("/*/minor", "int64"),
    _access.string("/*/access", "device access"),
    _memory.object(""),
    _memory.integer("/limit", "int64"),
    _memory.integer("/reservation", "int64"),
    _memory.integer("/swap", "int64"),
    but(
        _memory.integer("/kernel", "int64"),
        "applied",
        "on cgroup v1 of kernels before 5.16, which had that limit; refused elsewhere, but for -1, which is no limit",
    ),
    but(_memory.integer("/kernelTCP", "int64"), "applied", _V1 + ", but for -1, which is no limit"),
    but(_memory.integer("/swappiness", "uint64"), "applied", _V1),
    but(_memory.boolean("/disableOOMKiller"), "applied", "on cgroup v1; true is refused on cgroup v2"),
    but(
        _memory.boolean("/useHierarchy", "1.0.2"),
        "applied",
        "false is refused by kernels since 5.11 and by cgroup v2, which always account hierarchically",
    ),
    but(
        _memory.boolean("/checkBeforeUpdate", "1.1.0"),
        "applied",
        "on cgroup v2; the kernel itself does so on cgroup v1",
    ),
    _cpu.object(""),
    _cpu.integer("/shares", "uint64"),
    _cpu.integer("/quota", "int64"),
    _cpu.integer("/burst", "uint64", "1.1.0"),
    _cpu.integer("/period", "uint64"),
    but(_cpu.integer("/realtimeRuntime", "int64"), "applied", _V1),
    but(_cpu.integer("/realtimePeriod", "uint64"), "applied", _V1),
    _cpu.string("/cpus"),
    _cpu.string("/mems"),
    _cpu.integer("/idle", "int64", "1.1.0"),
    _pids.object(""),
    # Required up to 1.2, optional since: the wider reading is accepted for every version.
    _pids.integer("/limit", "int64"),
    *_unified.string_map("/unified"),
)

_IO: tuple[Property, ...] = (
    _blockio.object(""),
    _blockio.integer("/weight", "uint16"),
    but(_blockio.integer("/leafWeight", "uint16"), "applied", _NO_CFQ),
    _blockio.array("/weightDevice"),
    _blockio.object("/weightDevice/*", "major", "minor"),
    _blockio.integer("/weightDevice/*/major", "int64"),
    _blockio.integer("/weightDevice/*/minor", "int64"),
    _blockio.integer("/weightDevice/*/weight", "uint16"),
    but(_blockio.integer("/weightDevice/*/leafWeight", "uint16"), "applied", _NO_CFQ),
    *_throttle("throttleReadBpsDevice"),
    *_throttle("throttleWriteBpsDevice"),
    *_throttle("throttleReadIOPSDevice"),
    *_throttle("throttleWriteIOPSDevice"),
    _hugepages.array(""),
    _hugepages.object("/*", "pageSize", "limit"),
    _hugepages.string("/*/pageSize", "page size"),
    _hugepages.integer("/*/limit", "uint64"),
    _network.object(""),
    _network.integer("/classID", "uint32"),
    _network.array("/priorities"),
    _network.object("/priorities/*", "name", "priority"),
    _network.string("/priorities/*/name"),
    _network.integer("/priorities/*/priority", "uint32"),
    _rdma.map(""),
    _rdma.object("/*"),
    _rdma.integer("/*/hcaHandles", "uint32"),
    _rdma.integer("/*/hcaObjects", "uint32"),
)

ROWS: tuple[Property, ...] = (*_LIMITS, *_IO)
