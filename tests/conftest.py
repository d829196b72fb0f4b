"""What holds for every test: in continuous integration a skip needs a reason that names the lane it is for.

A test that cannot run on this kind of machine skips with a reason that begins with ``not this lane:``. Any other skip
means that the lane is not set up as it should be, and with CI=true (or OCIRUN_CI=true) that fails the run; on the lanes
of the emulated machines (OCIRUN_LANE is one of EMULATED) it always does. ABSENT lists what a lane is known to lack, by
the beginning of the reasons that the probes give.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from support.pages import Block

LANE = "not this lane:"
EMULATED = ("vm", "selinux", "systemd")
ABSENT = dict.fromkeys(EMULATED, ("needs the cgroup v1 controllers",))
unjustified: list[str] = []


def _lane() -> str:
    return os.environ.get("OCIRUN_LANE", "")


def _is_ci() -> bool:
    return _lane() in EMULATED or "true" in (os.environ.get("CI"), os.environ.get("OCIRUN_CI"))


@pytest.fixture(scope="session")
def lane() -> str:
    """The lane that runs: one of EMULATED, or "" for the machine that `./dev test` is called on."""
    return _lane()


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> list[Block]:
    """What the test's marks `executes` claim."""
    from support.pages import shell_blocks

    return [block for mark in request.node.iter_markers("executes") for block in shell_blocks(*mark.args)]


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return
    reason = str(report.longrepr[2]).removeprefix("Skipped: ")
    if not reason.startswith((LANE, *ABSENT.get(_lane(), ()))):
        unjustified.append(f"{report.nodeid}: {reason}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the skips of tests and fixtures."""
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Collect the skips of whole modules."""
    _note(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for a skip that no lane explains."""
    if unjustified and _is_ci() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Name the skips that failed the run."""
    if unjustified and _is_ci():
        terminalreporter.section("skips that no lane explains")
        for line in unjustified:
            terminalreporter.write_line(line)
