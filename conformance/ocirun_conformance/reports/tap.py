"""The Test Anything Protocol, version 14."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance.verdict import Outcome

from .matrix import labels
from .plain import line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocirun_conformance.verdict import Judgement, Verdict


def tap(judgements: Sequence[Judgement]) -> str:
    """All verdicts in one plan; a case that was not run is skipped with the reason.

    A failure has a block of YAML with a value in each line, which is JSON: YAML 1.2 takes that.
    """
    names = labels([judgement.program for judgement in judgements])
    rows = [
        (name, verdict) for name, judgement in zip(names, judgements, strict=True) for verdict in judgement.verdicts
    ]
    lines = ["TAP version 14", f"1..{len(rows)}"]
    for number, (label, verdict) in enumerate(rows, 1):
        good = "ok" if verdict.outcome in (Outcome.PASS, Outcome.NOT_RUN) else "not ok"
        name = verdict.case.name if len(judgements) == 1 else f"{label} {verdict.case.name}"
        skip = f" # SKIP not run: {_escaped(verdict.sentence)}" if verdict.outcome is Outcome.NOT_RUN else ""
        lines.append(f"{good} {number} - {_escaped(name)}{skip}")
        if good != "ok":
            lines += ["  ---", *(f"  {each}" for each in _diagnostics(verdict)), "  ..."]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return " ".join(printable(text).split()).replace("\\", "\\\\").replace("#", "\\#")


def _diagnostics(verdict: Verdict) -> Iterator[str]:
    yield f"message: {line(verdict.sentence)}"
    yield f"severity: {line(verdict.outcome.value)}"
    yield f"title: {line(verdict.case.title)}"
    yield f"level: {line(verdict.case.level)}"
    yield f"requirements: {line(verdict.case.requirements)}"
    yield f"expected: {line(verdict.expected)}"
    yield f"seen: {line(verdict.seen)}"
    if verdict.calls:
        call = verdict.calls[-1]
        yield f"call: {line(call.argv)}"
        yield f"code: {call.code}"
        yield f"stderr: {line(call.err)}"
    if verdict.kept:
        yield f"again: {line(verdict.kept)}"
        yield f"by_hand: {line(verdict.by_hand)}"
