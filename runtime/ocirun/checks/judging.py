"""All problems of a config: of its text, of what this release refuses, and if asked of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun import checks
from ocirun_spec import jsontext, problems, sound
from ocirun_spec.positions import Positions
from ocirun_spec.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks import Finding
    from ocirun_spec.problem import Kind


def judge(text: str, source: str, bundle: str, host: bool, systemd: bool) -> list[Problem]:
    """In the order of the text, each once. source: the file's name to show; bundle: its directory, absolute.

    host, systemd: whether the host is looked at, and whether its systemd is to manage the cgroup.
    """
    found = problems.explain(text, source)
    try:
        rest = sound.of_the_rules(jsontext.loads(text))
    except jsontext.JSONError:
        return found
    if rest is None:
        return found
    positions = Positions(text)
    for kind, finding in _findings(checks.Subject(rest.config, bundle, systemd, doubts=rest.near), host):
        if finding.pointer and rest.near(finding.pointer):
            continue
        line, column = positions.line_column(finding.pointer)
        found.append(
            Problem(
                source, line, column, finding.pointer, finding.message,
                hint=finding.hint, severity=finding.severity, kind=kind,
            )
        )  # fmt: skip
    sure = {problem.pointer for problem in found if problem.kind == "host"}
    found = [problem for problem in found if problem.kind != "caution" or problem.pointer not in sure]
    once = {(problem.pointer, problem.message): problem for problem in reversed(found)}
    return sorted(once.values(), key=lambda problem: (problem.line, problem.column))


def undecodable(error: jsontext.JSONError, source: str) -> Problem:
    """The one problem of a file that is no text."""
    return Problem(source, error.line, error.column, "", error.message, kind="json")


def _findings(subject: checks.Subject, host: bool) -> Iterator[tuple[Kind, Finding]]:
    for finding in checks.of_the_runtime(subject):
        yield "runtime", finding
    for finding in checks.of_the_host(subject) if host else ():
        yield "host", finding
