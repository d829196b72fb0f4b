"""Every member and flag of process.scheduler that tests/process/test_scheduler.py leaves, and all of them for `exec`.

Some are in no file of /proc: sched_getattr(2) asks the kernel for what the running program has.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence
from process.test_scheduler import (
    BUDGET,
    LOOK,
    deadline,
    fifo,
    group_scheduling,
    realtime_cgroup,
    renice,
    seen,
    userns,
    with_policy,
)
from support.bundle import default_config, with_cgroup, with_shell, with_user_namespace
from support.facility import requires
from support.runtime import wait_for

from ocirun.linux.scheduler import FLAGS

if TYPE_CHECKING:
    from process.box import Box

__all__ = ["realtime_cgroup", "userns"]
pytestmark = [pytest.mark.process, pytest.mark.privileged]

SYS_SCHED_GETATTR = 315
FORMAT = "=IIQiIQQQ"
RESET, RECLAIM, OVERRUN = (FLAGS[f"SCHED_FLAG_{name}"] for name in ("RESET_ON_FORK", "RECLAIM", "DL_OVERRUN"))


def attributes(pid: int) -> dict[str, int]:
    """What sched_getattr(2) says about a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(struct.calcsize(FORMAT))
    assert libc.syscall(SYS_SCHED_GETATTR, pid, buffer, len(buffer), 0) == 0, ctypes.get_errno()
    names = ("size", "policy", "flags", "nice", "priority", "runtime", "deadline", "period")
    return dict(zip(names, struct.unpack(FORMAT, buffer.raw), strict=True))


@requires(deadline)
@pytest.mark.parametrize("flags", [[], ["RESET_ON_FORK"], ["RECLAIM"], ["DL_OVERRUN"], ["DL_OVERRUN", "RECLAIM"]])
def test_the_whole_budget(box: Box, userns: bool, flags: list[str]) -> None:
    budget = {"runtime": 10_000_001, "deadline": 70_000_002, "period": 100_000_003}
    names = [f"SCHED_FLAG_{flag}" for flag in flags]
    config = changed(default_config("sleep", "1000"), "/process/scheduler", {"policy": "SCHED_DEADLINE", **budget})
    config["process"]["scheduler"]["flags"] = names
    if userns:
        with_user_namespace(config)
    box.run(config, "--detach").ok()
    found = attributes(box.runtime.state(box.ident)["pid"])
    assert {name: found[name] for name in budget} == budget
    assert found["flags"] == sum(FLAGS[name] for name in names)
    assert found["policy"] == 6


@requires(deadline)
def test_an_overrun_is_told(box: Box) -> None:
    """SIGXCPU for a program that takes more than its budget (sched(7)); without the flag it is only slowed down."""
    small = {"runtime": 2_000_000, "deadline": 8_000_000, "period": 8_000_000}
    script = "trap 'exit 42' XCPU; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
    config = changed(with_shell(default_config(), script), "/process/scheduler", {"policy": "SCHED_DEADLINE", **small})
    box.run(config).expect(0)
    config["process"]["scheduler"]["flags"] = ["SCHED_FLAG_DL_OVERRUN"]
    box.run(config).expect(42)


@requires(renice)
def test_the_policy_or_its_parameters_can_be_kept(box: Box, userns: bool) -> None:
    """With SCHED_FLAG_KEEP_POLICY only the nice value changes; with SCHED_FLAG_KEEP_PARAMS neither, says the kernel."""
    assert seen(box, with_policy("SCHED_BATCH", nice=5, flags=["SCHED_FLAG_KEEP_POLICY"]), userns) == [5, 0, 0]
    assert seen(box, with_policy("SCHED_BATCH", nice=5, flags=["SCHED_FLAG_KEEP_PARAMS"]), userns) == [0, 0, 0]
    assert seen(box, with_policy("SCHED_BATCH", nice=5), userns) == [5, 0, 3]


@requires(renice)
@pytest.mark.parametrize("flag", ["SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"])
def test_utilization_clamps_are_taken_or_refused_by_the_kernel(box: Box, flag: str) -> None:
    """A kernel without CONFIG_UCLAMP_TASK says so; the program then does not run."""
    result = box.run(with_policy("SCHED_OTHER", nice=3, flags=[flag]))
    if result.code == 0:
        assert result.out.split() == ["3", "0", "0"]
        return
    sentence = one_sentence(result)
    assert "/process/scheduler: set the scheduling policy SCHED_OTHER" in sentence
    assert sentence.endswith("sched_setattr: operation not supported")


@requires(renice)
def test_the_nice_value_of_the_other_policies(box: Box, userns: bool) -> None:
    """sched_setattr(2) leaves it out; it counts as soon as the program takes SCHED_OTHER."""
    assert seen(box, with_policy("SCHED_IDLE", nice=6), userns) == [6, 0, 5]


@requires(fifo)
@pytest.mark.parametrize(("policy", "number"), [("SCHED_FIFO", 1), ("SCHED_RR", 2)])
def test_the_nice_value_of_a_realtime_policy(
    box: Box, userns: bool, realtime_cgroup: str, policy: str, number: int
) -> None:
    config = with_cgroup(with_policy(policy, priority=5, nice=7), realtime_cgroup)
    assert seen(box, config, userns) == [7, 5, number]


@requires(deadline)
def test_the_nice_value_of_a_deadline_task(box: Box) -> None:
    assert seen(box, with_policy("SCHED_DEADLINE", nice=8, **BUDGET)) == [8, 0, 6]


@pytest.mark.parametrize("flag", ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"])
@pytest.mark.parametrize("policy", ["SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE", "SCHED_FIFO"])
def test_flags_of_deadline_tasks_are_theirs_alone(box: Box, policy: str, flag: str) -> None:
    """The kernel would take them with any policy and forget them."""
    box.write(with_policy(policy, flags=["SCHED_FLAG_RESET_ON_FORK", flag]))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert f"/process/scheduler/flags/1: {policy} has no {flag}" in sentence
    before.assert_unchanged()


def exec_with(box: Box, scheduler: dict[str, Any], *args: str) -> str:
    process = default_config(*(args or LOOK))["process"] | {"scheduler": scheduler}
    return box.runtime.exec_process(box.ident, process).ok().out


@requires(renice)
@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ({"policy": "SCHED_OTHER", "nice": -3}, ["-3", "0", "0"]),
        ({"policy": "SCHED_BATCH", "nice": 4}, ["4", "0", "3"]),
        ({"policy": "SCHED_IDLE", "nice": 5}, ["5", "0", "5"]),
        ({"policy": "SCHED_BATCH", "nice": 4, "flags": ["SCHED_FLAG_KEEP_POLICY"]}, ["4", "0", "0"]),
        ({"policy": "SCHED_BATCH", "nice": 4, "flags": ["SCHED_FLAG_KEEP_PARAMS"]}, ["0", "0", "0"]),
    ],
)
def test_exec_has_its_own_policy(box: Box, userns: bool, scheduler: dict[str, Any], expected: list[str]) -> None:
    box.start_sleeper(with_user_namespace(default_config()) if userns else default_config())
    assert exec_with(box, scheduler).split() == expected


@requires(fifo)
@pytest.mark.parametrize(("policy", "number"), [("SCHED_FIFO", 1), ("SCHED_RR", 2)])
def test_exec_has_its_own_realtime_policy(
    box: Box, userns: bool, realtime_cgroup: str, policy: str, number: int
) -> None:
    config = with_cgroup(default_config(), realtime_cgroup)
    box.start_sleeper(with_user_namespace(config) if userns else config)
    assert exec_with(box, {"policy": policy, "priority": 9}).split() == ["0", "9", str(number)]


@requires(deadline)
def test_exec_has_its_own_deadline(box: Box, userns: bool) -> None:
    box.start_sleeper(with_user_namespace(default_config()) if userns else default_config())
    pid_file = box.directory / "pid"
    process = default_config("sleep", "1000")["process"]
    process["scheduler"] = {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RECLAIM"], **BUDGET}
    box.runtime.exec_process(box.ident, process, "--detach", "--pid-file", str(pid_file)).ok()
    wait_for(pid_file.exists)
    found = attributes(int(pid_file.read_text()))
    assert {name: found[name] for name in BUDGET} == BUDGET
    assert found["flags"] == RECLAIM


@requires(fifo, group_scheduling)
def test_exec_without_bandwidth_is_refused(box: Box) -> None:
    box.start_sleeper()
    process = default_config(*LOOK)["process"] | {"scheduler": {"policy": "SCHED_RR", "priority": 1}}
    sentence = one_sentence(box.runtime.exec_process(box.ident, process).expect(255))
    assert sentence.endswith("/scheduler: set the scheduling policy SCHED_RR: sched_setattr: operation not permitted")


@pytest.mark.parametrize("where", ["host", "userns"])
@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("IOPRIO_CLASS_RT", 3, "realtime: prio 3"),
        ("IOPRIO_CLASS_BE", 0, "best-effort: prio 0"),
        ("IOPRIO_CLASS_BE", 7, "best-effort: prio 7"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ],
)
def test_exec_has_its_own_io_priority(box: Box, where: str, name: str, level: int, expected: str) -> None:
    box.start_sleeper(with_user_namespace(default_config()) if where == "userns" else default_config())
    process = with_shell(default_config(), "ionice; ionice -p $$; :")["process"]
    process["ioPriority"] = {"class": name, "priority": level}
    assert box.runtime.exec_process(box.ident, process).ok().out.splitlines() == [expected] * 2
