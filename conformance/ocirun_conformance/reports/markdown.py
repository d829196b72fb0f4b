"""Markdown, for an issue or a summary of continuous integration: the numbers, the matrix, the failures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocirun_conformance.verdict import Outcome

from .matrix import WORDS, count, labels, matrix
from .plain import line, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocirun_conformance.verdict import Judgement, Verdict

    from .matrix import Cell, Row

LONGEST = 2000

_SIGNS = {"pass": "pass", "fail": "**fail**", "error": "**error**", "not run": "not run", "not judged": "–"}


def markdown(judgements: Sequence[Judgement]) -> str:
    """The document."""
    rows = matrix(judgements)
    names = [_text(name) for name in labels([judgement.program for judgement in judgements])]
    lines = ["# Conformance with the OCI runtime specification", ""]
    lines += [*_numbers(judgements, names, rows), "", *_matrix(rows, names)]
    for name, judgement in zip(names, judgements, strict=True):
        lines += _failures(name, judgement)
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """In one line, and with nothing in it that means something."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&])", r"\\\1", " ".join(printable(text).split()))


def _code(text: str) -> list[str]:
    """A block that nothing in it can end."""
    text = shortened(text, LONGEST).rstrip("\n")
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text, fence]


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(each) for each in cells)} |"


def _numbers(judgements: Sequence[Judgement], names: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    yield _row("runtime", "version", "claims", *(f"{word}" for word in WORDS), "MUST that fail")
    yield _row(*["---"] * (len(WORDS) + 4))
    for index, (name, judgement) in enumerate(zip(names, judgements, strict=True)):
        must = sum(row.requirement.level == "must" and row.cells[index].outcome == "fail" for row in rows)
        claims = _text(judgement.claims or "–")
        yield _row(name, _text(judgement.version), claims, *count(rows, index).values(), must)


def _matrix(rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    told = [row for row in rows if not row.left_out]
    if len(told) < len(rows):
        yield f"No case of this run cites {len(rows) - len(told)} of the {len(rows)} duties; they are left out."
        yield ""
    yield _row("duty", "word", "section", "demand", *names)
    yield _row(*["---"] * (4 + len(names)))
    for row in told:
        found = row.requirement
        yield _row(found.ident, found.word, found.section, _text(found.demand), *map(_cell, row.cells))


def _cell(cell: Cell) -> str:
    return f"{_SIGNS[cell.outcome]}{': ' if cell.reason else ''}{_text(cell.reason)}"


def _failures(name: str, judgement: Judgement) -> Iterator[str]:
    failed = [each for each in judgement.verdicts if each.outcome in (Outcome.FAIL, Outcome.ERROR)]
    if failed:
        yield from ("", f"## Failures of {name}")
    for verdict in failed:
        yield from ("", f"### {_text(verdict.case.name)}", "")
        yield f"{_text(verdict.case.title)} ({verdict.case.level}: {' '.join(verdict.case.requirements)})"
        yield from ("", *_code(_details(verdict)))


def _details(verdict: Verdict) -> str:
    lines = [verdict.sentence.strip()]
    if verdict.expected is not None:
        lines.append(f"expected: {line(verdict.expected)}")
    if verdict.seen is not None:
        lines.append(f"seen: {line(verdict.seen)}")
    if verdict.calls:
        call = verdict.calls[-1]
        lines.append(f"last call: {line(call.argv)}: exit code {call.code}")
        lines += [call.err.strip()] if call.err.strip() else []
    return "\n".join(lines)
