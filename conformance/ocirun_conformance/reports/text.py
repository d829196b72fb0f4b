"""For people at a terminal: the failures in full, then the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocirun_conformance.verdict import Judgement, Verdict


def text(judgements: Sequence[Judgement]) -> str:
    """One part per runtime."""
    return "".join(f"{line}\n" for judgement in judgements for line in _lines(judgement))


def _lines(judgement: Judgement) -> Iterator[str]:
    yield f"{judgement.program} ({judgement.version})"
    for verdict in judgement.verdicts:
        if verdict.outcome in (Outcome.FAIL, Outcome.ERROR):
            yield from _failure(verdict)
        for left in verdict.left:
            yield f"  left behind by {verdict.case.name}: {left}"
    reasons = [each for each in judgement.verdicts if each.outcome is Outcome.NOT_RUN]
    for verdict in reasons:
        yield f"  not run: {verdict.case.name}: {verdict.sentence}"
    numbers = ", ".join(f"{judgement.count(outcome)} {outcome.value}" for outcome in Outcome)
    yield f"  {numbers}; MUST that fail: {judgement.count(Outcome.FAIL, 'must')}; {judgement.seconds:.1f} s"


def _failure(verdict: Verdict) -> Iterator[str]:
    word = "FAIL" if verdict.outcome is Outcome.FAIL else "ERROR"
    yield f"  {word} {verdict.case.name} ({verdict.case.level}: {' '.join(verdict.case.requirements)})"
    yield f"    {verdict.case.title}"
    yield from (f"    {line}" for line in verdict.sentence.splitlines())
    if verdict.expected is not None:
        yield f"    expected: {verdict.expected!r}"
    if verdict.seen is not None:
        yield f"    seen:     {verdict.seen!r}"
    for call in verdict.calls[-3:]:
        if call.code:
            yield f"    {' '.join(call.argv)}: exit code {call.code}: {call.err.strip()[-300:]}"
    if verdict.kept:
        yield f"    again: {verdict.kept}"
