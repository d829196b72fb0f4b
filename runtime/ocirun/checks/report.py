"""The problems of a config for people, for programs, and for what shows them beside the source (SARIF 2.1.0)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ocirun import VERSION
from ocirun.log import printable
from ocirun_spec import jsontext

if TYPE_CHECKING:
    from ocirun_spec.problem import Problem

KINDS = {
    "json": "The file is JSON as RFC 8259 has it, and cannot be understood in two ways.",
    "schema": "Each property has the type and the range that the OCI runtime specification gives it.",
    "rule": "Properties fit together.",
    "caution": "What is ignored is not what was meant.",
    "runtime": "ocirun does what the config asks for.",
    "host": "This host can do what the config asks for.",
}
"""What is checked, by `Problem.kind`."""
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_COLOURS = {"error": "1;31", "warning": "1;33", "place": "1", "caret": "1;32", "hint": "36", "expected": "36"}


def text(problems: list[Problem], source: str, host: bool) -> str:
    """One paragraph a problem, as `file:line:column: severity: /pointer: message`, and a line that counts them."""
    lines = [printable(line) for problem in problems for line in _paragraph(problem)]
    return "\n".join([*lines, printable(_summary(problems, source, host))]) + "\n"


def coloured(problems: list[Problem], source: str, host: bool, config: str) -> str:
    """The same for a terminal, with the line of the config and a caret below the place."""
    lines = []
    for problem in problems:
        head, *details = _paragraph(problem)
        place, word, message = head.partition(f" {problem.severity}: ")
        lines.append(f"{_paint(place, 'place')} {_paint(word.strip(), problem.severity)} {printable(message)}")
        shown, caret = jsontext.JSONError("", offset(config, problem), config).excerpt().split("\n")
        lines += [f"    {shown}", f"    {_paint(caret, 'caret')}"]
        for each in details[len(problem.excerpt.splitlines()) :]:
            name, _, words = each.strip().partition(": ")
            lines.append(f"    {_paint(name + ':', name)} {printable(words)}")
    return "\n".join([*lines, _paint(_summary(problems, source, host), "place")]) + "\n"


def as_json(problems: list[Problem], source: str) -> str:
    """An object with the counts and the list."""
    names = ("severity", "kind", "line", "column", "pointer", "message", "expected", "hint")
    document = {
        "config": source,
        "errors": _count(problems, "error"),
        "warnings": _count(problems, "warning"),
        "problems": [{name: getattr(problem, name) for name in names} for problem in problems],
    }
    return jsontext.pretty(document) + "\n"


def sarif(problems: list[Problem], source: str) -> str:
    """A log with one run of one tool; columns count characters."""
    rules = [{"id": kind, "shortDescription": {"text": words}} for kind, words in KINDS.items()]
    run = {
        "tool": {"driver": {"name": "ocirun", "version": VERSION, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, _uri(source)) for problem in problems],
    }
    return jsontext.pretty({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _result(problem: Problem, uri: str) -> dict[str, Any]:
    said = [problem.message, *(f"{name}: {words}" for name, words in _advice(problem))]
    region = {"startLine": problem.line, "startColumn": problem.column}
    return {
        "ruleId": problem.kind,
        "ruleIndex": list(KINDS).index(problem.kind),
        "level": problem.severity,
        "message": {"text": "\n".join(said)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": uri}, "region": region},
                "logicalLocations": [{"fullyQualifiedName": problem.pointer, "kind": "property"}],
            }
        ],
    }


def _uri(source: str) -> str:
    """Relative as it was named, so that it counts from the checkout; else a file URI (RFC 8089)."""
    path = os.fsencode(source)
    return f"file://{quote(path)}" if path.startswith(b"/") else quote(path)


def offset(config: str, problem: Problem) -> int:
    """The character of the config that a problem's line and column name."""
    start = 0
    for _ in range(problem.line - 1):
        start = config.index("\n", start) + 1
    return start + problem.column - 1


def _paragraph(problem: Problem) -> list[str]:
    place = f"{problem.source}:{problem.line}:{problem.column}:"
    where = f"{problem.pointer}: " if problem.pointer else ""
    details = [*problem.excerpt.splitlines(), *(f"{name}: {words}" for name, words in _advice(problem))]
    return [f"{place} {problem.severity}: {where}{problem.message}", *(f"    {line}" for line in details)]


def _advice(problem: Problem) -> list[tuple[str, str]]:
    return [(name, words) for name, words in (("expected", problem.expected), ("hint", problem.hint)) if words]


def _summary(problems: list[Problem], source: str, host: bool) -> str:
    counts = [
        f"{count} {severity}{'s' if count != 1 else ''}"
        for severity in ("error", "warning")
        if (count := _count(problems, severity))
    ]
    unseen = "" if host else " (the host was not looked at: --host does that)"
    return f"{source}: {', '.join(counts) or 'no problems'}{unseen}"


def _count(problems: list[Problem], severity: str) -> int:
    return sum(problem.severity == severity for problem in problems)


def _paint(words: str, what: str) -> str:
    return f"\x1b[{_COLOURS[what]}m{printable(words)}\x1b[0m"
