"""linux.resources.memory: config-linux.md, Memory."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import cgroups, facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.cgroups import MIB, Limit, folder, generation, limit, limited, own_cgroup, set_file, shown
from ocirun_conformance.config import add_mount, add_namespace
from ocirun_conformance.trial import ok, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial

NEEDS = [facility.controller("memory")]
UNLIMITED = shown(str((1 << 63) - 4096), written="-1")
LIMIT_V1, SWAP_V1, SOFT_V1 = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"
KERNEL_V1, TCP_V1 = "memory.kmem.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes"
BOTH = {"limit": 64 * MIB, "swap": 96 * MIB}
"""swap is memory and swap together; on cgroup2 memory.swap.max is swap alone."""


def memory(members: Config, v1: Mapping[str, str | cgroups.Shown], v2: Mapping[str, str]) -> Limit:
    """A limit of memory; an empty v2 means that cgroup v2 has nothing of the kind."""
    return limit("memory", {"memory": members}, [v1], [v2] if v2 else [])


LIMITS: dict[str, Limit] = {
    "limit": memory({"limit": 64 * MIB}, {LIMIT_V1: str(64 * MIB)}, {"memory.max": str(64 * MIB)}),
    "reservation": memory({"reservation": 32 * MIB}, {SOFT_V1: str(32 * MIB)}, {"memory.low": str(32 * MIB)}),
    "swap": memory(BOTH, {LIMIT_V1: str(64 * MIB), SWAP_V1: str(96 * MIB)}, {"memory.swap.max": str(32 * MIB)}),
    "swap_like_limit": memory(
        {"limit": 64 * MIB, "swap": 64 * MIB},
        {LIMIT_V1: str(64 * MIB), SWAP_V1: str(64 * MIB)},
        {"memory.swap.max": "0"},
    ),
    "kernel": memory({"kernel": 32 * MIB}, {KERNEL_V1: str(32 * MIB)}, {}),
    "kernelTCP": memory({"kernelTCP": 8 * MIB}, {TCP_V1: str(8 * MIB)}, {}),
    "swappiness": memory({"swappiness": 33}, {"memory.swappiness": "33"}, {}),
    "swappiness_zero": memory({"swappiness": 0}, {"memory.swappiness": "0"}, {}),
    "disableOOMKiller": memory(
        {"disableOOMKiller": True}, {"memory.oom_control": shown("oom_kill_disable 1", written="1")}, {}
    ),
    "useHierarchy": memory({"useHierarchy": False}, {"memory.use_hierarchy": "0"}, {}),
}


@each(*(row(name, "RT-010 RT-039", name) for name in LIMITS), needs=NEEDS)
def is_applied(trial: Trial, name: str) -> None:
    """memory.{0} is in the container's cgroup after create"""
    cgroups.applied(trial, LIMITS[name])


@each(
    *(row(name, "RT-041 RT-042", name) for name in ("kernel", "kernelTCP", "swap", "useHierarchy")),
    needs=NEEDS,
)
def is_an_error_if_impossible(trial: Trial, name: str) -> None:
    """memory.{0} is an error where the kernel cannot apply it"""
    cgroups.refused(trial, LIMITS[name])


@each(
    *(row(name, "LNX-063", name) for name, each in LIMITS.items() if not each.v2),
    needs=[facility.cgroup2, *NEEDS],
)
def has_no_counterpart(trial: Trial, name: str) -> None:
    """memory.{0}, which cgroup v2 has nothing like, is an error there"""
    trial.refused(limited(trial, LIMITS[name].resources), f"memory.{name}, which cgroup v2 has nothing like")


LIFTED: dict[str, tuple[Config, dict[str, str], dict[str, str]]] = {
    "limit": ({"limit": -1}, {LIMIT_V1: str(128 * MIB)}, {"memory.max": str(128 * MIB)}),
    "swap": ({"swap": -1}, {LIMIT_V1: str(128 * MIB), SWAP_V1: str(128 * MIB)}, {"memory.swap.max": str(MIB)}),
    "reservation": ({"reservation": -1}, {SOFT_V1: str(32 * MIB)}, {}),
}
"""Members of which -1 means no limit, and what a cgroup has that was there before."""


@each(*(row(name, "RT-010 RT-039", name) for name in LIFTED), needs=NEEDS)
def is_lifted(trial: Trial, name: str) -> None:
    """memory.{0} of -1 takes away the limit that an existing cgroup has"""
    members, v1, v2 = LIFTED[name]
    before = v1 if generation("memory") == 1 else v2
    if not before:
        raise NotRun("on cgroup v2 it is a protection, which the specification does not describe")
    place = own_cgroup(trial, "memory", "-lifted")
    for file, value in before.items():
        try:
            set_file(place / file, value)
        except OSError as problem:
            raise NotRun(f"this kernel does not take {file}: {problem.strerror}") from None
    config = limited(trial, {"memory": members})
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    trial.created(config)
    file = list(before)[-1]
    seen = (place / file).read_text().strip()
    expect(seen in ("max", *UNLIMITED.lines), f"{file} of an existing cgroup is still limited", seen=seen)


GREEDY = [["allocate", "16"], ["allocate", "256"], ["wait"]]


@case("RT-010", "RT-039", needs=NEEDS)
def a_limit_bites(trial: Trial) -> None:
    """who needs more than memory.limit, without swap, is killed; who needs less is not"""
    members = {"limit": 64 * MIB, "swap": 64 * MIB}
    sets, reason = cgroups.taken(trial, LIMITS["swap_like_limit"])
    if not sets:
        raise NotRun(reason)
    made = cgroups.create(trial, limit("memory", {"memory": members}), *GREEDY)
    ok(made.start(), "start")
    report = made.await_lines(3)
    expect_equal((report[0]["exit"], report[0]["signal"]), (0, 0), "the end of a process that needs 16 MiB of 64")
    expect_equal(report[1]["signal"], 9, "the signal that ends a process that needs 256 MiB of 64")


@case("RT-010", "RT-039", needs=NEEDS)
def without_the_oom_killer(trial: Trial) -> None:
    """with disableOOMKiller who needs too much waits instead of being killed"""
    members = {"limit": 64 * MIB, "swap": 64 * MIB, "disableOOMKiller": True}
    for name in ("disableOOMKiller", "swap_like_limit"):
        sets, reason = cgroups.taken(trial, LIMITS[name])
        if not sets:
            raise NotRun(reason)
    made = trial.started(limited(trial, {"memory": members}, ["allocate", "256"], ["wait"]))
    control = folder(made.pid, "memory") / "memory.oom_control"
    wait_until(lambda: "under_oom 1" in control.read_text(), "a process to wait for memory")
    expect("\noom_kill 0" in control.read_text(), "something was killed", seen=control.read_text())
    expect_equal(len(made.report), 0, "the number of lines of the program, which waits for memory,")


@case("RT-010", "RT-039", needs=NEEDS)
def the_oom_killer_stays(trial: Trial) -> None:
    """with disableOOMKiller false an existing cgroup without it gets it back"""
    if generation("memory") != 1:
        raise NotRun("cgroup v2 has no such switch")
    place = own_cgroup(trial, "memory", "-oom")
    file = place / "memory.oom_control"
    try:
        set_file(file, "1")
    except OSError as problem:
        raise NotRun(f"this kernel does not disable the OOM killer: {problem.strerror}") from None
    config = limited(trial, {"memory": {"limit": 64 * MIB, "disableOOMKiller": False}})
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    trial.created(config)
    expect("oom_kill_disable 0" in file.read_text(), "the OOM killer is still disabled", seen=file.read_text())


@case("RT-010", "RT-039", needs=[*NEEDS, facility.namespace("cgroup")])
def a_hierarchy(trial: Trial) -> None:
    """with useHierarchy a cgroup that the program makes below its own shares the limit"""
    members = {"limit": 64 * MIB, "swap": 64 * MIB, "useHierarchy": True}
    if generation("memory") != 1:
        raise NotRun("on cgroup v2 limits always hold for what is below")
    below = "/sys/fs/cgroup/memory/below"
    actions = [["mkdir", below], ["write", f"{below}/cgroup.procs", "0"], ["allocate", "256"], ["wait"]]
    config = limited(trial, {"memory": members}, *actions)
    add_namespace(config, "cgroup")
    add_mount(config, "/sys", "sysfs", "sysfs", "ro")
    add_mount(config, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev")
    report = trial.started(config).await_lines(4)
    if report[0]["error"] or report[1]["error"]:
        raise NotRun(f"the program cannot make a cgroup: {report[0]['error'] or report[1]['error']}")
    expect_equal(report[2]["signal"], 9, "the signal that ends a process that needs 256 MiB of 64 in a cgroup below")


@case("LNX-045", needs=NEEDS)
def check_before_update(trial: Trial) -> None:
    """with checkBeforeUpdate a limit below what an existing cgroup uses is refused"""
    if Path("/proc/swaps").read_text().count("\n") > 1:
        raise NotRun("what is used could go to the host's swap")
    if not Path("/dev/shm").is_mount():
        raise NotRun("needs a tmpfs at /dev/shm")
    place, file = own_cgroup(trial, "memory", "-used"), Path("/dev/shm", f"oc-{trial.token}")
    script = f"echo $$ > {place}/cgroup.procs && exec dd if=/dev/zero of={file} bs=1M count=16"
    trial.defer(lambda: file.unlink(missing_ok=True))
    subprocess.run(["sh", "-c", script], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    wait_until(lambda: not (place / "cgroup.procs").read_text(), "the memory's user to be gone")
    members = {"limit": 8 * MIB, "swap": 8 * MIB, "checkBeforeUpdate": True}
    config = limited(trial, {"memory": members})
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    trial.refused(config, "a limit of 8 MiB with checkBeforeUpdate where 16 MiB are used")
    limits = {name: (place / name) for name in (LIMIT_V1, "memory.max")}
    seen = {name: path.read_text().strip() for name, path in limits.items() if path.exists()}
    expect(not set(seen.values()) & {str(8 * MIB)}, "the refused limit is in the cgroup", seen=seen)


@each(
    row("swap_below_limit", "RT-041 RT-042", {"limit": 64 * MIB, "swap": 32 * MIB}, "less memory and swap than memory"),
    row("swappiness_over_100", "RT-041 RT-042", {"swappiness": 1000}, "a swappiness of 1000"),
    needs=NEEDS,
)
def that_no_kernel_applies(trial: Trial, members: Config, what: str) -> None:
    """{1} is an error"""
    trial.refused(limited(trial, {"memory": members}), what)
