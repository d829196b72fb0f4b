"""The options of the command line, its progress on a terminal, and its end by a signal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from conformance.left import in_bundles, nothing_is_left
from support.bundle import REPOSITORY
from support.command import wait_for
from support.console import Terminal
from support.facility import need, root
from support.runtime import runtime_path

from ocirun_conformance import case as cases
from ocirun_conformance import host, probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conformance.conftest import Suite

    Script = Callable[[str, str], str]

pytestmark = [pytest.mark.process, pytest.mark.privileged]

ONE = ("--filter", "lifecycle.a_whole_life")

OTHER_WORDS = """
while [ $# -gt 1 ]; do
    case $1 in
    --at) state=$2 ;;
    --from) bundle=$2 ;;
    --screen) screen=$2 ;;
    --name) name=$2 ;;
    --send) number=$2 ;;
    *) break ;;
    esac
    shift 2
done
case $1 in
make) exec RUNTIME --root "$state" create --bundle "$bundle" ${screen:+--console-socket "$screen"} "$name" ;;
go) exec RUNTIME --root "$state" start "$name" ;;
ask) exec RUNTIME --root "$state" state "$name" ;;
signal) exec RUNTIME --root "$state" kill "$name" "$number" ;;
forget) exec RUNTIME --root "$state" delete "$name" ;;
destroy) exec RUNTIME --root "$state" delete --force "$name" ;;
abilities) exec RUNTIME features ;;
who) echo "made for this test" ;;
*) exit 64 ;;
esac
"""

ADAPTER = """
create = ["--at", "{root}", "--from", "{bundle}", "{console}", "--name", "{id}", "make"]
console = ["--screen", "{console_socket}"]
start = ["--at", "{root}", "--name", "{id}", "go"]
state = ["--at", "{root}", "--name", "{id}", "ask"]
kill = ["--at", "{root}", "--name", "{id}", "--send", "{signal}", "signal"]
delete = ["--at", "{root}", "--name", "{id}", "forget"]
force = ["--at", "{root}", "--name", "{id}", "destroy"]
features = ["abilities"]
version = ["who"]
"""


def outcomes(text: str) -> dict[str, str]:
    """The outcome of each case in a JSON report of one runtime."""
    (found,) = json.loads(text)["runtimes"]
    return {each["name"]: each["outcome"] for each in found["cases"]}


def test_an_adapter_spells_every_operation(suite: Suite, script: Script, tmp_path: Path) -> None:
    need(root)
    runtime = script("other", OTHER_WORDS.replace("RUNTIME", str(runtime_path())))
    chosen = (*ONE, "--filter", "terminal.a_terminal", "--format", "json")
    adapter = tmp_path / "adapter.toml"
    adapter.write_text(ADAPTER)
    done = suite("--runtime", runtime, "--adapter", str(adapter), *chosen)
    assert outcomes(done.stdout) == {"lifecycle.a_whole_life": "pass", "terminal.a_terminal": "pass"}, done.stdout
    assert done.returncode == 0
    assert json.loads(done.stdout)["runtimes"][0]["version"] == "made for this test"
    assert set(outcomes(suite("--runtime", runtime, *chosen).stdout).values()) == {"fail"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('crate = ["x"]', "there is no operation crate"),
        ('create = "x"', "create must be a list of strings"),
        ("create = [1]", "create must be a list of strings"),
        ("create = [", ""),
        (None, "No such file"),
    ],
)
def test_an_adapter_that_is_none_is_told(suite: Suite, tmp_path: Path, text: str | None, said: str) -> None:
    need(root)
    adapter = tmp_path / "adapter.toml"
    if text is not None:
        adapter.write_text(text)
    done = suite("--runtime", "true", "--adapter", str(adapter), *ONE)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert str(adapter) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_probe_that_is_given_is_used(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    need(root)
    built = probe.build()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runtime = ("--runtime", str(runtime_path()), *ONE)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = suite(*runtime)
    assert (done.returncode, "install a compiler" in done.stderr) == (2, True), done.stderr
    done = suite(*runtime, "--probe", str(built))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "cache").exists()
    # one that is not the probe shows that it is this file that runs
    assert suite(*runtime, "--probe", script("no-probe", "exit 0")).returncode == 1
    done = suite(*runtime, "--probe", str(tmp_path / "nothing"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_what_is_chosen_is_listed(suite: Suite) -> None:
    def listed(*words: str) -> set[str]:
        done = suite("--list", *words)
        assert (done.returncode, done.stderr) == (0, "")
        return {line.split("\t")[0] for line in done.stdout.splitlines()}

    every = cases.all_cases()
    assert listed() == set(every)
    assert listed("--level", "should") == {name for name, each in every.items() if each.level == "should"}
    cited = {name for name, each in every.items() if {"RT-023", "CFG-007"} & set(each.requirements)}
    assert listed("--requirement", "RT-023", "--requirement", "CFG-007") == cited
    both = {name for name in cited if "lifecycle" in name}
    assert listed("--requirement", "RT-023", "--requirement", "CFG-007", "--filter", "lifecycle") == both
    assert both
    lines = suite("--list", *ONE).stdout.splitlines()
    assert lines == [f"lifecycle.a_whole_life\tmust\tRT-023 RT-046 RT-051 RT-055\t{every[ONE[1]].title}"]


def test_only_what_is_chosen_is_judged(suite: Suite) -> None:
    need(root)
    words = ("--filter", "lifecycle.", "--level", "must", "--requirement", "RT-008", "--format", "json")
    done = suite("--runtime", str(runtime_path()), *words)
    assert outcomes(done.stdout) == {"lifecycle.members_of_the_state": "pass"}


@pytest.mark.parametrize(("jobs", "tries", "meet"), [("1", 5, False), ("2", 500, True)])
def test_jobs_are_cases_side_by_side(
    suite: Suite, script: Script, tmp_path: Path, jobs: str, tries: int, meet: bool
) -> None:
    need(root)
    (tmp_path / "here").mkdir()
    body = f"""
case " $* " in *" create "*) ;; *) exit 1 ;; esac
cd {tmp_path}
mkdir here/$$
for each in $(seq {tries}); do
    set -- here/*
    [ $# -eq 1 ] || touch met
    [ ! -e met ] || break
    sleep 0.01
done
rmdir here/$$
exit 1"""
    done = suite("--runtime", script("meets", body), "--filter", "lifecycle.", "--jobs", jobs)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "met").exists() == meet


def test_it_stops_at_so_many_failures(suite: Suite) -> None:
    need(root)
    done = suite("--runtime", "false", "--filter", "operations.", "--jobs", "1", "--stop-at", "2", "--format", "json")
    found = list(outcomes(done.stdout).values())
    assert (found.count("fail"), found[-1]) == (2, "fail")


def test_compare_keeps_apart_what_failed(suite: Suite, script: Script, tmp_path: Path) -> None:
    need(root)
    runtimes = [str(runtime_path()), script("refuses", "exit 3"), script("does-nothing", "exit 0")]
    done = suite("compare", *runtimes, *ONE, "--keep", str(tmp_path / "kept"), "--output", str(tmp_path / "report"))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    kept = {str(each.parent.relative_to(tmp_path / "kept")) for each in tmp_path.glob("kept/**/by-hand.sh")}
    assert kept == {"refuses/lifecycle-a-whole-life", "does-nothing/lifecycle-a-whole-life"}
    assert re.search(r"RT-023 +MUST +pass +fail +fail", (tmp_path / "report").read_text())


@pytest.mark.parametrize("operation", ["create", "start", "state", "kill", "delete"])
def test_a_runtime_that_hangs_in_one_operation_is_killed(
    suite: Suite, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    need(root)
    body = f'case " $* " in *" {operation} "*) exec sleep 1000 ;; esac\nexec {runtime_path()} "$@"'
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = suite("--runtime", script("hangs", body), *ONE, "--timeout", "1", "--format", "json")
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["runtimes"][0]["cases"]
    assert found["outcome"] == "fail"
    assert found["sentence"].startswith("the runtime did not return within 1 s and was killed: ")
    assert f" {operation} " in found["sentence"]
    nothing_is_left(tmp_path)


@contextmanager
def running(*words: str, folder: Path, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The suite under way, in a session of its own, with its files in a folder."""
    path = f"{REPOSITORY}/spec:{REPOSITORY}/conformance"
    with subprocess.Popen(
        [sys.executable, "-m", "ocirun_conformance", *words],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder), "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_and_nothing_is_left(
    tmp_path: Path, script: Script, number: signal.Signals, hangs: bool
) -> None:
    need(root)
    body = f'case " $* " in *" kill "*) exec sleep 1000 ;; esac\nexec {runtime_path()} "$@"'
    runtime = script("hangs", body) if hangs else str(runtime_path())
    # Of the others some call kill before they have a container.
    some = "operations.kill_sends" if hangs else "operations."
    with running("--runtime", runtime, "--filter", some, folder=tmp_path) as process:
        wait_for(lambda: any(host.is_in_bundle(pid, tmp_path) for pid in in_bundles(tmp_path)), what="a container")
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (out, err) == ("", f"ocirun-conformance: interrupted by {number.name}, and cleaned up\n")
    nothing_is_left(tmp_path)
    assert host.cgroup_folders(f"/ocirun-conformance-{process.pid}") == []


def test_a_terminal_shows_how_long_it_takes(tmp_path: Path) -> None:
    """The report alone goes to standard output."""
    need(root)
    ours, theirs = pty.openpty()
    words = ("compare", str(runtime_path()), "/bin/false", "--filter", "lifecycle.", "--format", "tap")
    with Terminal(ours) as terminal, running(*words, folder=tmp_path, stderr=theirs) as process:
        os.close(theirs)
        shown = terminal.read_to_end(60)
        out, _ = process.communicate(timeout=60)
    total = 2 * sum("lifecycle." in name for name in cases.all_cases())
    assert f"{total}/{total}" in shown
    assert "ETA" in shown
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert "fail false lifecycle.a_whole_life: create failed" in shown
    assert "ocirun" in shown
    assert out.startswith("TAP version")
    assert "\x1b" not in out


def test_without_a_terminal_there_is_no_progress(suite: Suite) -> None:
    need(root)
    done = suite("--runtime", str(runtime_path()), *ONE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "ETA" not in done.stdout


def test_a_plain_user_judges_rootless_containers(plain_suite: Suite) -> None:
    words = "lifecycle. namespaces. mounts.o mounts.default paths. operations.c devices.owner hook_moments.in_create"
    filters = [word for text in [*words.split(), "credentials.cap"] for word in ("--filter", text)]
    done = plain_suite("--rootless", *filters, "--format", "json")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    verdicts: list[dict[str, Any]] = json.loads(done.stdout)["runtimes"][0]["cases"]
    assert {each["outcome"] for each in verdicts} == {"pass", "not run"}
    passed = {each["name"] for each in verdicts if each["outcome"] == "pass"}
    assert {"lifecycle.a_whole_life", "namespaces.is_not_shared[ipc]", "mounts.default_filesystems"} <= passed
    not_run = {each["sentence"] for each in verdicts if each["outcome"] == "not run"}
    assert {reason for reason in not_run if "root" not in reason} == set()


def test_who_is_root_is_not_rootless_and_the_other_way_round(suite: Suite, plain_suite: Suite) -> None:
    for done in (suite("--runtime", "true", "--rootless", *ONE), plain_suite(*ONE)):
        assert (done.returncode, done.stdout) == (2, "")
        assert "root" in done.stderr
        assert done.stderr.count("\n") == 1
