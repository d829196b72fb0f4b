"""JUnit's XML, as continuous integration systems read it: a suite for each runtime, a test for each case.

A failure's type is the level of the duties. What was not run is skipped, with the reason; what the suite could not
judge for its own fault is an error.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ocirun_conformance.verdict import Outcome

from .matrix import labels
from .plain import line, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocirun_conformance.verdict import Judgement, Verdict


def junit(judgements: Sequence[Judgement]) -> str:
    """The document, with a line's end."""
    root = ET.Element("testsuites", name="ocirun-conformance")
    for name, judgement in zip(labels([each.program for each in judgements]), judgements, strict=True):
        suite = ET.SubElement(root, "testsuite", {"name": printable(name), **_counts([judgement])})
        for verdict in judgement.verdicts:
            _case(suite, name, verdict)
    for key, value in _counts(judgements).items():
        root.set(key, value)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _counts(judgements: Sequence[Judgement]) -> dict[str, str]:
    def total(outcome: Outcome) -> str:
        return str(sum(each.count(outcome) for each in judgements))

    return {
        "tests": str(sum(len(each.verdicts) for each in judgements)),
        "failures": total(Outcome.FAIL),
        "errors": total(Outcome.ERROR),
        "skipped": total(Outcome.NOT_RUN),
        "time": f"{sum(each.seconds for each in judgements):.3f}",
    }


def _case(suite: ET.Element, runtime: str, verdict: Verdict) -> None:
    subject, _, name = verdict.case.name.partition(".")
    where = f"{runtime}.{subject}"
    made = ET.SubElement(suite, "testcase", classname=printable(where), name=name, time=f"{verdict.seconds:.3f}")
    if verdict.outcome is Outcome.NOT_RUN:
        ET.SubElement(made, "skipped", message=printable(f"not run: {verdict.sentence}"))
    elif verdict.outcome is not Outcome.PASS:
        word = "failure" if verdict.outcome is Outcome.FAIL else "error"
        message = (verdict.sentence.strip().splitlines() or [""])[0 if word == "failure" else -1]
        found = ET.SubElement(made, word, message=printable(message), type=verdict.case.level)
        found.text = "\n".join(printable(each) for each in _details(verdict))


def _details(verdict: Verdict) -> Iterator[str]:
    yield verdict.case.title
    yield f"{verdict.case.level}: {' '.join(verdict.case.requirements)}"
    yield verdict.sentence
    yield f"expected: {line(verdict.expected)}"
    yield f"seen: {line(verdict.seen)}"
    for call in verdict.calls:
        yield f"{shlex.join(call.argv)}: exit code {call.code}"
        if call.err.strip():
            yield shortened(call.err.strip())
    if verdict.kept:
        yield f"again: {verdict.kept}"
        yield f"by hand: {verdict.by_hand}"
