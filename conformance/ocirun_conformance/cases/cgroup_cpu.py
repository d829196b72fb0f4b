"""linux.resources.cpu: config-linux.md, CPU. Two controllers: cpu and cpuset."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocirun_conformance import cgroups, claims, facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.cgroups import Limit, generation, limit, limited, own_cgroup, set_file, shown, weights
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial

NEEDS = [facility.controller("cpu")]
SETS = [facility.controller("cpuset")]
QUOTA, PERIOD, BURST = "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us"
RT_RUNTIME, RT_PERIOD = "cpu.rt_runtime_us", "cpu.rt_period_us"


def cpu(members: Config, v1: dict[str, str], v2: dict[str, str | cgroups.Shown] | None = None) -> Limit:
    """A limit of cpu; without v2 cgroup v2 has nothing of the kind."""
    return limit("cpu", {"cpu": members}, [v1], [v2] if v2 else [])


LIMITS: dict[str, Limit] = {
    "shares": cpu({"shares": 512}, {"cpu.shares": "512"}, {"cpu.weight": shown(*weights(512))}),
    "shares_least": cpu({"shares": 2}, {"cpu.shares": "2"}, {"cpu.weight": "1"}),
    "shares_most": cpu({"shares": 262144}, {"cpu.shares": "262144"}, {"cpu.weight": "10000"}),
    "quota": cpu({"quota": 50000}, {QUOTA: "50000"}, {"cpu.max": "50000 100000"}),
    "period": cpu({"period": 50000}, {PERIOD: "50000"}, {"cpu.max": "max 50000"}),
    "quota_and_period": cpu(
        {"quota": 30000, "period": 200000},
        {PERIOD: "200000", QUOTA: "30000"},
        {"cpu.max": "30000 200000"},
    ),
    "burst": cpu(
        {"quota": 50000, "burst": 10000},
        {QUOTA: "50000", BURST: "10000"},
        {"cpu.max": "50000 100000", "cpu.max.burst": "10000"},
    ),
    "idle": cpu({"idle": 1}, {"cpu.idle": "1"}, {"cpu.idle": "1"}),
}

YOUNG = ("burst", "idle")
"""Of specification 1.1.0: for an older runtime they are unknown properties, which it has to ignore."""

REALTIME = cpu(
    {"realtimeRuntime": 1000, "realtimePeriod": 500_000},
    {RT_PERIOD: "500000", RT_RUNTIME: "1000"},
)
SET_LIMITS: dict[str, Limit] = {
    "cpus": limit("cpuset", {"cpu": {"cpus": "0"}}, [{"cpuset.cpus": "0"}], [{"cpuset.cpus": "0"}]),
    "mems": limit("cpuset", {"cpu": {"mems": "0"}}, [{"cpuset.mems": "0"}], [{"cpuset.mems": "0"}]),
}


@each(*(row(name, "RT-010 RT-039", name) for name in LIMITS), needs=NEEDS)
def is_applied(trial: Trial, name: str) -> None:
    """cpu.{0} is in the container's cgroup after create"""
    if name in YOUNG:
        claims.must_know(trial, "1.1.0", f"cpu.{name}")
    cgroups.applied(trial, LIMITS[name])


@each(*(row(name, "RT-010 RT-039", name) for name in SET_LIMITS), needs=SETS)
def is_applied_to_the_set(trial: Trial, name: str) -> None:
    """cpu.{0} is in the container's cpuset after create"""
    cgroups.applied(trial, SET_LIMITS[name])


@each(*(row(name, "RT-041 RT-042", name) for name in YOUNG), needs=NEEDS)
def is_an_error_if_impossible(trial: Trial, name: str) -> None:
    """cpu.{0} is an error where the kernel cannot apply it"""
    claims.must_know(trial, "1.1.0", f"cpu.{name}")
    cgroups.refused(trial, LIMITS[name])


@case("RT-010", "RT-039", needs=NEEDS)
def realtime(trial: Trial) -> None:
    """cpu.realtimeRuntime and realtimePeriod are in the container's cgroup, below one that has enough of both"""
    sets, reason = cgroups.taken(trial, REALTIME)
    if not sets:
        raise NotRun(reason)
    parent = own_cgroup(trial, "cpu", "-budget")
    set_file(parent / RT_RUNTIME, "10000")
    config = limited(trial, REALTIME.resources)
    config["linux"]["cgroupsPath"] = f"/{parent.name}/x"
    made = trial.created(config)
    seen = cgroups.read_files(cgroups.folder(made.pid, "cpu"), sets[0])
    expect_equal(seen, {RT_PERIOD: "500000", RT_RUNTIME: "1000"}, "the real-time budget")


@case("RT-041", "RT-042", needs=NEEDS)
def realtime_is_an_error_if_impossible(trial: Trial) -> None:
    """cpu.realtimeRuntime and realtimePeriod are an error where the kernel cannot apply them"""
    cgroups.refused(trial, REALTIME)


@each(
    row("realtimeRuntime", "LNX-063", {"realtimeRuntime": 1000}),
    row("realtimePeriod", "LNX-063", {"realtimePeriod": 500_000}),
    needs=[facility.cgroup2, *NEEDS],
)
def has_no_counterpart(trial: Trial, members: Config) -> None:
    """{0}, which cgroup v2 has nothing like, is an error there"""
    trial.refused(limited(trial, {"cpu": members}), f"cpu {members}, which cgroup v2 has nothing like")


@case("RT-010", "RT-039", needs=NEEDS)
def a_quota_lifted(trial: Trial) -> None:
    """cpu.quota of -1 takes away the quota that an existing cgroup has"""
    place = own_cgroup(trial, "cpu", "-lifted")
    file, before = (QUOTA, "50000") if generation("cpu") == 1 else ("cpu.max", "50000 100000")
    set_file(place / file, before)
    config = limited(trial, {"cpu": {"quota": -1}})
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    trial.created(config)
    seen = (place / file).read_text().split()[0]
    expect(seen in ("-1", "max"), "the quota of an existing cgroup stays", seen=seen)


@case("RT-010", "RT-039", needs=NEEDS)
def idle_of_zero(trial: Trial) -> None:
    """cpu.idle of 0 is written, together with shares: an existing idle cgroup is no longer idle"""
    claims.must_know(trial, "1.1.0", "cpu.idle")
    place = own_cgroup(trial, "cpu", "-idle")
    try:
        set_file(place / "cpu.idle", "1")
    except OSError as problem:
        raise NotRun(f"this kernel has no cpu.idle: {problem.strerror}") from None
    config = limited(trial, {"cpu": {"idle": 0, "shares": 512}})
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    trial.created(config)
    expect_equal((place / "cpu.idle").read_text().strip(), "0", "cpu.idle of an existing cgroup")


@case("RT-010", "RT-039", needs=NEEDS)
def a_quota_bites(trial: Trial) -> None:
    """with a tenth of a processor the program is kept from using more"""
    sets, reason = cgroups.taken(trial, LIMITS["quota_and_period"])
    if not sets:
        raise NotRun(reason)
    wanted = cpu({"quota": 10000, "period": 100_000}, {})
    made = cgroups.create(trial, wanted, ["spin", "600"], ["wait"])
    ok(made.start(), "start")
    used = made.await_lines(2)[0]["cpu"]
    expect(used < 300_000, "the program used more than half of a processor, though its quota is a tenth", seen=used)


def two_cpus() -> str:
    """The processors that the host has at least."""
    return "" if {0, 1} <= os.sched_getaffinity(0) else "needs the processors 0 and 1"


TWO = facility.Need("two processors", two_cpus)


@each(row("first", "RT-010 RT-039", "0", [0]), row("second", "RT-010 RT-039", "1", [1]), needs=[*SETS, TWO])
def a_set_bites(trial: Trial, cpus: str, wanted: list[int]) -> None:
    """with cpu.cpus of {0} the program can run on that processor alone"""
    made = trial.started(limited(trial, {"cpu": {"cpus": cpus}}, ["report"], ["wait"]))
    expect_equal(made.await_lines(2).facts["affinity"], wanted, "the list of processors that the program may use")


@case("RT-010", "RT-039", needs=[*SETS, TWO])
def an_existing_set(trial: Trial) -> None:
    """cpu.cpus replaces what an existing cgroup has"""
    place = own_cgroup(trial, "cpuset", "-set")
    set_file(place / "cpuset.cpus", "0")
    config = limited(trial, {"cpu": {"cpus": "0-1"}})
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    trial.created(config)
    expect_equal((place / "cpuset.cpus").read_text().strip(), "0-1", "cpuset.cpus of an existing cgroup")


@each(
    row("quota_too_small", "RT-041 RT-042", {"quota": 1}, "a quota of one microsecond"),
    row("period_too_small", "RT-041 RT-042", {"period": 1}, "a period of one microsecond"),
    row("no_such_processor", "RT-041 RT-042", {"cpus": "4000"}, "a processor that there is not", needs=SETS),
    row("no_such_node", "RT-041 RT-042", {"mems": "1000"}, "a memory node that there is not", needs=SETS),
    needs=NEEDS,
)
def that_the_kernel_refuses(trial: Trial, members: Config, what: str) -> None:
    """{1} is an error"""
    trial.refused(limited(trial, {"cpu": members}), what)
