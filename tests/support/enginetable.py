"""The table engine × operation: `tests/engines` with one runtime beside another (`./dev engines`).

Rules: each runtime's tests run in a process of their own, with `OCIRUN_RUNTIME`; an operation is a test, the engine is
its file; the first runtime is the one that is judged.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

WORDS = OK, NOT_OK, SKIP = "ok", "not ok", "skip"
NAMES = {"containerd": "containerd", "cri": "CRI", "docker": "Docker", "podman": "Podman", "buildah": "Buildah"}
LANE = "not this lane: "
HALF = 200


class Outcome(NamedTuple):
    """What became of an operation: OK, NOT_OK or SKIP, and one line that says why."""

    word: str
    reason: str = ""


# pytest's name of the test → outcome
Outcomes = dict[str, Outcome]


def operation(test: str) -> tuple[str, str]:
    """Engine and operation in words, of `tests/engines/test_docker_life.py::test_a_thing[parameter]`."""
    file, _, function = test.partition("::")
    engine, *rest = Path(file).stem.removeprefix("test_").split("_")
    name, bracket, parameter = function.removeprefix("test_").partition("[")
    words = name.replace("_", " ") + (f" ({parameter.removesuffix(']')})" if bracket else "")
    return " ".join([NAMES.get(engine, engine.capitalize()), *rest]), words


class Collector:
    """A plugin of pytest: says each operation's outcome when it is known, instead of dots."""

    def __init__(self) -> None:
        self.outcomes: Outcomes = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        """Without a letter pytest prints nothing and counts all the same."""
        category, *_ = yield
        return category, "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Setup, call and teardown come one after the other; the first that fails decides."""
        outcome = self.outcomes.get(report.nodeid, Outcome(OK))
        if outcome.word != NOT_OK and not report.passed:
            outcome = _outcome(report)
        self.outcomes[report.nodeid] = outcome
        if report.when == "teardown":
            words = [*operation(report.nodeid), *filter(None, [outcome.reason])]
            print(f"{outcome.word:<6} {': '.join(words)}", flush=True)


def _outcome(report: pytest.TestReport) -> Outcome:
    if isinstance(report.longrepr, tuple):
        return Outcome(SKIP, report.longrepr[2].removeprefix("Skipped: ").removeprefix(LANE))
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    line = f"{report.when}: {' '.join(text.split())}"
    # The command is at the beginning, and what it said at the end.
    return Outcome(NOT_OK, line if len(line) <= 2 * HALF else f"{line[:HALF]} … {line[-HALF:]}")


def collect(runtime: str, arguments: Sequence[str]) -> Outcomes:
    """Run the tests with this runtime."""
    os.environ["OCIRUN_RUNTIME"] = runtime
    collector = Collector()
    pytest.main(["-q", "--tb=short", "--show-capture=no", *arguments], plugins=[collector])
    return collector.outcomes


def markdown(by_runtime: Mapping[str, Outcomes]) -> str:
    """A row for each operation, a column for each runtime, then a line for each outcome that has a reason."""
    tests = dict.fromkeys(test for outcomes in by_runtime.values() for test in outcomes)
    lines = [f"| engine | operation | {' | '.join(by_runtime)} |", "|---" * (2 + len(by_runtime)) + "|"]
    reasons = []
    for test in tests:
        row = {name: outcomes.get(test, Outcome(SKIP, "has not run")) for name, outcomes in by_runtime.items()}
        lines.append(f"| {' | '.join([*operation(test), *(outcome.word for outcome in row.values())])} |")
        for outcome in dict.fromkeys(outcome for outcome in row.values() if outcome.reason):
            names = ", ".join(name for name, one in row.items() if one == outcome)
            reasons.append(f"- {', '.join(operation(test))}: {outcome.word} with {names}: {outcome.reason}")
    counts = [
        f"- {name}: " + ", ".join(f"{[one.word for one in outcomes.values()].count(word)} {word}" for word in WORDS)
        for name, outcomes in by_runtime.items()
    ]
    return "\n".join([*lines, "", *counts, *reasons])


def behind(by_runtime: Mapping[str, Outcomes]) -> list[str]:
    """What fails with the first runtime, and works with another or has been tried with no other."""
    judged, *others = by_runtime.values()
    failed = [test for test, outcome in judged.items() if outcome.word == NOT_OK]
    return [test for test in failed if not others or any(one[test].word == OK for one in others)]


def measured(pool: Executor, runtime: str, tests: Sequence[str]) -> Outcomes:
    """Outcomes with one runtime; what fails is tried twice, since other programs of the machine can disturb a test."""
    outcomes = pool.submit(collect, runtime, tests).result()
    failed = [test for test, outcome in outcomes.items() if outcome.word == NOT_OK]
    for test, again in pool.submit(collect, runtime, failed).result().items() if failed else ():
        if again.word == OK:
            outcomes[test] = Outcome(OK, f"at the second try; at the first, {outcomes[test].reason}")
    return outcomes


def main(arguments: Sequence[str]) -> int:
    """Exit codes: 0 when nothing that works with another fails with the first runtime, 1 otherwise, 2 without tests."""
    parser = argparse.ArgumentParser(prog="./dev engines", description="tests/engines with runtimes side by side.")
    parser.add_argument("runtimes", nargs="+", metavar="RUNTIME", help="path of a further runtime")
    parser.add_argument("--only", action="append", metavar="TEST", help="file or test; repeatable")
    options = parser.parse_args(arguments)
    by_runtime: dict[str, Outcomes] = {}
    # Not a pool of multiprocessing: that one kills a test that is cleaning up after an interrupt.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for runtime in options.runtimes:
            print(f"\n{runtime}", flush=True)
            name = Path(runtime).name
            outcomes = measured(pool, runtime, options.only or ["tests/engines"])
            by_runtime[runtime if name in by_runtime else name] = outcomes
    print(f"\n{markdown(by_runtime)}")
    if not all(by_runtime.values()):
        return 2
    return 1 if behind(by_runtime) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
