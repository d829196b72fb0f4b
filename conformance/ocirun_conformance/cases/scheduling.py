"""Scheduling policies, I/O priorities and memory policies: config.md, Linux Process; config-linux.md, Memory policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocirun_conformance import claims, facility
from ocirun_conformance.caller import called_with, facts_here
from ocirun_conformance.case import NotRun, case, each, expect_equal, row
from ocirun_conformance.host import remove_cgroups

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.probe import Report
    from ocirun_conformance.trial import Trial

POLICIES = {"OTHER": 0, "FIFO": 1, "RR": 2, "BATCH": 3, "IDLE": 5, "DEADLINE": 6}
FLAGS = {"RESET_ON_FORK": 1, "RECLAIM": 2, "DL_OVERRUN": 4, "KEEP_POLICY": 8, "KEEP_PARAMS": 16}
"""<linux/sched.h>"""
BUDGET = {"runtime": 200_000_000, "deadline": 700_000_000, "period": 1_000_000_000}
"""Nanoseconds, for a slow machine too: whoever overruns it may be ended by SIGXCPU."""
MODES = {"DEFAULT": 0, "PREFERRED": 1, "BIND": 2, "INTERLEAVE": 3, "LOCAL": 4}
MODES |= {"PREFERRED_MANY": 5, "WEIGHTED_INTERLEAVE": 6}
MODE_FLAGS = {"STATIC_NODES": 1 << 15, "RELATIVE_NODES": 1 << 14, "NUMA_BALANCING": 1 << 13}
"""<linux/mempolicy.h>"""


def here(trial: Trial, *words: object) -> Report:
    """What this kernel makes of a request; the case is not run when it takes none such."""
    report = facts_here(trial, words, ["report"])
    if report[0]["error"]:
        raise NotRun(f"this kernel does not take {' '.join(map(str, words))}: {report[0]['error']}")
    return report


def realtime_group(trial: Trial, config: Config) -> None:
    """With CONFIG_RT_GROUP_SCHED a cgroup v1 needs bandwidth of its own for such policies."""
    point = facility.cgroup_mounts().get("cpu")
    if point is None or not (point / "cpu.rt_runtime_us").exists():
        return
    name = f"/ocirun-conformance-rt-{trial.token}"
    (point / name[1:]).mkdir()
    trial.defer(lambda: remove_cgroups(name))
    try:
        (point / name[1:] / "cpu.rt_runtime_us").write_text("10000")
    except OSError as problem:
        raise NotRun(f"no cgroup can have real-time bandwidth here: {problem.strerror}") from None
    config["linux"]["cgroupsPath"] = name


@each(
    row("OTHER", "RT-010", "OTHER", {"nice": 7}, []),
    row("OTHER with a negative nice value", "RT-010", "OTHER", {"nice": -5}, []),
    row("OTHER and RESET_ON_FORK", "RT-010", "OTHER", {"nice": 3}, ["RESET_ON_FORK"]),
    row("BATCH", "RT-010", "BATCH", {"nice": 4}, []),
    row("IDLE", "RT-010", "IDLE", {}, []),
    row("FIFO", "RT-010", "FIFO", {"priority": 5}, []),
    row("RR", "RT-010", "RR", {"priority": 6}, []),
    row("DEADLINE", "RT-010", "DEADLINE", BUDGET, []),
    row("DEADLINE and RECLAIM", "RT-010", "DEADLINE", BUDGET, ["RECLAIM"]),
    row("DEADLINE and DL_OVERRUN", "RT-010", "DEADLINE", BUDGET, ["DL_OVERRUN"]),
    row("DEADLINE and two flags", "RT-010", "DEADLINE", BUDGET, ["RECLAIM", "DL_OVERRUN"]),
    row("BATCH and KEEP_POLICY", "RT-010", "BATCH", {"nice": 5}, ["KEEP_POLICY"]),
    needs=[facility.root],
)
def scheduler(trial: Trial, policy: str, members: dict[str, int], flags: list[str]) -> None:
    """the program is scheduled by SCHED_{0} with {1} and the flags {2}"""
    claims.must_know(trial, "1.1.0", "scheduler")
    names = ("nice", "priority", "runtime", "deadline", "period")
    words = [POLICIES[policy], sum(FLAGS[name] for name in flags), *(members.get(name, 0) for name in names)]
    expected = here(trial, "schedule", *words).facts["scheduler"]
    config = trial.config()
    config["process"]["scheduler"] = {"policy": f"SCHED_{policy}", **members}
    config["process"]["scheduler"]["flags"] = [f"SCHED_FLAG_{name}" for name in flags]
    if policy in ("FIFO", "RR"):
        realtime_group(trial, config)
    seen: dict[str, Any] = trial.run(config).facts["scheduler"]
    for name in ("policy", "flags", *(name for name in names if name in members)):
        expect_equal(seen[name], expected[name], f"the scheduler's {name}")


@case("RT-010", needs=[facility.root])
def an_unset_nice_value(trial: Trial) -> None:
    """a scheduler without nice has the nice value 0, whatever the caller's"""
    claims.must_know(trial, "1.1.0", "scheduler")
    here(trial, "schedule", 0, 0, -1, 0, 0, 0, 0)
    called_with(trial, "os.nice(10)")
    config = trial.config()
    config["process"]["scheduler"] = {"policy": "SCHED_BATCH"}
    expect_equal(trial.run(config).facts["scheduler"]["nice"], 0, "the nice value")


@each(row("RT", "RT-010", "RT", 1, 2), row("BE", "RT-010", "BE", 2, 7), row("IDLE", "RT-010", "IDLE", 3, 0))
def io_priority(trial: Trial, name: str, number: int, level: int) -> None:
    """the program's I/O priority is IOPRIO_CLASS_{0}, level {2}"""
    claims.must_know(trial, "1.1.0", "ioPriority")
    expected = here(trial, "ioprio", number << 13 | level).facts["ioprio"]
    config = trial.config()
    config["process"]["ioPriority"] = {"class": f"IOPRIO_CLASS_{name}", "priority": level}
    expect_equal(trial.run(config).facts["ioprio"], expected, "the I/O priority as ioprio_get(2) has it")


@case("RT-010")
def the_affinity_of_the_first_process(trial: Trial) -> None:
    """execCPUAffinity does not count for the container's first process"""
    own = trial.run().facts["affinity"]
    if len(own) < 2:
        raise NotRun("needs two CPUs")
    config = trial.config()
    config["process"]["execCPUAffinity"] = {"initial": str(own[0]), "final": str(own[1])}
    expect_equal(trial.run(config).facts["affinity"], own, "the list of CPUs")


@each(
    row("DEFAULT", "RT-039 FEL-008", "DEFAULT", "", []),
    row("BIND", "RT-039 FEL-008", "BIND", "0", []),
    row("BIND and STATIC_NODES", "RT-039 FEL-008 FEL-009", "BIND", "0", ["STATIC_NODES"]),
    row("BIND and NUMA_BALANCING", "RT-039 FEL-008 FEL-009", "BIND", "0", ["NUMA_BALANCING"]),
    row("BIND and two flags", "RT-039 FEL-008 FEL-009", "BIND", "0", ["NUMA_BALANCING", "STATIC_NODES"]),
    row("INTERLEAVE and RELATIVE_NODES", "RT-039 FEL-008 FEL-009", "INTERLEAVE", "0-0", ["RELATIVE_NODES"]),
    row("WEIGHTED_INTERLEAVE", "RT-039 FEL-008", "WEIGHTED_INTERLEAVE", "0", []),
    row("PREFERRED", "RT-039 FEL-008", "PREFERRED", "0", []),
    row("PREFERRED_MANY", "RT-039 FEL-008", "PREFERRED_MANY", "0", []),
    row("LOCAL", "RT-039 FEL-008", "LOCAL", "", []),
)
def memory_policy(trial: Trial, mode: str, nodes: str, flags: list[str]) -> None:
    """the program's memory policy is MPOL_{0} of the nodes "{1}" with the flags {2}"""
    claims.must_know(trial, "1.3.0", "memoryPolicy")
    claims.must_claim(trial, f"MPOL_{mode}", "linux/memoryPolicy/modes")
    value = MODES[mode] | sum(MODE_FLAGS[name] for name in flags)
    expected = here(trial, "mempolicy", value, int(bool(nodes))).facts["memory_policy"]
    config = trial.config()
    config["linux"]["memoryPolicy"] = {"mode": f"MPOL_{mode}", "flags": [f"MPOL_F_{name}" for name in flags]}
    if nodes:
        config["linux"]["memoryPolicy"]["nodes"] = nodes
    expect_equal(trial.run(config).facts["memory_policy"], expected, "the memory policy as get_mempolicy(2) has it")


IMPOSSIBLE: dict[str, tuple[str, str, Config]] = {
    "scheduler": ("process", "1.1.0", {"policy": "SCHED_FIFO", "priority": 1000}),
    "ioPriority": ("process", "1.1.0", {"class": "IOPRIO_CLASS_BE", "priority": 8}),
    "memoryPolicy": ("linux", "1.3.0", {"mode": "MPOL_BIND", "nodes": "1023"}),
}
"""What no kernel takes: there is no such priority, level or node."""


@each(*(row(name, "RT-041 RT-042", name) for name in IMPOSSIBLE))
def what_no_kernel_takes(trial: Trial, name: str) -> None:
    """a {0} that the kernel does not take is an error, and the program does not run"""
    place, since, value = IMPOSSIBLE[name]
    claims.must_know(trial, since, name)
    config = trial.config()
    config[place][name] = value
    trial.refused_at_last(config, f"a {name} that the kernel does not take")
