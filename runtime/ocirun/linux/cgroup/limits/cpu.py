"""linux.resources.cpu, which speaks of the controllers cpu and cpuset.

See the kernel's Documentation/scheduler/sched-bwc.rst, sched-rt-group.rst and admin-guide/cgroup-v2.rst. Quota, period
and burst are judged against each other, shares against idle: a change may have to be written in either order.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.linux.cgroup.limits import POINTER, Setting, no_v2_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Cpu = dict[str, Any]

_SHARES_MINIMUM: Final = 2
_SHARES_MAXIMUM: Final = 1 << 18
_WEIGHT_BITS: Final = 40
_REALTIME: Final = (("realtimePeriod", "cpu.rt_period_us"), ("realtimeRuntime", "cpu.rt_runtime_us"))


def v1(cpu: Cpu) -> list[Setting]:
    """The realtime budget is taken from the parents' own; those that the container made have none yet."""
    shares = cpu.get("shares") or 0
    if shares and not _SHARES_MINIMUM <= shares <= _SHARES_MAXIMUM:
        # the kernel would silently take the nearest value that it allows
        what = f"cpu shares of {shares} are not between {_SHARES_MINIMUM} and {_SHARES_MAXIMUM}"
        raise Failure(what, where=f"{POINTER}/cpu/shares")
    settings = [
        Setting("cpu", file, cpu[name], f"cpu/{name}", bounded=True)
        for name, file in (
            ("shares", "cpu.shares"),
            ("period", "cpu.cfs_period_us"),
            ("quota", "cpu.cfs_quota_us"),
        )
        if cpu.get(name)
    ]
    settings += _burst(cpu, "cpu.cfs_burst_us")
    settings += [
        Setting("cpu", file, cpu[name], f"cpu/{name}", bounded=True, parents=True)
        for name, file in _REALTIME
        if cpu.get(name)
    ]
    return settings + _idle(cpu)


def v2(cpu: Cpu) -> list[Setting]:
    """cpu.max takes quota and period at once."""
    for name, _file in _REALTIME:
        if cpu.get(name):
            raise no_v2_file(f"cpu/{name}", "there is no realtime budget of a cgroup")
    settings = []
    if cpu.get("shares"):
        settings.append(Setting("cpu", "cpu.weight", weight(cpu["shares"]), "cpu/shares", bounded=True))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    if quota or period:
        value = str(quota) if quota > 0 else "max"
        pointer = "cpu/quota" if quota else "cpu/period"
        settings.append(Setting("cpu", "cpu.max", f"{value} {period}" if period else value, pointer, bounded=True))
    return settings + _burst(cpu, "cpu.max.burst") + _idle(cpu)


def _burst(cpu: Cpu, file: str) -> list[Setting]:
    """A burst of 0 is what a cgroup has at first, and takes one away that it was given since."""
    burst = cpu.get("burst")
    return [] if burst is None else [Setting("cpu", file, burst, "cpu/burst", optional=not burst, bounded=True)]


def _idle(cpu: Cpu) -> list[Setting]:
    """An idle cgroup refuses other shares."""
    idle = cpu.get("idle")
    return [] if idle is None else [Setting("cpu", "cpu.idle", idle, "cpu/idle", optional=not idle, bounded=True)]


def sets(cpu: Cpu) -> list[Setting]:
    """cpus and mems, whose files are called the same in both versions."""
    names = [name for name in ("cpus", "mems") if cpu.get(name)]
    return [Setting("cpuset", f"cpuset.{name}", cpu[name], f"cpu/{name}") for name in names]


def weight(shares: int) -> int:
    """cpu.shares (2 to 262144, usually 1024) as cpu.weight (1 to 10000, usually 100).

    With l = log2(shares): ceil(10 ** ((l² + 125 l) / 612 - 7/34)). It maps both ends and the usual value onto each
    other; Kubernetes, runc since 1.3.2 and crun since 1.23 use it (opencontainers/cgroups pull request 20).
    """
    if shares <= _SHARES_MINIMUM:
        return 1
    if shares >= _SHARES_MAXIMUM:
        return 10000
    log = _log2(shares)
    return int(-(-(10 ** ((log * log + 125 * log) / 612 - 7 / 34)) // 1))


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
