"""One page that needs nothing else: the matrix, with the details of each failure below its row."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
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

    from ocirun_conformance.runtime import Call
    from ocirun_conformance.verdict import Judgement, Verdict

    from .matrix import Row

SPECIFICATION = f"https://github.com/opencontainers/runtime-spec/blob/v{NEWEST}/"
MOST_CALLS = 20
LONGEST = 4000

_FOLDER = re.compile(r"/\S*?/ocirun-conformance-[^/\s]+/[^/\s]+(?=/)")
"""Of a case, as its calls name it."""


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
                    _summary(name, each, count(rows, at), _broken(rows, at))
                    for at, (name, each) in enumerate(zip(names, judgements, strict=True))
                ],
                rows=[row for row in rows if not row.left_out],
                failures=_failures(rows),
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
            )
        )
        + "\n"
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _summary(name: str, judgement: Judgement, duties: dict[Any, int], broken: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "name": name,
        "program": judgement.program,
        "version": judgement.version,
        "claims": judgement.claims,
        "duties": duties,
        "broken": broken,
        "must": judgement.count(Outcome.FAIL, "must"),
        "cases": len(judgement.verdicts),
        "seconds": judgement.seconds,
        "left": [(each.case.name, left) for each in judgement.verdicts for left in each.left],
    }


def _broken(rows: Sequence[Row], at: int) -> dict[str, list[str]]:
    """The duties that are no good with one runtime, by what is to be said of them."""
    found: dict[str, list[str]] = {f"breaks, {level}": [] for level in ("MUST", "SHOULD", "MAY")}
    for row in rows:
        if row.cells[at].outcome == "fail":
            found[f"breaks, {row.requirement.level.upper()}"].append(row.requirement.ident)
        elif row.cells[at].outcome == "error":
            found.setdefault("met an error of the suite", []).append(row.requirement.ident)
    return {words: idents for words, idents in found.items() if idents}


def _failures(rows: Sequence[Row]) -> dict[str, list[list[dict[str, Any]]]]:
    """By duty and runtime. A verdict that several duties share is shown at the first, and named at the others."""
    shown: dict[tuple[int, str], tuple[str, str]] = {}
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for row in rows:
        ident = row.requirement.ident
        cells = found[ident] = []
        for at, cell in enumerate(row.cells):
            cells.append([])
            for verdict in cell.failures:
                anchor = f"{ident}-{at}-{len(cells[at])}"
                where = shown.setdefault((at, verdict.case.name), (anchor, ident))
                same = where if where[0] != anchor else None
                cells[at].append({"anchor": anchor, "same": same, **(_head(verdict) if same else _details(verdict))})
    return found


def _head(verdict: Verdict) -> dict[str, Any]:
    lines = verdict.sentence.strip().splitlines() or [""]
    return {
        "name": verdict.case.name,
        "outcome": verdict.outcome.value,
        "last": lines[0 if verdict.outcome is Outcome.FAIL else -1],
    }


def _details(verdict: Verdict) -> dict[str, Any]:
    """What the template shows of one failure."""
    sentence = verdict.sentence.strip()
    folder = _FOLDER.search(shlex.join(verdict.calls[-1].argv)) if verdict.calls else None
    return {
        **_head(verdict),
        "title": verdict.case.title,
        "sentence": sentence if "\n" in sentence else "",
        "expected": None if verdict.expected is None else _pretty(verdict.expected),
        "seen": None if verdict.seen is None else _pretty(verdict.seen),
        "config": None if verdict.config is None else _pretty(verdict.config),
        "folder": folder[0] if folder else "",
        "calls": [_call(call, folder[0] if folder else "") for call in verdict.calls[-MOST_CALLS:]],
        "kept": verdict.kept,
        "by_hand": verdict.by_hand,
    }


def _call(call: Call, folder: str) -> dict[str, Any]:
    texts = {"line": shlex.join(call.argv), "err": shortened(call.err.strip(), LONGEST)}
    return {
        "code": call.code,
        **{key: text.replace(folder, "$CASE") if folder else text for key, text in texts.items()},
    }


def _pretty(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), indent=1, ensure_ascii=False)
