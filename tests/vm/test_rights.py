"""What needs CAP_SYS_RESOURCE: hard limits above the runtime's own, and a lower oom_score_adj."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_shell, with_user_namespace

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

RAISED = {
    "RLIMIT_MEMLOCK": resource.RLIMIT_MEMLOCK,
    "RLIMIT_NOFILE": resource.RLIMIT_NOFILE,
    "RLIMIT_SIGPENDING": resource.RLIMIT_SIGPENDING,
    "RLIMIT_CORE": resource.RLIMIT_CORE,
}
NAMES = {
    "RLIMIT_MEMLOCK": "Max locked memory",
    "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_SIGPENDING": "Max pending signals",
    "RLIMIT_CORE": "Max core file size",
}


def limited(config: Config, soft: int, hard: int, *names: str) -> Config:
    config["process"]["rlimits"] = [{"type": name, "soft": soft, "hard": hard} for name in names]
    return config


def seen(text: str) -> dict[str, list[str]]:
    """Soft and hard of /proc/PID/limits by the kernel's name."""
    lines = {name: line for line in text.splitlines() for name in NAMES.values() if line.startswith(name)}
    return {name: line[len(name) :].split()[:2] for name, line in lines.items()}


@pytest.mark.parametrize("user_namespace", [False, True])
def test_hard_limits_are_raised(box: Box, user_namespace: bool) -> None:
    """The calling shell has lowered its own first, so that each of them has to be raised."""
    config = limited(with_shell(default_config(), "cat /proc/self/limits"), 700, 90000, *RAISED)
    if user_namespace:
        with_user_namespace(config)
    bundle = box.write(config)
    call = f"{box.runtime.path} --root {box.runtime.root} run -b {bundle} {box.ident}"
    lower = "ulimit -n 512; ulimit -l 64; ulimit -i 600; ulimit -c 0"
    done = subprocess.run(
        ["bash", "-c", f"{lower}; exec {call}"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert seen(done.stdout) == {name: ["700", "90000"] for name in NAMES.values()}


def test_exec_raises_hard_limits(box: Box) -> None:
    box.start_sleeper(limited(default_config(), 100, 100, "RLIMIT_NOFILE"))
    config = limited(with_shell(default_config(), "cat /proc/self/limits"), 200, 90000, "RLIMIT_NOFILE")
    out = box.runtime.exec_process(box.ident, config["process"]).ok().out
    assert seen(out)["Max open files"] == ["200", "90000"]


def test_a_limit_above_the_kernel_s_own_is_refused(box: Box) -> None:
    above = int(Path("/proc/sys/fs/nr_open").read_text()) + 1
    result = box.run(limited(default_config(), above, above, "RLIMIT_NOFILE")).expect(1)
    sentence = one_sentence(result)
    assert "/process/rlimits/0" in sentence
    assert "operation not permitted" in sentence


@pytest.mark.parametrize("score", [-1000, -500, 0, 1000])
@pytest.mark.parametrize("user_namespace", [False, True])
def test_the_oom_score(box: Box, score: int, user_namespace: bool) -> None:
    config = default_config()
    config["process"]["oomScoreAdj"] = score
    if user_namespace:
        with_user_namespace(config)
    assert box.shell("cat /proc/self/oom_score_adj", config) == f"{score}\n"


def test_exec_lowers_the_oom_score(box: Box) -> None:
    box.start_sleeper()
    process = json.loads(json.dumps(with_shell(default_config(), "cat /proc/self/oom_score_adj")["process"]))
    process["oomScoreAdj"] = -300
    assert box.runtime.exec_process(box.ident, process).ok().out == "-300\n"
