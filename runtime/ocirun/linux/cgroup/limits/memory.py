"""linux.resources.memory.

See the kernel's Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. The limit of memory and that of
memory plus swap bound each other on cgroup v1, so either may have to be written first.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.linux.cgroup.limits import POINTER, Setting, no_v2_file, or_max

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Memory = dict[str, Any]

_SWAPPINESS_UNSET: Final = (1 << 64) - 1
"""What -1 became in the configurations of older engines."""
_KERNEL: Final = (("kernel", "memory.kmem.limit_in_bytes"), ("kernelTCP", "memory.kmem.tcp.limit_in_bytes"))


def v1(memory: Memory) -> list[Setting]:
    """useHierarchy comes first, since the kernel that has a choice takes it only for a cgroup without children."""
    limit, swap = _limit_and_swap(memory)
    settings = []
    hierarchical = memory.get("useHierarchy")
    if hierarchical is not None:  # true is all that there is since Linux 5.11, with or without the file
        settings.append(
            Setting("memory", "memory.use_hierarchy", int(hierarchical), "memory/useHierarchy", optional=hierarchical)
        )
    if limit:
        settings.append(Setting("memory", "memory.limit_in_bytes", limit, "memory/limit", bounded=True))
    if swap:
        implied = not memory.get("swap")
        file = "memory.memsw.limit_in_bytes"
        settings.append(Setting("memory", file, swap, "memory/swap", optional=implied, bounded=True))
    if memory.get("reservation"):
        settings.append(Setting("memory", "memory.soft_limit_in_bytes", memory["reservation"], "memory/reservation"))
    for name, file in _KERNEL:
        if asked := memory.get(name):  # to lift a limit that there is not, no file is needed
            settings.append(Setting("memory", file, asked, f"memory/{name}", optional=asked < 0, kept=asked > 0))
    disabled = memory.get("disableOOMKiller")
    if disabled is not None:  # false too: a cgroup that was there may have it disabled
        file = "memory.oom_control"
        settings.append(Setting("memory", file, int(disabled), "memory/disableOOMKiller", optional=not disabled))
    swappiness = _swappiness(memory)
    if swappiness is not None:
        settings.append(Setting("memory", "memory.swappiness", swappiness, "memory/swappiness"))
    return settings


def v2(memory: Memory) -> list[Setting]:
    """memory.swap.max counts swap alone, the specification's swap is memory plus swap: the difference is written."""
    _refuse_unconvertible(memory)
    limit, swap = _limit_and_swap(memory)
    checked = bool(memory.get("checkBeforeUpdate"))
    settings = []
    if swap:
        alone = "max" if swap < 0 else swap - limit
        # a kernel without swap has no such file, and nothing to limit
        missing = alone in ("max", 0)
        usage = "memory.swap.current" if checked and alone != "max" else ""
        settings.append(Setting("memory", "memory.swap.max", alone, "memory/swap", optional=missing, usage=usage))
    if limit:
        usage = "memory.current" if checked and limit > 0 else ""
        settings.insert(0, Setting("memory", "memory.max", or_max(limit), "memory/limit", usage=usage))
    if memory.get("reservation"):
        settings.append(Setting("memory", "memory.low", or_max(memory["reservation"]), "memory/reservation"))
    return settings


def _refuse_unconvertible(memory: Memory) -> None:
    if memory.get("disableOOMKiller"):
        raise no_v2_file("memory/disableOOMKiller", "the OOM killer cannot be disabled")
    if _swappiness(memory) is not None:
        raise no_v2_file("memory/swappiness", "there is no swappiness of a cgroup")
    if memory.get("useHierarchy") is False:
        raise no_v2_file("memory/useHierarchy", "memory is always accounted hierarchically")
    for name, _file in _KERNEL:
        if (memory.get(name) or 0) > 0:
            raise no_v2_file(f"memory/{name}", "kernel memory has no limit of its own, it counts as memory")


def _swappiness(memory: Memory) -> int | None:
    """None when it is not set; 0 is a value."""
    swappiness: int | None = memory.get("swappiness")
    return None if swappiness == _SWAPPINESS_UNSET else swappiness


def _limit_and_swap(memory: Memory) -> tuple[int, int]:
    """Both limits, 0 when not set; an unlimited memory implies unlimited memory plus swap."""
    limit: int = memory.get("limit") or 0
    swap: int = memory.get("swap") or 0
    where = f"{POINTER}/memory/swap"
    if swap > 0 and limit <= 0:
        raise Failure(f"swap {swap} limits memory plus swap, and needs a memory limit", where=where)
    if 0 < swap < limit:
        raise Failure(f"swap {swap} limits memory plus swap, and is below the memory limit {limit}", where=where)
    return limit, swap or (-1 if limit < 0 else 0)
