"""The container's statistics in the shape of runc's `events` (its ``types.Stats``), from its cgroups' files.

Each controller is read where the record has it: from its cgroup v1 directory, else from the cgroup2, so that a hybrid
host needs no case of its own. Pressure is measured in the cgroup2 only, on a hybrid host too, where every process of
the container is in it. Times are nanoseconds (but for the total of a pressure, which is microseconds), sizes bytes.

What Go's ``omitempty`` leaves out with runc is left out here: numbers that are 0 and lists without entries. Objects are
always there, empty ones too.
"""

from __future__ import annotations

from ocirun.linux.cgroup.place import UNIFIED
from ocirun.linux.cgroup.stats import parsing, v1, v2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.linux.cgroup.stats.parsing import Stats


def read(paths: dict[str, str]) -> Stats:
    """The members `cpu` to `hugetlb` of the document; `paths` are the record's."""
    unified = paths.get(UNIFIED, "")
    cpuacct, cpu, memory, pids, blkio, hugetlb = (
        paths.get(name, "") for name in ("cpuacct", "cpu", "memory", "pids", "blkio", "hugetlb")
    )
    return {
        "cpu": {
            "usage": v1.usage(cpuacct) if cpuacct else v2.usage(unified),
            "throttling": v1.throttling(cpu) if cpu else v2.throttling(unified),
            **parsing.pressure(unified, "cpu.pressure"),
        },
        "cpuset": v1.cpuset(paths.get("cpuset", "")),
        "memory": {
            **(v1.memory(memory) if memory else v2.memory(unified)),
            **parsing.pressure(unified, "memory.pressure"),
        },
        "pids": v1.pids(pids) if pids else v2.pids(unified),
        "blkio": {
            **(v1.blkio(blkio) if blkio else v2.blkio(unified)),
            **parsing.pressure(unified, "io.pressure"),
        },
        "hugetlb": v1.hugetlb(hugetlb) if hugetlb else v2.hugetlb(unified),
    }
