"""For people at a terminal: the failures in full, what was not run, with several runtimes the matrix, the numbers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ocirun_conformance.verdict import Outcome

from .matrix import count, labels, matrix
from .plain import line, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocirun_conformance.verdict import Judgement, Verdict

    from .matrix import Row

LONGEST = 2000


def text(judgements: Sequence[Judgement]) -> str:
    """One part for each runtime, then the matrix, then the numbers."""
    rows = matrix(judgements)
    names = labels([judgement.program for judgement in judgements])
    lines = [each for judgement in judgements for each in _findings(judgement)]
    if len(judgements) > 1:
        lines += _matrix(rows, names)
    for index, judgement in enumerate(judgements):
        lines += _numbers(judgement, rows, index)
    return "".join(f"{printable(each)}\n" for each in lines)


def _findings(judgement: Judgement) -> Iterator[str]:
    yield f"{judgement.program} ({judgement.version})"
    for verdict in judgement.verdicts:
        if verdict.outcome in (Outcome.FAIL, Outcome.ERROR):
            yield from _failure(verdict)
        for left in verdict.left:
            yield f"  left behind by {verdict.case.name}: {left}"
    reasons: dict[str, list[str]] = {}
    for verdict in judgement.verdicts:
        if verdict.outcome is Outcome.NOT_RUN:
            reasons.setdefault(verdict.sentence, []).append(verdict.case.name)
    for reason, cases in reasons.items():
        yield f"  not run: {reason}: {', '.join(cases)}"


def _failure(verdict: Verdict) -> Iterator[str]:
    word = "FAIL" if verdict.outcome is Outcome.FAIL else "ERROR"
    yield f"  {word} {verdict.case.name} ({verdict.case.level}: {' '.join(verdict.case.requirements)})"
    yield f"    {verdict.case.title}"
    yield from (f"    {each}" for each in verdict.sentence.splitlines())
    if verdict.expected is not None:
        yield f"    expected: {shortened(line(verdict.expected), LONGEST)}"
    if verdict.seen is not None:
        yield f"    seen:     {shortened(line(verdict.seen), LONGEST)}"
    for call in verdict.calls[-3:]:
        if call.code:
            yield f"    {shlex.join(call.argv)}: exit code {call.code}: {call.err.strip()[-300:]}"
    if verdict.kept:
        yield f"    again:    {verdict.kept}"
        yield f"    by hand:  {verdict.by_hand}"


def _matrix(rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    """Only the rows in which not all is well: of the others there are many."""
    judged = [row for row in rows if not row.left_out]
    told = [row for row in judged if any(cell.outcome in ("fail", "error") for cell in row.cells)]
    widths = [max(10, len(name)) for name in names]
    head = "".join(f"  {name:{size}}" for name, size in zip(names, widths, strict=True))
    yield ""
    width = max([8, *(len(row.requirement.ident) for row in told)])
    yield f"{'duty':{width}} {'word':8}{head}  demand"
    for row in told:
        cells = "".join(f"  {cell.outcome:{size}}" for cell, size in zip(row.cells, widths, strict=True))
        yield f"{row.requirement.ident:{width}} {row.requirement.word:8}{cells}  {row.requirement.demand}"
    yield f"{len(judged) - len(told)} duties more fail with none"
    yield ""


def _numbers(judgement: Judgement, rows: Sequence[Row], index: int) -> Iterator[str]:
    cases = ", ".join(f"{judgement.count(outcome)} {outcome.value}" for outcome in Outcome)
    duties = ", ".join(f"{number} {word}" for word, number in count(rows, index).items())
    claims = f" (claims specification {judgement.claims})" if judgement.claims else ""
    yield f"{judgement.program}{claims}"
    yield f"  cases:  {cases}; MUST that fail: {judgement.count(Outcome.FAIL, 'must')}; {judgement.seconds:.1f} s"
    yield f"  duties: {duties}"
