"""The table of the engines' tests: how it reads what pytest says, and what it calls a failure."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from support.bundle import REPOSITORY
from support.command import run_command
from support.enginetable import NOT_OK, OK, SKIP, Outcome, Outcomes, behind, markdown, operation

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
import os, pathlib, pytest

@pytest.mark.parametrize("code", [0, 1])
def test_exit_codes(code):
    assert code == 0 and os.environ["OCIRUN_RUNTIME"] == "/bin/false"

def test_stop():
    pytest.skip("not this lane: no signals")

@pytest.fixture
def host():
    yield
    first = pathlib.Path(__file__).with_name("first")
    if not first.exists():
        first.touch()
        raise AssertionError("left behind")

def test_clean(host):
    pass
"""
OUTCOMES: Outcomes = {
    "tests/engines/test_docker_life.py::test_exit_codes[0]": Outcome(OK),
    "tests/engines/test_docker_life.py::test_exit_codes[1]": Outcome(NOT_OK, "call: it broke"),
    "tests/engines/test_cri_pods.py::test_stop": Outcome(SKIP, "no signals"),
}
TABLE = """\
| engine | operation | ocirun | runc |
|---|---|---|---|
| Docker life | exit codes (0) | ok | ok |
| Docker life | exit codes (1) | ok | not ok |
| CRI pods | stop | skip | skip |

- ocirun: 2 ok, 0 not ok, 1 skip
- runc: 1 ok, 1 not ok, 1 skip
- Docker life, exit codes (1): not ok with runc: call: it broke
- CRI pods, stop: skip with ocirun, runc: no signals"""


def with_all_ok() -> Outcomes:
    return {test: one if one.word == SKIP else Outcome(OK) for test, one in OUTCOMES.items()}


def test_names_become_words() -> None:
    assert operation("tests/engines/test_stats.py::test_docker_disk") == ("Stats", "docker disk")


def test_rows_are_operations_and_reasons_are_below() -> None:
    assert markdown({"ocirun": with_all_ok(), "runc": OUTCOMES}) == TABLE


def test_only_what_works_with_another_is_a_failure() -> None:
    broken = ["tests/engines/test_docker_life.py::test_exit_codes[1]"]
    assert behind({"ocirun": OUTCOMES, "runc": with_all_ok()}) == broken
    assert behind({"ocirun": OUTCOMES, "runc": OUTCOMES}) == []
    assert behind({"ocirun": OUTCOMES}) == broken
    assert behind({"ocirun": with_all_ok(), "runc": OUTCOMES}) == []


def test_run_of_a_file(tmp_path: Path) -> None:
    """A failure that does not come again is told, and is none."""
    (tmp_path / "test_docker_life.py").write_text(TESTS)
    argv = [sys.executable, "-m", "support.enginetable", "/bin/false", "--only", "test_docker_life.py"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
    done = run_command(argv, tmp_path / "call", cwd=tmp_path, env=env, timeout=120.0)
    assert done.code == 1, done
    for line in (
        "not ok Docker life: exit codes (1): call: assert (1 == 0",
        "skip   Docker life: stop: no signals",
        "| Docker life | exit codes (1) | not ok |",
        "- false: 2 ok, 1 not ok, 1 skip",
        "- Docker life, clean: ok with false: at the second try; at the first, teardown: AssertionError: left behind",
    ):
        assert f"\n{line}" in done.out
