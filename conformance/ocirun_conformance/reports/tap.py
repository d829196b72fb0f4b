"""The Test Anything Protocol, version 14."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun_conformance.verdict import Judgement


def tap(judgements: Sequence[Judgement]) -> str:
    """All verdicts in one plan; a case that was not run is skipped with the reason."""
    rows = [(judgement, verdict) for judgement in judgements for verdict in judgement.verdicts]
    lines = ["TAP version 14", f"1..{len(rows)}"]
    for number, (judgement, verdict) in enumerate(rows, 1):
        good = "ok" if verdict.outcome in (Outcome.PASS, Outcome.NOT_RUN) else "not ok"
        name = verdict.case.name if len(judgements) == 1 else f"{judgement.program} {verdict.case.name}"
        skip = f" # SKIP not run: {verdict.sentence}" if verdict.outcome is Outcome.NOT_RUN else ""
        lines.append(f"{good} {number} - {name}{skip}")
        if good != "ok":
            lines += ["  ---", *(f"  # {line}" for line in verdict.sentence.splitlines()), "  ..."]
    return "\n".join(lines) + "\n"
