"""Facts about the machine that a number needs beside it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .passes import cgroup_mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .runtimes import Candidate


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def facts(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Kernel version, processor, memory, load at the time of the call, cgroup mode, Python and runtime versions."""
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "kernel": platform.release().partition("-")[0],
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory) // 1024,
        "load": list(os.getloadavg()),
        "cgroup": cgroup_mode(),
        "python": platform.python_version(),
        "runtimes": {one.name: {"path": str(one.path), "version": one.version} for one in candidates},
    }
