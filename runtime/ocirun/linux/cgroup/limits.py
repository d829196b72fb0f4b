"""linux.resources as writes to cgroup files: pure, in the order in which they have to be made.

A number of 0 is "not set", as in every engine's configuration, but for pids.limit, where the spec wants 0 to be a
limit. A value that cgroup v2 has no file for is refused there, since the spec demands an error when it cannot be
converted.
"""

from __future__ import annotations

from ocirun.errors import Failure, NotSupportedYet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Resources = dict[str, Any]

POINTER: Final = "/linux/resources"
MEMORY_LIMIT: Final = "memory.limit_in_bytes"
MEMORY_AND_SWAP: Final = "memory.memsw.limit_in_bytes"
_SHARES_MINIMUM: Final = 2
_SHARES_MAXIMUM: Final = 1 << 18
_SWAPPINESS_UNSET: Final = (1 << 64) - 1
_WEIGHT_BITS: Final = 40
_APPLIED: Final[dict[str, frozenset[str]]] = {
    "memory": frozenset(("limit", "reservation", "swap", "swappiness", "disableOOMKiller")),
    "cpu": frozenset(("shares", "quota", "period", "burst", "cpus", "mems", "idle")),
    "pids": frozenset(("limit",)),
    "blockIO": frozenset(("weight",)),
}


class Setting:
    """One write: `value` to `file` of `controller`, for `pointer`.

    instead:  (file, value) to use when `file` does not exist.
    optional: the value is the kernel's default, so a missing file is no reason to fail.
    """

    __slots__ = ("controller", "file", "instead", "optional", "pointer", "value")

    def __init__(
        self,
        controller: str,
        file: str,
        value: int | str,
        pointer: str,
        instead: tuple[str, str] | None = None,
        optional: bool = False,
    ) -> None:
        self.controller = controller
        self.file = file
        self.value = str(value)
        self.pointer = f"{POINTER}/{pointer}"
        self.instead = instead
        self.optional = optional


def refuse_unsupported(resources: Resources) -> None:
    """Refuse what this release does not apply; a value that asks for nothing passes."""
    for name, value in resources.items():
        if name == "devices" or not value:
            continue
        if name not in _APPLIED:
            raise NotSupportedYet(f"linux.resources.{name}", where=f"{POINTER}/{name}")
        for member, setting in value.items():
            if member not in _APPLIED[name] and not _asks_nothing(member, setting):
                raise NotSupportedYet(f"linux.resources.{name}.{member}", where=f"{POINTER}/{name}/{member}")


def _asks_nothing(member: str, setting: object) -> bool:
    """-1 is no limit for kernel memory, and hierarchical accounting is all that kernels have had since Linux 5.11."""
    if member in ("kernel", "kernelTCP") and setting == -1:
        return True
    return not setting or member == "useHierarchy"


def v1(resources: Resources) -> list[Setting]:
    """The writes on cgroup v1, see Documentation/admin-guide/cgroup-v1 of the kernel."""
    return [*_memory_v1(resources.get("memory") or {}), *_cpu_v1(resources.get("cpu") or {}), *_common(resources)] + [
        Setting("blkio", "blkio.weight", weight, "blockIO/weight", ("blkio.bfq.weight", str(weight)))
        for weight in _block_weight(resources)
    ]


def v2(resources: Resources) -> list[Setting]:
    """The writes on cgroup v2, see Documentation/admin-guide/cgroup-v2.rst of the kernel."""
    return [*_memory_v2(resources.get("memory") or {}), *_cpu_v2(resources.get("cpu") or {}), *_common(resources)] + [
        Setting("io", "io.bfq.weight", weight, "blockIO/weight", ("io.weight", str(io_weight(weight))))
        for weight in _block_weight(resources)
    ]


def _memory_v1(memory: Resources) -> list[Setting]:
    limit, swap = _memory_and_swap(memory)
    settings = []
    if limit:
        settings.append(Setting("memory", MEMORY_LIMIT, limit, "memory/limit"))
    if swap:  # right after the limit: whichever of the two must not be exceeded by the other goes first, see `v1.limit`
        implied = not memory.get("swap")
        settings.append(Setting("memory", MEMORY_AND_SWAP, swap, "memory/swap", optional=implied))
    if memory.get("reservation"):
        settings.append(Setting("memory", "memory.soft_limit_in_bytes", memory["reservation"], "memory/reservation"))
    if memory.get("disableOOMKiller"):
        settings.append(Setting("memory", "memory.oom_control", 1, "memory/disableOOMKiller"))
    swappiness = memory.get("swappiness")
    if swappiness is not None and swappiness != _SWAPPINESS_UNSET:
        settings.append(Setting("memory", "memory.swappiness", swappiness, "memory/swappiness"))
    return settings


def _memory_v2(memory: Resources) -> list[Setting]:
    """memory.swap.max counts swap alone, the spec's swap is memory plus swap."""
    if memory.get("disableOOMKiller"):
        raise _no_v2_file("memory/disableOOMKiller", "the OOM killer cannot be disabled")
    swappiness = memory.get("swappiness")
    if swappiness is not None and swappiness != _SWAPPINESS_UNSET:
        raise _no_v2_file("memory/swappiness", "there is no swappiness of a cgroup")
    limit, swap = _memory_and_swap(memory)
    settings = []
    if limit:
        settings.append(Setting("memory", "memory.max", _or_max(limit), "memory/limit"))
    if swap:
        alone = "max" if swap < 0 else swap - limit
        # a kernel without swap has no such file, and nothing to limit
        settings.append(Setting("memory", "memory.swap.max", alone, "memory/swap", optional=alone in ("max", 0)))
    if memory.get("reservation"):
        settings.append(Setting("memory", "memory.low", _or_max(memory["reservation"]), "memory/reservation"))
    return settings


def _memory_and_swap(memory: Resources) -> tuple[int, int]:
    """Both limits, 0 when not set; an unlimited memory implies unlimited memory plus swap."""
    limit: int = memory.get("limit") or 0
    swap: int = memory.get("swap") or 0
    where = f"{POINTER}/memory/swap"
    if swap > 0 and limit <= 0:
        raise Failure(f"swap {swap} limits memory plus swap, and needs a memory limit", where=where)
    if 0 < swap < limit:
        raise Failure(f"swap {swap} limits memory plus swap, and is below the memory limit {limit}", where=where)
    return limit, swap or (-1 if limit < 0 else 0)


def _cpu_v1(cpu: Resources) -> list[Setting]:
    settings = []
    shares = cpu.get("shares") or 0
    if shares and not _SHARES_MINIMUM <= shares <= _SHARES_MAXIMUM:
        # the kernel would silently take the nearest value that it allows
        what = f"cpu shares of {shares} are not between {_SHARES_MINIMUM} and {_SHARES_MAXIMUM}"
        raise Failure(what, where=f"{POINTER}/cpu/shares")
    for name, file in (
        ("shares", "cpu.shares"),
        ("period", "cpu.cfs_period_us"),  # before the quota, which is judged against it
        ("quota", "cpu.cfs_quota_us"),  # before the burst, which must not be above it
        ("burst", "cpu.cfs_burst_us"),
    ):
        if cpu.get(name):
            settings.append(Setting("cpu", file, cpu[name], f"cpu/{name}"))
    return settings


def _cpu_v2(cpu: Resources) -> list[Setting]:
    settings = []
    if cpu.get("shares"):
        settings.append(Setting("cpu", "cpu.weight", cpu_weight(cpu["shares"]), "cpu/shares"))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    if quota or period:
        value = str(quota) if quota > 0 else "max"
        pointer = "cpu/quota" if quota else "cpu/period"
        settings.append(Setting("cpu", "cpu.max", f"{value} {period}" if period else value, pointer))
    if cpu.get("burst"):
        settings.append(Setting("cpu", "cpu.max.burst", cpu["burst"], "cpu/burst"))
    return settings


def _common(resources: Resources) -> list[Setting]:
    """What has the same file in both versions."""
    settings = []
    cpu: Resources = resources.get("cpu") or {}
    if cpu.get("idle") is not None:  # after the shares, which an idle cgroup refuses
        settings.append(Setting("cpu", "cpu.idle", cpu["idle"], "cpu/idle", optional=not cpu["idle"]))
    sets = [name for name in ("cpus", "mems") if cpu.get(name)]
    settings += [Setting("cpuset", f"cpuset.{name}", cpu[name], f"cpu/{name}") for name in sets]
    limit = (resources.get("pids") or {}).get("limit")
    if limit is not None:
        settings.append(Setting("pids", "pids.max", _or_max(limit), "pids/limit"))
    return settings


def _block_weight(resources: Resources) -> list[int]:
    weight = (resources.get("blockIO") or {}).get("weight")
    return [weight] if weight else []


def _or_max(value: int) -> int | str:
    return "max" if value < 0 else value


def _no_v2_file(pointer: str, why: str) -> Failure:
    return Failure(f"it cannot be converted to cgroup v2: {why}", where=f"{POINTER}/{pointer}")


def cpu_weight(shares: int) -> int:
    """cpu.shares (2 to 262144, usually 1024) as cpu.weight (1 to 10000, usually 100).

    With l = log2(shares): ceil(10 ** ((l² + 125 l) / 612 - 7/34)). It maps both ends and the usual value onto each
    other; Kubernetes, runc since 1.3.2 and crun since 1.23 use it (opencontainers/cgroups pull request 20).
    """
    if shares <= _SHARES_MINIMUM:
        return 1
    if shares >= _SHARES_MAXIMUM:
        return 10000
    log = _log2(shares)
    weight = 10 ** ((log * log + 125 * log) / 612 - 7 / 34)
    return int(-(-weight // 1))


def _log2(number: int) -> float:
    """Digit by digit, exact for powers of two."""
    whole = number.bit_length() - 1
    rest = number / (1 << whole)
    log, digit = float(whole), 1.0
    for _ in range(_WEIGHT_BITS):
        rest, digit = rest * rest, digit / 2
        if rest >= 2:
            rest, log = rest / 2, log + digit
    return log


def io_weight(weight: int) -> int:
    """blkio.weight (10 to 1000) as io.weight (1 to 10000), linearly; io.bfq.weight takes the number as it is."""
    return 1 + (weight - 10) * 9999 // 990
