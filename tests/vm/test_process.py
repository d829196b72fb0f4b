"""Members of process with all capabilities at hand and without cgroup v1: rights, limits, policies, CPUs."""

from __future__ import annotations

import resource
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, status_lines
from process.test_capabilities import SETS, asking, warnings
from process.test_capabilities import seen as seen_sets
from process.test_rlimits import limited
from process.test_rlimits import seen as seen_limits
from process.test_scheduler import affine, with_policy
from process.test_scheduler import seen as seen_policy
from support.bundle import default_config, with_user_namespace

from ocirun_spec.names import CAPABILITIES, RLIMITS

if TYPE_CHECKING:
    from process.box import Box

LOWERED = {
    "RLIMIT_CPU": 3600,
    "RLIMIT_FSIZE": 1 << 32,
    "RLIMIT_DATA": 1 << 36,
    "RLIMIT_STACK": 1 << 23,
    "RLIMIT_CORE": 0,
    "RLIMIT_RSS": 1 << 36,
    "RLIMIT_NPROC": 2000,
    "RLIMIT_NOFILE": 500,
    "RLIMIT_MEMLOCK": 1 << 16,
    "RLIMIT_AS": 1 << 42,
    "RLIMIT_LOCKS": 500,
    "RLIMIT_SIGPENDING": 500,
    "RLIMIT_MSGQUEUE": 500,
    "RLIMIT_NICE": 0,
    "RLIMIT_RTPRIO": 0,
    "RLIMIT_RTTIME": 1 << 30,
}


def lower() -> None:
    """What a caller may have done to itself."""
    for name, value in LOWERED.items():
        resource.setrlimit(RLIMITS[name], (value, value))


@pytest.mark.parametrize("userns", [False, True])
def test_every_limit_is_raised(box: Box, userns: bool) -> None:
    assert set(LOWERED) == set(RLIMITS)
    limits = [{"type": name, "soft": value + 1, "hard": value + 2} for name, value in LOWERED.items()]
    config = with_user_namespace(limited(*limits)) if userns else limited(*limits)
    words = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-b", str(box.write(config)), box.ident]
    done = subprocess.run(
        words, preexec_fn=lower, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert seen_limits(done.stdout) == {name: [str(value + 1), str(value + 2)] for name, value in LOWERED.items()}


def test_every_capability_without_a_user_namespace(box: Box) -> None:
    result = box.run(asking({kind: list(CAPABILITIES) for kind in SETS})).ok()
    assert seen_sets(result.out) == dict.fromkeys(SETS, (1 << len(CAPABILITIES)) - 1)
    assert warnings(result) == []


@pytest.mark.parametrize("userns", [False, True])
@pytest.mark.parametrize(
    ("policy", "members", "expected"),
    [
        ("SCHED_FIFO", {"priority": 99}, [0, 99, 1]),
        ("SCHED_RR", {"priority": 1, "nice": 3}, [3, 1, 2]),
        ("SCHED_DEADLINE", {"runtime": 5_000_000, "deadline": 50_000_000, "period": 50_000_000}, [0, 0, 6]),
        ("SCHED_IDLE", {"nice": 4}, [4, 0, 5]),
        ("SCHED_BATCH", {"nice": -20}, [-20, 0, 3]),
    ],
)
def test_policies(box: Box, userns: bool, policy: str, members: dict[str, Any], expected: list[int]) -> None:
    assert seen_policy(box, with_policy(policy, **members), userns) == expected


def test_the_cpus_of_exec(box: Box) -> None:
    box.start_sleeper(changed(default_config(), "/linux/resources/cpu", {"cpus": "0-1"}))
    assert affine(box, final="1") == "1"
    assert affine(box, initial="1", final="0") == "0"
    first = status_lines(box.exec("cat /proc/1/status").ok().out)["Cpus_allowed_list"]
    assert first == "0-1", "what one `exec` runs on concerns nobody else"


def test_the_cpus_of_exec_stay_within_the_containers(box: Box) -> None:
    box.start_sleeper(changed(default_config(), "/linux/resources/cpu", {"cpus": "1"}))
    assert affine(box, initial="0") == "1"
    assert affine(box, initial="0", final="0-1") == "1"
