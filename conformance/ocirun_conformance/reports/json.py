"""JSON, for programs. Within one `format` members are only added.

    format          1
    specification   the version whose duties are judged, such as "1.3.0"
    runtimes        a list, in the order of the command line:
      name          short, and no other runtime's of this document
      program       the command
      version       the first line that `--version` wrote
      claims        the newest version of the specification that it says it follows (`ociVersionMax` of its features,
                    else `spec:` of its version), "" when it says nothing of that; duties of younger text are judged too
      seconds       how long all took
      exit_code     what the suite's would be for this runtime alone
      cases         a list, in the suite's order:
        name, title, level ("must", "should", "may"), requirements (a list of ids)
        outcome     "pass", "fail", "not run", "error"
        sentence    why, "" when it passed; for an error Python's traceback
        expected, seen
                    any JSON value; null when there is none
        seconds
        config      the last config.json, or null
        calls       a list of {"argv", "code", "out", "err", "seconds"}; a negative code is a signal; both empty when
                    it passed: config null and calls []
        again, by_hand
                    with --keep: the command that judges again, the one that repeats the calls; else ""
        left        a list of sentences: what could not be removed
    requirements    a list of all duties, in the specification's order:
      id, word, level, section ("FILE:LINE"), demand
      runtimes      a list, in the order of `runtimes` above:
        outcome     "pass", "fail", "error", "not run", "not judged"
        reason      why it was not run or not judged, else ""
        cases       the names of the cases that cite it

Texts have `\\xNN` in place of what is not printable, and lose their middle when they are very long.
"""

from __future__ import annotations

import json as format_json
from typing import TYPE_CHECKING, Any

from ocirun_conformance.judge import NEWEST
from ocirun_conformance.verdict import Outcome

from .matrix import labels, matrix
from .plain import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun_conformance.runtime import Call
    from ocirun_conformance.verdict import Judgement, Verdict

    from .matrix import Row

FORMAT = 1


def json(judgements: Sequence[Judgement]) -> str:
    """The document, indented, with a line's end."""
    names = labels([judgement.program for judgement in judgements])
    document = {
        "format": FORMAT,
        "specification": NEWEST,
        "runtimes": [_runtime(name, each) for name, each in zip(names, judgements, strict=True)],
        "requirements": [_requirement(row) for row in matrix(judgements)],
    }
    return format_json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _runtime(name: str, judgement: Judgement) -> dict[str, Any]:
    return {
        "name": plain(name),
        "program": plain(judgement.program),
        "version": plain(judgement.version),
        "claims": plain(judgement.claims),
        "seconds": round(judgement.seconds, 3),
        "exit_code": judgement.exit_code,
        "cases": [_case(verdict) for verdict in judgement.verdicts],
    }


def _case(verdict: Verdict) -> dict[str, Any]:
    passed = verdict.outcome is Outcome.PASS
    return {
        "name": verdict.case.name,
        "title": verdict.case.title,
        "level": verdict.case.level,
        "requirements": list(verdict.case.requirements),
        "outcome": verdict.outcome.value,
        "sentence": plain(verdict.sentence),
        "expected": plain(verdict.expected),
        "seen": plain(verdict.seen),
        "seconds": round(verdict.seconds, 3),
        "config": None if passed else plain(verdict.config),
        "calls": [] if passed else [_call(call) for call in verdict.calls],
        "again": plain(verdict.kept),
        "by_hand": plain(verdict.by_hand),
        "left": plain(verdict.left),
    }


def _call(call: Call) -> dict[str, Any]:
    return {
        "argv": plain(call.argv),
        "code": call.code,
        "out": plain(call.out),
        "err": plain(call.err),
        "seconds": round(call.seconds, 3),
    }


def _requirement(row: Row) -> dict[str, Any]:
    return {
        "id": row.requirement.ident,
        "word": row.requirement.word,
        "level": row.requirement.level,
        "section": row.requirement.section,
        "demand": row.requirement.demand,
        "runtimes": [
            {
                "outcome": cell.outcome,
                "reason": plain(cell.reason),
                "cases": [verdict.case.name for verdict in cell.verdicts],
            }
            for cell in row.cells
        ],
    }
