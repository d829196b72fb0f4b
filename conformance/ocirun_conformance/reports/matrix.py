"""The matrix: a row for each duty of the specification, a cell for each runtime. All reports count from it."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ocirun_conformance import catalogue
from ocirun_conformance.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun_conformance.catalogue import Requirement
    from ocirun_conformance.verdict import Judgement, Verdict

Word = Literal["pass", "fail", "error", "not run", "not judged"]

WORDS: tuple[Word, ...] = ("pass", "fail", "error", "not run", "not judged")

_OF: dict[Outcome, Word] = {
    Outcome.PASS: "pass",
    Outcome.FAIL: "fail",
    Outcome.ERROR: "error",
    Outcome.NOT_RUN: "not run",
}

LEFT_OUT = "no case of this run cites it"


class Cell(NamedTuple):
    """One duty with one runtime. reason: why it was not run or not judged; verdicts: of all cases that cite it."""

    outcome: Word
    reason: str
    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> list[Verdict]:
        """The verdicts that are no good."""
        return [each for each in self.verdicts if each.outcome in (Outcome.FAIL, Outcome.ERROR)]

    @property
    def left_out(self) -> bool:
        """Whether the choice of cases is all that kept it from being judged."""
        return self.outcome == "not judged" and self.reason == LEFT_OUT


class Row(NamedTuple):
    """One duty; a cell for each runtime in their order."""

    requirement: Requirement
    cells: tuple[Cell, ...]

    @property
    def left_out(self) -> bool:
        """Whether this run has nothing to say about it."""
        return all(cell.left_out for cell in self.cells)

    @property
    def subject(self) -> str:
        """The specification's document, without its suffix."""
        return self.requirement.section.partition(".md:")[0]


def labels(programs: Sequence[str]) -> list[str]:
    """A short name for each of these commands: the program's name, unless two have the same."""
    short = [Path((shlex.split(each) or [each])[0]).name for each in programs]
    count = Counter(short)
    names = [name if count[name] == 1 else each for name, each in zip(short, programs, strict=True)]
    whole = Counter(names)
    return [name if whole[name] == 1 else f"{name} #{names[:at].count(name) + 1}" for at, name in enumerate(names)]


def matrix(judgements: Sequence[Judgement]) -> list[Row]:
    """All duties in the specification's order, or all attacks, also those that this run says nothing about."""
    by_runtime = []
    for judgement in judgements:
        found: dict[str, list[Verdict]] = {}
        for verdict in judgement.verdicts:
            for ident in verdict.case.requirements:
                found.setdefault(ident, []).append(verdict)
        by_runtime.append(found)
    security = any(ident in catalogue.attacks() for found in by_runtime for ident in found)
    return [
        Row(requirement, tuple(cell(ident, found.get(ident, ())) for found in by_runtime))
        for ident, requirement in catalogue.known(security=security).items()
    ]


def cell(ident: str, verdicts: Sequence[Verdict]) -> Cell:
    """An error hides a failure, a failure what passed; a case that was not run takes nothing from one that passed."""
    if not verdicts:
        return Cell("not judged", catalogue.unjudged().get(ident, LEFT_OUT), ())
    outcomes = {each.outcome for each in verdicts}
    worst = next(each for each in (Outcome.ERROR, Outcome.FAIL, Outcome.PASS, Outcome.NOT_RUN) if each in outcomes)
    reasons = dict.fromkeys(each.sentence for each in verdicts if each.outcome is Outcome.NOT_RUN)
    return Cell(_OF[worst], "; ".join(reasons) if worst is Outcome.NOT_RUN else "", tuple(verdicts))


def count(rows: Sequence[Row], index: int) -> dict[Word, int]:
    """How many duties have which outcome with the runtime at `index`."""
    found = Counter(row.cells[index].outcome for row in rows)
    return {word: found[word] for word in WORDS}
