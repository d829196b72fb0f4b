"""The suite never says pass to a runtime that does not do its work, nor when it fails itself."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.facility import need, root

from ocirun_conformance import case as cases
from ocirun_conformance.case import Case
from ocirun_conformance.judge import Judge, Settings
from ocirun_conformance.runtime import RUNC
from ocirun_conformance.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conformance.conftest import Suite

    from ocirun_conformance.trial import Trial

pytestmark = [pytest.mark.process]

ONE = ("--filter", "lifecycle.a_whole_life")


@pytest.mark.parametrize("line", ["exit 0", "exit 1", "exec sleep 1000"])
def test_a_runtime_that_does_nothing_fails(suite: Suite, script: Callable[[str, str], str], line: str) -> None:
    need(root)
    done = suite("--runtime", script("nothing", line), *ONE, "--timeout", "0.5", "--format", "json")
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["runtimes"][0]["cases"]
    assert found["outcome"] == "fail"
    assert ("did not return" in found["sentence"]) == ("sleep" in line)


@pytest.mark.parametrize(
    "words",
    [
        ("--runtime", "/nonexistent/runtime"),
        ("--runtime", "/"),
        ("--runtime", "true", "--requirement", "RT-999"),
        ("--runtime", "true", "--filter", "no such case"),
        ("--runtime", "true", "--jobs", "0"),
        ("true",),
        (),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(suite: Suite, words: tuple[str, ...]) -> None:
    done = suite(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ocirun-conformance: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("problem", [RuntimeError("a defect"), SystemExit(0)])
def test_an_exception_in_a_case_is_an_error(tmp_path: Path, problem: BaseException) -> None:
    def body(_trial: Trial) -> None:
        raise problem

    made = Case("made.up", "made up", ("RT-002",), (), False, body)
    judgement = Judge(["/bin/true"], Settings(tmp_path / "probe", RUNC), lambda _verdict: None).run([made])
    assert [each.outcome for each in judgement.verdicts] == [Outcome.ERROR]
    assert judgement.exit_code == 2


@pytest.mark.parametrize(
    ("features", "claims"), [("exit 1", "1.0.0"), ("""echo '{"ociVersionMax": "1.1.0"}'""", "1.1.0")]
)
def test_the_version_that_a_runtime_claims_is_told(
    suite: Suite, script: Callable[[str, str], str], features: str, claims: str
) -> None:
    line = f"""case "$1" in --version) printf 'named 1\\nspec: 1.0.0\\n' ;; features) {features} ;; *) exit 1 ;; esac"""
    done = suite("--runtime", script("named", line), *ONE, "--format", "json")
    (found,) = json.loads(done.stdout)["runtimes"]
    assert (found["version"], found["claims"]) == ("named 1", claims), done.stderr


def test_the_kept_commands_show_the_failure_again(
    suite: Suite, script: Callable[[str, str], str], tmp_path: Path
) -> None:
    need(root)
    runtime = script("refuses", "echo refused >&2; exit 3")
    done = suite("--runtime", runtime, *ONE, "--keep", str(tmp_path / "kept"), "--format", "json")
    (found,) = json.loads(done.stdout)["runtimes"][0]["cases"]
    again = subprocess.run(found["again"], shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (again.returncode, "FAIL lifecycle.a_whole_life" in again.stdout) == (1, True), again.stderr
    by_hand = subprocess.run(found["by_hand"], shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert "exit code 3" in by_hand.stdout
    assert "refused" in by_hand.stderr


def test_every_case_has_a_title_and_duties_of_one_level() -> None:
    from ocirun_conformance import catalogue

    known = catalogue.requirements()
    for case in cases.all_cases().values():
        assert case.title, case.name
        assert len({known[ident].level for ident in case.requirements}) == 1, case.name
