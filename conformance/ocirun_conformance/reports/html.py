"""One page that needs nothing else: the matrix, with the details of each failure below its row."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import shlex
import time
from importlib import resources
from typing import TYPE_CHECKING, Any

from ocirun_conformance.judge import NEWEST
from ocirun_conformance.verdict import Outcome

from .matrix import WORDS, count, labels, matrix
from .plain import plain, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun_conformance.verdict import Judgement, Verdict

SPECIFICATION = f"https://github.com/opencontainers/runtime-spec/blob/v{NEWEST}/"
MOST_CALLS = 20
LONGEST = 4000


def html(judgements: Sequence[Judgement]) -> str:
    """The document. SECURITY: the template escapes all that it is given; scripts are run by their hash alone."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    rows = matrix(judgements)
    names = labels([judgement.program for judgement in judgements])
    style, script = _resource("page.css"), _resource("page.js")
    return (
        printable(
            made.from_string(_resource("page.html.jinja")).render(
                judgements=[
                    _summary(name, each, count(rows, at))
                    for at, (name, each) in enumerate(zip(names, judgements, strict=True))
                ],
                rows=[row for row in rows if not row.left_out],
                left_out=sum(row.left_out for row in rows),
                names=names,
                words=WORDS,
                subjects=list(dict.fromkeys(row.subject for row in rows if not row.left_out)),
                specification=SPECIFICATION,
                version=NEWEST,
                host=f"Linux {platform.release()} on {platform.machine()}, {time.strftime('%Y-%m-%d %H:%M %Z')}",
                style=style,
                script=script,
                style_hash=_hash(style),
                script_hash=_hash(script),
                details=_details,
            )
        )
        + "\n"
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _summary(name: str, judgement: Judgement, duties: dict[Any, int]) -> dict[str, Any]:
    return {
        "name": name,
        "program": judgement.program,
        "version": judgement.version,
        "claims": judgement.claims,
        "duties": duties,
        "must": judgement.count(Outcome.FAIL, "must"),
        "cases": len(judgement.verdicts),
        "seconds": judgement.seconds,
    }


def _details(verdict: Verdict) -> dict[str, Any]:
    """What the template shows of one failure."""
    return {
        "name": verdict.case.name,
        "title": verdict.case.title,
        "sentence": verdict.sentence.strip(),
        "last": (verdict.sentence.strip().splitlines() or [""])[0 if verdict.outcome is Outcome.FAIL else -1],
        "expected": None if verdict.expected is None else _pretty(verdict.expected),
        "seen": None if verdict.seen is None else _pretty(verdict.seen),
        "config": None if verdict.config is None else _pretty(verdict.config),
        "calls": [
            {"line": shlex.join(call.argv), "code": call.code, "err": shortened(call.err.strip(), LONGEST)}
            for call in verdict.calls[-MOST_CALLS:]
        ],
        "kept": verdict.kept,
        "by_hand": verdict.by_hand,
    }


def _pretty(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), indent=1, ensure_ascii=False)
