"""process.scheduler, ioPriority and execCPUAffinity, as the program finds them (config.md, Linux Process)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence, status_lines
from support import facility
from support.bundle import default_config, with_args, with_cgroup, with_user_namespace
from support.facility import need, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

LOOK = ("cut", "-d ", "-f19,40,41", "/proc/self/stat")
"""nice, real-time priority, policy (proc(5)), without another fork: a deadline task may not fork."""
BUDGET = {"runtime": 10_000_000, "deadline": 100_000_000, "period": 100_000_000}
CPU = Path("/sys/fs/cgroup/cpu")


def may_schedule(*words: str) -> str:
    """chrt(1) may set that policy here."""
    reason = facility._tried("chrt", *words, "true")
    return f"not this lane: {reason}" if reason else ""


def renice() -> str:
    reason = facility._tried("nice", "-n", "-5", "true")
    return f"not this lane: {reason}" if reason else ""


def fifo() -> str:
    return may_schedule("--fifo", "5")


def deadline() -> str:
    budget = [f"--sched-{name}={value}" for name, value in BUDGET.items()]
    return may_schedule("--deadline", *budget, "0")


def group_scheduling() -> str:
    """Real-time policies need bandwidth of the v1 cpu cgroup (CONFIG_RT_GROUP_SCHED)."""
    there = (CPU / "cpu.rt_runtime_us").exists()
    return "" if there else "not this lane: needs cpu.rt_runtime_us of the v1 controller cpu"


def two_cpus() -> str:
    return "" if {0, 1} <= os.sched_getaffinity(0) else "not this lane: needs the CPUs 0 and 1"


def with_policy(policy: str, **members: Any) -> Config:
    return changed(default_config(*LOOK), "/process/scheduler", {"policy": policy, **members})


@pytest.fixture(params=[False, True], ids=["host", "userns"])
def userns(request: pytest.FixtureRequest) -> bool:
    if request.param:
        need(facility.user_namespace)
    return bool(request.param)


def seen(box: Box, config: Config, userns: bool = False) -> list[int]:
    """[nice, real-time priority, policy] of the program."""
    if userns:
        with_user_namespace(config)
    return [int(word) for word in box.run(config).ok().out.split()]


@requires(renice)
@pytest.mark.parametrize(
    ("policy", "members", "expected"),
    [
        ("SCHED_OTHER", {}, [0, 0, 0]),
        ("SCHED_OTHER", {"nice": 19}, [19, 0, 0]),
        ("SCHED_OTHER", {"nice": -5}, [-5, 0, 0]),
        ("SCHED_BATCH", {"nice": 7}, [7, 0, 3]),
        ("SCHED_IDLE", {}, [0, 0, 5]),
    ],
)
def test_policies(box: Box, userns: bool, policy: str, members: dict[str, Any], expected: list[int]) -> None:
    assert seen(box, with_policy(policy, **members), userns) == expected


@requires(renice)
def test_nice_is_zero_when_it_is_not_set(box: Box) -> None:
    """config.md: "If not set, the runtime must use the value 0", whatever the runtime's own is."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, 10)
    try:
        assert seen(box, default_config(*LOOK))[0] == 10
        box.ident = box.name("second")
        assert seen(box, with_policy("SCHED_BATCH")) == [0, 0, 3]
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


@requires(renice)
def test_reset_on_fork(box: Box) -> None:
    """SCHED_FLAG_RESET_ON_FORK: a child begins with nice 0 where the program has less (sched(7))."""
    config = with_policy("SCHED_OTHER", nice=-5, flags=["SCHED_FLAG_RESET_ON_FORK"])
    stat = "cut '-d ' -f19 /proc"
    assert box.shell(f"{stat}/$$/stat; {stat}/self/stat; :", config).split() == ["-5", "0"]
    box.ident = box.name("second")
    config["process"]["scheduler"]["flags"] = []
    assert box.shell(f"{stat}/$$/stat; {stat}/self/stat; :", config).split() == ["-5", "-5"]


@pytest.fixture
def realtime_cgroup(box: Box) -> Iterator[str]:
    """The path of cgroups with real-time bandwidth, for a container to use."""
    need(group_scheduling)
    folder = CPU / box.ident
    folder.mkdir()
    try:
        (folder / "cpu.rt_runtime_us").write_text("10000")
        yield f"/{box.ident}"
    finally:
        box.runtime.remove_all()
        if folder.exists():
            folder.rmdir()


@requires(fifo)
@pytest.mark.parametrize(("policy", "number"), [("SCHED_FIFO", 1), ("SCHED_RR", 2)])
def test_realtime_policies(box: Box, userns: bool, realtime_cgroup: str, policy: str, number: int) -> None:
    config = with_cgroup(with_policy(policy, priority=5), realtime_cgroup)
    assert seen(box, config, userns) == [0, 5, number]


@requires(fifo, group_scheduling)
def test_a_realtime_policy_without_bandwidth_is_refused(box: Box) -> None:
    box.write(with_policy("SCHED_FIFO", priority=5))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    expected = "/process/scheduler: set the scheduling policy SCHED_FIFO: sched_setattr: operation not permitted"
    assert sentence.endswith(expected)
    before.assert_unchanged()


@requires(deadline)
def test_deadline(box: Box, userns: bool) -> None:
    """The budget is the program's: a child could not be forked without SCHED_FLAG_RESET_ON_FORK."""
    assert seen(box, with_policy("SCHED_DEADLINE", **BUDGET), userns) == [0, 0, 6]
    box.ident = box.name("second")
    config = with_policy("SCHED_DEADLINE", flags=["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"], **BUDGET)
    text = box.shell("cut '-d ' -f41 /proc/$$/stat; cut '-d ' -f41 /proc/self/stat; :", config)
    assert text.split() == ["6", "0"]


@pytest.mark.parametrize(
    ("scheduler", "where", "words"),
    [
        ({"policy": "SCHED_OTHER", "nice": 20}, "/nice", "from -20 to 19"),
        ({"policy": "SCHED_BATCH", "priority": 1}, "/priority", "SCHED_BATCH has no priority"),
        ({"policy": "SCHED_FIFO", "priority": 100}, "/priority", "from 1 to 99"),
        ({"policy": "SCHED_FIFO", "runtime": 1}, "/runtime", "SCHED_FIFO has no runtime"),
        ({"policy": "SCHED_FIFO"}, "", "sched_setattr: invalid argument"),
        ({"policy": "SCHED_ISO"}, "", "sched_setattr: invalid argument"),
        ({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 1000, "period": 3000}, "", "invalid argument"),
        ({"policy": "SCHED_MAGIC"}, "/policy", "SCHED_MAGIC"),
    ],
)
def test_what_is_refused(box: Box, scheduler: dict[str, Any], where: str, words: str) -> None:
    box.write(changed(default_config(), "/process/scheduler", scheduler))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert f": /process/scheduler{where}: " in sentence
    assert words in sentence
    before.assert_unchanged()


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("IOPRIO_CLASS_RT", 0, "realtime: prio 0"),
        ("IOPRIO_CLASS_BE", 7, "best-effort: prio 7"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ],
)
def test_io_priority(box: Box, userns: bool, name: str, level: int, expected: str) -> None:
    """Of the program and of its children: the whole process group."""
    config = changed(default_config(), "/process/ioPriority", {"class": name, "priority": level})
    if userns:
        with_user_namespace(config)
    assert box.shell("ionice; ionice -p $$; :", config).splitlines() == [expected] * 2


def test_exec_has_its_own(box: Box) -> None:
    box.start_sleeper()
    process = with_policy("SCHED_BATCH", nice=3)["process"]
    assert box.runtime.exec_process(box.ident, process).ok().out.split() == ["3", "0", "3"]
    process = with_args(default_config(), "ionice")["process"] | {
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    }
    assert box.runtime.exec_process(box.ident, process).ok().out == "idle\n"


def affine(box: Box, **affinity: str) -> str:
    """Cpus_allowed_list of a program of `exec`."""
    process = default_config("cat", "/proc/self/status")["process"] | {"execCPUAffinity": affinity}
    return status_lines(box.runtime.exec_process(box.ident, process).ok().out)["Cpus_allowed_list"]


@requires(two_cpus)
def test_exec_on_final_cpus(box: Box) -> None:
    box.start_sleeper()
    assert affine(box, final="1") == "1"
    assert affine(box, initial="1", final="0") == "0"
    assert affine(box, initial="0", final="0-1") == "0-1"


@requires(two_cpus)
def test_without_final_the_kernel_decides(box: Box) -> None:
    """config.md: the runtime SHOULD NOT change the affinity after the move to the cgroup."""
    config = default_config()
    config["linux"]["resources"]["cpu"] = {"cpus": "1"}
    box.start_sleeper(config)
    assert affine(box, initial="0") == "1"
    assert affine(box, initial="0", final="") == "1"


@requires(two_cpus)
def test_the_affinity_is_not_for_the_first_process(box: Box) -> None:
    """config.md: "not applicable to the container's init process"; an `exec` of its process has it."""
    config = changed(default_config(), "/process/execCPUAffinity", {"initial": "1", "final": "1"})
    pid = box.start_sleeper(config)
    mine = status_lines(Path("/proc/self/status").read_text())["Cpus_allowed_list"]
    assert status_lines(Path(f"/proc/{pid}/status").read_text())["Cpus_allowed_list"] == mine
    assert status_lines(box.exec("cat /proc/self/status").ok().out)["Cpus_allowed_list"] == "1"


def by_hand(pid: int, cpu: str) -> str:
    """Cpus_allowed_list of a process that ran on `cpu` and then entered the cpuset of another: kernels differ."""
    rows = (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    tasks = next((f"/sys/fs/cgroup/cpuset{path}/tasks" for _, names, path in rows if names == "cpuset"), "/dev/null")
    script = f"echo $$ > {tasks}; exec cat /proc/self/status"
    done = subprocess.run(["taskset", "-c", cpu, "sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    return status_lines(done.stdout)["Cpus_allowed_list"]


@requires(two_cpus)
def test_the_initial_cpus_come_before_the_cgroup(box: Box) -> None:
    pid = box.start_sleeper()
    for cpu in "01":
        assert affine(box, initial=cpu) == by_hand(pid, cpu)


@requires(two_cpus)
def test_a_supervising_runtime_runs_on_its_own_cpus_again(box: Box) -> None:
    box.start_sleeper()
    process = default_config("sh", "-c", "echo ready; read line; :")["process"]
    process["execCPUAffinity"] = {"initial": "1"}
    file = box.directory / "process.json"
    file.write_text(json.dumps(process))
    words = [str(box.runtime.path), "--root", str(box.runtime.root), "exec", "--process", str(file), box.ident]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready\n"
        assert os.sched_getaffinity(supervisor.pid) == os.sched_getaffinity(0)
        supervisor.communicate(b"\n", timeout=20)
    assert supervisor.returncode == 0


@pytest.mark.parametrize(
    ("affinity", "where", "words"),
    [
        ({"initial": "2-1"}, "/execCPUAffinity/initial", "ends before it begins"),
        ({"final": "8191"}, "/execCPUAffinity/final", "sched_setaffinity: invalid argument"),
        ({"initial": "8191"}, "/execCPUAffinity/initial", "sched_setaffinity: invalid argument"),
        ({"final": "8192"}, "/execCPUAffinity/final", "no CPU has the number 8192"),
        ({"final": "0--1"}, "/execCPUAffinity/final", "'0--1' is not a list such as 0-3,7"),
        ({"final": "all"}, "/execCPUAffinity/final", "not acceptable"),
    ],
)
def test_affinities_that_are_refused(box: Box, affinity: dict[str, str], where: str, words: str) -> None:
    box.start_sleeper()
    process = default_config()["process"] | {"execCPUAffinity": affinity}
    sentence = one_sentence(box.runtime.exec_process(box.ident, process).expect(255))
    assert f"{where}: " in sentence
    assert words in sentence
