"""The arithmetic and the drawing of the bench, and one real round of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bench.bundles import engine_config, seccomp_profile
from bench.chart import draw, nice_step
from bench.goals import goals
from bench.many import KIND
from bench.operations import OPERATIONS, lifecycle
from bench.report import ratio, tables
from bench.stats import summarize
from bench.timing import CommandFailedError, Spawner

from support import facility
from support.bundle import REPOSITORY
from support.command import run_command, wait_for
from support.facility import requires
from support.host import HostSnapshot, all_cgroups
from support.instructions import Counter, countable


def sample_pass() -> object:
    """Two runtimes, one bundle, three rounds."""
    times = {operation: {"runc": [2_000_000] * 3, "ocirun": [1_000_000] * 3} for operation in OPERATIONS}
    peaks = {operation: {"runc": [9000], "ocirun": [9000]} for operation in OPERATIONS}
    init = {kind: {"runc": [9000], "ocirun": [4500]} for kind in ("rss", "pss", "foreground")}
    return {
        "title": "a & b",
        "rounds": 3,
        "nanoseconds": {"minimal": times},
        "peak_kib": {"minimal": peaks},
        "init_kib": {"minimal": init},
        "instructions": {"minimal": {"run": {"ocirun": [6_600_400]}}},
        "calls": {},
        "within": {},
        "remarks": [],
    }


def test_summary_is_robust_against_an_outlier() -> None:
    assert summarize([10, 12, 11, 13, 1000]) == {"n": 5, "median": 12, "mad": 1, "min": 10, "max": 1000}


def test_ratio_is_against_the_baseline() -> None:
    summaries = {"runc": summarize([40]), "ocirun": summarize([10])}
    assert ratio(summaries, "ocirun") == "0.25x"
    assert ratio(summaries, "runc") == ""


def test_lifecycle_leaves_out_what_is_not_part_of_it() -> None:
    assert lifecycle({"create": 1, "start": 2, "state": 5, "kill": 3, "delete": 4, "run": 100, "exec": 100}) == 15


@pytest.mark.parametrize(("top", "step"), [(0.9, 0.2), (5, 1), (107, 50), (4.9, 1), (12, 5)])
def test_axis_steps_are_round(top: float, step: float) -> None:
    assert nice_step(top) == pytest.approx(step)


def test_tables_have_a_row_for_each_operation() -> None:
    times, memory, instructions = tables(sample_pass())  # type: ignore[arg-type]
    assert [row[0].replace("create+start+state+kill+delete", "lifecycle") for row in times.rows] == list(OPERATIONS)
    assert times.heads == ("ms", "ocirun median ±MAD", "min", "/ runc", "runc median ±MAD", "min")
    assert times.rows[0] == ("run", "1.00 ±0.00", "1.00", "0.50x", "2.00 ±0.00", "2.00")
    assert memory.rows[-2] == ("waiting init, PSS", "4.4", "0.50x", "8.8")
    assert (instructions.heads, instructions.rows) == (("thousands", "ocirun"), (("run", "6,600"),))


def test_chart_is_well_formed_and_has_a_bar_for_each_number() -> None:
    facts = {"cpu": "<cpu>", "cpus": 2, "kernel": "6", "runtimes": {"runc": {"version": "1"}}}
    root = ET.fromstring(draw([sample_pass()], facts))  # type: ignore[list-item]
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if one.get("x") == "210"]
    assert len(bars) == 2 * len(OPERATIONS)


def test_engine_bundle_has_the_shape_of_an_engine(tmp_path: Path) -> None:
    config = engine_config(tmp_path, "name")
    assert len(config["mounts"]) == 25
    assert all(Path(one["source"]).exists() for one in config["mounts"] if one["type"] == "bind")
    rules = seccomp_profile()["syscalls"]
    names = [name for rule in rules for name in rule["names"] if "args" not in rule]
    assert len(names) > 300
    assert len(names) == len(set(names))
    assert sum("args" in rule for rule in rules) >= 5


def test_spawner_reports_what_a_failing_command_said(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="exit code 3: reason"):
        Spawner(tmp_path).nanoseconds(["/bin/sh", "-c", "echo reason >&2; exit 3"])


@requires(facility.busybox)
def test_peak_memory_is_the_commands_and_not_this_interpreters(tmp_path: Path) -> None:
    ballast = bytearray(64 << 20)
    spawner = Spawner(tmp_path)
    small = spawner.peak_kib(["/bin/busybox", "true"])
    large = spawner.peak_kib(["/bin/busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=32M", "count=1"])
    assert small < 8 << 10 < 32 << 10 <= large < 48 << 10 < len(ballast) >> 10


@requires(facility.root, facility.busybox, countable)
def test_instructions_are_the_commands(tmp_path: Path) -> None:
    spawner, counter = Spawner(tmp_path), Counter(tmp_path)
    short, long = (spawner.instructions(counter, ["/bin/busybox", *words]) for words in (["true"], ["seq", "10000"]))
    assert 0 < short < 1_000_000 < long


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the bench makes its temporary directory; its name is the scope of what the bench may leave behind."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


def runc() -> str:
    """The bench's baseline is installed."""
    return "" if facility.find_program("runc") else "needs runc"


@requires(facility.busybox)
def test_adopted_process_is_reaped_while_a_command_waits_for_its_end(tmp_path: Path) -> None:
    """A shim reaps at once; without that the command here would wait for a zombie until its own time is over."""
    with subprocess.Popen(["sleep", "600"]) as victim:
        script = f"kill -9 {victim.pid}; n=0; while kill -0 {victim.pid} 2>/dev/null; do usleep 1000; n=$((n+1)); "
        script += "[ $n -lt 3000 ] || exit 9; done"
        spawner = Spawner(tmp_path)
        spawner.adopted = victim.pid
        spawner.nanoseconds(["/bin/busybox", "sh", "-c", script])


@pytest.mark.slow
@pytest.mark.privileged
@requires(facility.root, facility.busybox, runc)
def test_one_round_with_runc(tmp_path: Path, temporary: Path) -> None:
    before = HostSnapshot.take(scope=[str(temporary)])
    options = ["--only", "runc", "--runs", "1", "--many", "0.03", "--out", str(tmp_path / "out")]
    argv = [sys.executable, "-m", "bench", *options]
    done = run_command(argv, tmp_path / "call", cwd=REPOSITORY, timeout=120.0).ok()
    assert "minimal bundle · 1 runs each" in done.out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "runc does not run in valgrind, so nothing is counted" in done.out or countable(), done.out
    for kind in ("minimal", "engine"):
        assert set(results["passes"][0]["summary"]["nanoseconds"][kind]) == set(OPERATIONS)
    assert set(results["passes"][0]["summary"]["nanoseconds"][KIND]) == {"3 runs", "1 runs at once", "list of 15"}
    before.assert_unchanged()
    assert not list(temporary.iterdir())


def test_goals_are_judged_by_what_was_measured() -> None:
    rows = {row[:2]: row[2:] for row in goals([sample_pass()]).rows}  # type: ignore[list-item]
    assert rows["run", "minimal"] == ("-", "<= 1.5 x crun", "not measured")
    assert rows["exec", "minimal"] == ("0.50 x", "<= 0.6 x runc", "ok")
    assert rows["peak RSS of the largest against the other's", "minimal"] == ("1.00 x", "<= 0.8 x runc", "not ok")


@pytest.mark.slow
@pytest.mark.privileged
@requires(facility.root, facility.busybox, facility.containerd, facility.podman, runc)
def test_one_round_through_engines(tmp_path: Path) -> None:
    options = ["--engines", "containerd,Podman", "--only", "runc", "--runs", "1", "--out", str(tmp_path / "out")]
    done = run_command([sys.executable, "-m", "bench", *options], tmp_path / "call", cwd=REPOSITORY, timeout=120.0).ok()
    assert "note: cgroup" in done.out
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text())["passes"]
    assert set(result["nanoseconds"]) == {"containerd", "Podman"}
    for engine, operations in result["nanoseconds"].items():
        for operation, samples in operations.items():
            assert len(samples["runc"]) == 1
            assert result["within"][engine][operation]["runc"][0] > 0
            assert ("run" in operation) == (result["calls"][engine][operation]["runc"][0] > 1)


@pytest.mark.privileged
@requires(facility.root, facility.busybox, runc)
def test_interruption_leaves_nothing_behind(tmp_path: Path, temporary: Path) -> None:
    before = HostSnapshot.take(scope=[str(temporary)])
    argv = [sys.executable, "-m", "bench", "--only", "runc", "--pass", "host", "--out", str(tmp_path / "out")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: list(temporary.glob("*/runc/ocirun-bench-*")), 60.0, "a container of the bench")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60.0) == 130, (tmp_path / "log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    before.assert_unchanged()
    assert not list(temporary.iterdir())
    own = f"ocirun-bench-{process.pid}"
    assert not [path for path in all_cgroups() if own in path]
