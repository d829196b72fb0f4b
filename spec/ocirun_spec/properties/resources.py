"""Properties of config-linux.md's control groups: cgroupsPath and everything under /linux/resources."""

from __future__ import annotations

from .row import Property, Section, but

_LATER = "not supported yet"

_cgroup = Section("/linux", "cgroup")
_access = Section("/linux/resources/devices", "cgroup")
_memory = Section("/linux/resources/memory", "cgroup")
_cpu = Section("/linux/resources/cpu", "cgroup")
_pids = Section("/linux/resources/pids", "cgroup")
_blockio = Section("/linux/resources/blockIO", "cgroup", "1.0.0", "refused", _LATER)
_hugepages = Section("/linux/resources/hugepageLimits", "cgroup", "1.0.0", "refused", _LATER)
_network = Section("/linux/resources/network", "cgroup", "1.0.0", "refused", _LATER)
_rdma = Section("/linux/resources/rdma", "cgroup", "1.0.2", "refused", _LATER)
_unified = Section("/linux/resources", "cgroup", "1.1.0", "refused", _LATER)


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
        "refused",
        "the specification advises against it and Linux dropped the limit in 5.16; -1, no limit, is accepted",
    ),
    but(_memory.integer("/kernelTCP", "int64"), "refused", _LATER + "; -1, no limit, is accepted"),
    _memory.integer("/swappiness", "uint64"),
    _memory.boolean("/disableOOMKiller"),
    but(_memory.boolean("/useHierarchy", "1.0.2"), "ignored", "Linux always accounts hierarchically since 5.11"),
    but(_memory.boolean("/checkBeforeUpdate", "1.1.0"), "refused", _LATER),
    _cpu.object(""),
    _cpu.integer("/shares", "uint64"),
    _cpu.integer("/quota", "int64"),
    _cpu.integer("/burst", "uint64", "1.1.0"),
    _cpu.integer("/period", "uint64"),
    but(_cpu.integer("/realtimeRuntime", "int64"), "refused", _LATER),
    but(_cpu.integer("/realtimePeriod", "uint64"), "refused", _LATER),
    _cpu.string("/cpus"),
    _cpu.string("/mems"),
    _cpu.integer("/idle", "int64", "1.1.0"),
    _pids.object(""),
    # Required up to 1.2, optional since: the wider reading is accepted for every version.
    _pids.integer("/limit", "int64"),
    *_unified.string_map("/unified"),
)

_IO: tuple[Property, ...] = (
    but(_blockio.object(""), "applied", ""),
    but(_blockio.integer("/weight", "uint16"), "applied", ""),
    _blockio.integer("/leafWeight", "uint16"),
    _blockio.array("/weightDevice"),
    _blockio.object("/weightDevice/*", "major", "minor"),
    _blockio.integer("/weightDevice/*/major", "int64"),
    _blockio.integer("/weightDevice/*/minor", "int64"),
    _blockio.integer("/weightDevice/*/weight", "uint16"),
    _blockio.integer("/weightDevice/*/leafWeight", "uint16"),
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
