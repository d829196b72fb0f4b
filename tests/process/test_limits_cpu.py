"""linux.resources.cpu on cgroup v1, controllers cpu and cpuset: what the container reads, and what it can do."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from process.limits import TOP, controller, limited, needs_file, refusal, seen
from support import facility
from support.bundle import with_shell
from support.facility import need, requires
from support.runtime import wait_for

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.fixture(autouse=True)
def _cpu() -> None:
    need(lambda: controller("cpu"), lambda: controller("cpuset"))


def two_cpus() -> str:
    return "" if {0, 1} <= os.sched_getaffinity(0) else "not this lane: needs the CPUs 0 and 1"


def fifo() -> str:
    reason = facility._tried("chrt", "--fifo", "5", "true")
    return f"not this lane: {reason}" if reason else ""


CPUSET = ("cpuset.cpus", "cpuset.mems")
REALTIME = {"realtimeRuntime": 1000, "realtimePeriod": 500_000}
LIMITS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"shares": 512}, {"cpu/cpu.shares": "512"}),
    ({"shares": 2}, {"cpu/cpu.shares": "2"}),
    (
        {"quota": 50_000, "period": 200_000},
        {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "200000"},
    ),
    ({"quota": -1}, {"cpu/cpu.cfs_quota_us": "-1"}),
    ({"quota": 50_000, "burst": 10_000}, {"cpu/cpu.cfs_burst_us": "10000"}),
    (REALTIME, {"cpu/cpu.rt_runtime_us": "1000", "cpu/cpu.rt_period_us": "500000"}),
    ({"cpus": "1", "mems": "0"}, {"cpuset/cpuset.cpus": "1", "cpuset/cpuset.mems": "0"}),
    ({"idle": 1}, {"cpu/cpu.idle": "1"}),
    ({"idle": 0, "shares": 77}, {"cpu/cpu.idle": "0", "cpu/cpu.shares": "77"}),
]


@requires(two_cpus)
@pytest.mark.parametrize(("cpu", "files"), LIMITS, ids=[json.dumps(each[0]) for each in LIMITS])
def test_a_limit_is_in_the_container_s_cgroup(box: Box, cpu: dict[str, Any], files: dict[str, str]) -> None:
    need(*(lambda file=file: needs_file(file) for file in files))
    assert seen(box, {"cpu": cpu}, *files) == files


@requires(two_cpus)
def test_without_cpus_and_mems_the_container_has_its_parent_s(box: Box) -> None:
    found = seen(box, {}, "cpuset/cpuset.cpus", "cpuset/cpuset.mems")
    assert found == {f"cpuset/{name}": (TOP / "cpuset" / name).read_text().strip() for name in CPUSET}


@requires(fifo)
@pytest.mark.parametrize("given", [True, False])
def test_a_real_time_policy_needs_the_real_time_budget(box: Box, given: bool) -> None:
    """In a cgroup whose parent the container makes too: that one has no budget before."""
    need(lambda: needs_file("cpu/cpu.rt_runtime_us"))
    config = limited(box, {"cpu": REALTIME if given else {}})
    config["linux"]["cgroupsPath"] += "/below"
    config["process"]["scheduler"] = {"policy": "SCHED_FIFO", "priority": 5}
    result = box.run(with_shell(config, "cut '-d ' -f41 /proc/$$/stat"))
    if given:
        assert result.ok().out == "1\n"
    else:
        assert "/process/scheduler" in result.expect(1).err


def test_an_idle_container_works(box: Box) -> None:
    """The kernel gives it the smallest weight, and to its tasks the scheduling of SCHED_IDLE."""
    need(lambda: needs_file("cpu/cpu.idle"))
    box.run(with_shell(limited(box, {"cpu": {"idle": 1}}), "while :; do :; done"), "--detach").ok()
    usage = TOP / "cpuacct" / box.ident / "cpuacct.usage"
    wait_for(lambda: int(usage.read_text()) > 10_000_000, what="some time for an idle container")
    assert int((TOP / "cpu" / box.ident / "cpu.shares").read_text()) < 10


def test_the_order_in_which_limits_are_judged_does_not_matter(box: Box) -> None:
    """An existing cgroup is idle, where the kernel refuses shares, and has a burst above the new quota."""
    need(lambda: needs_file("cpu/cpu.idle"))
    group = TOP / "cpu" / box.ident
    group.mkdir()
    try:
        for name, value in (("cfs_quota_us", 90_000), ("cfs_burst_us", 80_000), ("idle", 1)):
            (group / f"cpu.{name}").write_text(str(value))
        cpu = {"shares": 512, "idle": 0, "quota": 20_000, "burst": 10_000}
        box.shell("true", limited(box, {"cpu": cpu}))
        names = ("cpu.shares", "cpu.idle", "cpu.cfs_quota_us", "cpu.cfs_burst_us")
        assert [(group / name).read_text().strip() for name in names] == ["512", "0", "20000", "10000"]
    finally:
        box.runtime.remove_all()
        group.rmdir()


@pytest.mark.parametrize(
    ("cpu", "pointer"),
    [
        ({"quota": 5000, "burst": 6000}, "burst"),
        ({"shares": 1}, "shares"),
        ({"shares": 262145}, "shares"),
        ({"quota": 1}, "quota"),
        ({"period": 1}, "period"),
        ({"idle": 2}, "idle"),
        ({"idle": -1}, "idle"),
        ({"cpus": "4000"}, "cpus"),
        ({"mems": "1023"}, "mems"),
        ({"realtimePeriod": 1_000_000, "realtimeRuntime": 2_000_000}, "realtimeRuntime"),
    ],
    ids=json.dumps,
)
def test_what_the_kernel_does_not_take_is_refused(box: Box, cpu: dict[str, Any], pointer: str) -> None:
    assert f"/linux/resources/cpu/{pointer}: " in refusal(box, {"cpu": cpu})
