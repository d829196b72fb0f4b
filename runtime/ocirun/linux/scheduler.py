"""process.scheduler, process.ioPriority, process.execCPUAffinity (config.md, Linux Process).

The process changes itself, once it is in its cgroup and leads its session, and while it has CAP_SYS_NICE: for sched(7)
and ioprio_set(2) only the initial user namespace's counts, so that in a user namespace of its own the parent does it
instead.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.kernel import scheduling as kernel
from ocirun.steps import InsideStep, OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.parent import Host
    from ocirun.scene import Scene

POLICIES: Final = {
    "SCHED_OTHER": kernel.SCHED_OTHER,
    "SCHED_FIFO": kernel.SCHED_FIFO,
    "SCHED_RR": kernel.SCHED_RR,
    "SCHED_BATCH": kernel.SCHED_BATCH,
    "SCHED_ISO": kernel.SCHED_ISO,
    "SCHED_IDLE": kernel.SCHED_IDLE,
    "SCHED_DEADLINE": kernel.SCHED_DEADLINE,
}
FLAGS: Final = {
    "SCHED_FLAG_RESET_ON_FORK": kernel.SCHED_FLAG_RESET_ON_FORK,
    "SCHED_FLAG_RECLAIM": kernel.SCHED_FLAG_RECLAIM,
    "SCHED_FLAG_DL_OVERRUN": kernel.SCHED_FLAG_DL_OVERRUN,
    "SCHED_FLAG_KEEP_POLICY": kernel.SCHED_FLAG_KEEP_POLICY,
    "SCHED_FLAG_KEEP_PARAMS": kernel.SCHED_FLAG_KEEP_PARAMS,
    "SCHED_FLAG_UTIL_CLAMP_MIN": kernel.SCHED_FLAG_UTIL_CLAMP_MIN,
    "SCHED_FLAG_UTIL_CLAMP_MAX": kernel.SCHED_FLAG_UTIL_CLAMP_MAX,
}
"""The spec has no value for the utilization clamps, so that the flags set the neutral ones: 0 and 1024."""
CLASSES: Final = {
    "IOPRIO_CLASS_RT": kernel.IOPRIO_CLASS_RT,
    "IOPRIO_CLASS_BE": kernel.IOPRIO_CLASS_BE,
    "IOPRIO_CLASS_IDLE": kernel.IOPRIO_CLASS_IDLE,
}
_BUDGET: Final = ("runtime", "deadline", "period")
_DEADLINE_FLAGS: Final = ("SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN")
_KEEP: Final = kernel.SCHED_FLAG_KEEP_POLICY | kernel.SCHED_FLAG_KEEP_PARAMS
_S64_MAX: Final = (1 << 63) - 1


def adopt(process: dict[str, Any], pointer: str, userns: bool) -> list[OutsideStep]:
    """The parent's steps, for a process in a user namespace.

    The I/O priority is the process's then: it is about to lead its process group, in which nobody else is yet.
    """
    if not userns:
        return []
    steps = []
    if scheduler := process.get("scheduler"):
        where, text, attributes, before = _policy(scheduler, pointer)
        steps.append(OutsideStep(schedule_child, where, text, attributes, before))
    if priority := process.get("ioPriority"):
        where, text, value = _io(priority, pointer)
        steps.append(OutsideStep(prioritize_child, where, text, value))
    return steps


def inside(process: dict[str, Any], pointer: str, userns: bool) -> list[InsideStep]:
    """The process's own steps; none where `adopt` has them."""
    if userns:
        return []
    steps = []
    if scheduler := process.get("scheduler"):
        where, text, attributes, before = _policy(scheduler, pointer)
        steps.append(InsideStep(schedule, where, text, attributes, before))
    if priority := process.get("ioPriority"):
        where, text, value = _io(priority, pointer)
        steps.append(InsideStep(prioritize, where, text, value))
    return steps


def affinity(process: dict[str, Any]) -> tuple[list[OutsideStep], list[OutsideStep], list[InsideStep]]:
    """execCPUAffinity of an `exec`: (before the clone, after it, in the process once it is in the cgroup).

    initial is the runtime's own for as long as it clones, which the process inherits; without final nothing is
    changed afterwards, whatever the cgroup made of it (config.md: SHOULD NOT).
    """
    wanted: dict[str, str] = process.get("execCPUAffinity") or {}
    outside: list[OutsideStep] = []
    adopted: list[OutsideStep] = []
    inner: list[InsideStep] = []
    where = "/execCPUAffinity"
    if mask := _cpus(wanted.get("initial"), f"{where}/initial"):
        pin = OutsideStep(run_on, f"{where}/initial", f"run on the CPUs {wanted['initial']}", mask, [])
        outside.append(pin)
        adopted.append(OutsideStep(run_on_former, f"{where}/initial", "run on the former CPUs again", pin.args[1]))
    if mask := _cpus(wanted.get("final"), f"{where}/final"):
        inner.append(InsideStep(stay_on, f"{where}/final", f"run on the CPUs {wanted['final']}", mask))
    return outside, adopted, inner


def _cpus(text: str | None, where: str) -> bytes:
    try:
        return kernel.list_mask(text or "", "CPU")
    except ValueError as problem:
        raise Failure(str(problem), where=where) from None


def _policy(scheduler: dict[str, Any], pointer: str) -> tuple[str, str, bytes, bytes]:
    """Pointer, text, struct sched_attr, and another one to set before it, empty when none is needed.

    Refuses what the kernel would quietly change or leave out. The nice value it takes with the two policies that use
    it only; with the others it would leave the runtime's own in place, so that SCHED_OTHER brings it.
    """
    where = f"{pointer}/scheduler"
    name = scheduler["policy"]
    nice, priority = scheduler.get("nice") or 0, scheduler.get("priority") or 0
    if not -20 <= nice <= 19:
        raise Failure(f"a nice value is from -20 to 19, not {nice}", where=f"{where}/nice")
    if priority and not (name in ("SCHED_FIFO", "SCHED_RR") and 0 < priority < 100):
        said = f"{name} has no priority" if name not in ("SCHED_FIFO", "SCHED_RR") else "a priority is from 1 to 99"
        raise Failure(f"{said}: {priority}", where=f"{where}/priority")
    for member in _BUDGET:
        value = scheduler.get(member) or 0
        if value and name != "SCHED_DEADLINE":
            raise Failure(f"{name} has no {member}: it is SCHED_DEADLINE's", where=f"{where}/{member}")
        if value > _S64_MAX:
            raise Failure(f"the kernel counts fewer nanoseconds than {value}", where=f"{where}/{member}")
    flags = 0
    for index, flag in enumerate(scheduler.get("flags") or ()):
        if flag in _DEADLINE_FLAGS and name != "SCHED_DEADLINE":
            raise Failure(f"{name} has no {flag}: it is SCHED_DEADLINE's", where=f"{where}/flags/{index}")
        flags |= FLAGS[flag]
    runtime, deadline, period = (scheduler.get(member) or 0 for member in _BUDGET)
    attributes = kernel.sched_attr(POLICIES[name], flags, nice, priority, (runtime, deadline, period))
    before = b""
    if name not in ("SCHED_OTHER", "SCHED_BATCH") and not flags & _KEEP:
        before = kernel.sched_attr(kernel.SCHED_OTHER, 0, nice, 0, (0, 0, 0))
    return where, f"set the scheduling policy {name}", attributes, before


def _io(priority: dict[str, Any], pointer: str) -> tuple[str, str, int]:
    level = priority.get("priority") or 0
    value = CLASSES[priority["class"]] << kernel.IOPRIO_CLASS_SHIFT | level
    return f"{pointer}/ioPriority", f"set the I/O priority {priority['class']} {level}", value


def schedule(step: InsideStep, _scene: Scene) -> None:
    """sched_setattr(2) on oneself."""
    attributes, before = step.args
    if before:
        kernel.sched_setattr(0, before)
    kernel.sched_setattr(0, attributes)


def schedule_child(step: OutsideStep, host: Host) -> None:
    """sched_setattr(2) on the container's process."""
    attributes, before = step.args
    if before:
        kernel.sched_setattr(host.pid, before)
    kernel.sched_setattr(host.pid, attributes)


def prioritize(step: InsideStep, _scene: Scene) -> None:
    """ioprio_set(2) on one's own process group (config.md: the entire process group)."""
    kernel.ioprio_set(kernel.IOPRIO_WHO_PGRP, 0, step.args[0])


def prioritize_child(step: OutsideStep, host: Host) -> None:
    """ioprio_set(2) on the container's process."""
    kernel.ioprio_set(kernel.IOPRIO_WHO_PROCESS, host.pid, step.args[0])


def run_on(step: OutsideStep, _host: Host) -> None:
    """sched_setaffinity(2) on the runtime, which remembers its own mask."""
    mask, former = step.args
    former.append(kernel.sched_getaffinity())
    kernel.sched_setaffinity(mask)


def run_on_former(step: OutsideStep, _host: Host) -> None:
    """sched_setaffinity(2) back: a supervising runtime has no business on the container's CPUs."""
    kernel.sched_setaffinity(step.args[0][0])


def stay_on(step: InsideStep, _scene: Scene) -> None:
    """sched_setaffinity(2) on oneself."""
    kernel.sched_setaffinity(step.args[0])
