"""The reports: readable by their readers, whatever a runtime has written."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from ocirun_conformance.case import Case
from ocirun_conformance.reports import FORMATS
from ocirun_conformance.runtime import Call
from ocirun_conformance.verdict import Judgement, Outcome, Verdict

pytestmark = [pytest.mark.process]

HOSTILE = "</script><script>alert(1)</script>]]>\x00\x1b[31m\ud800 ``` | # ' \" {{ 7*7 }}"


def judgements() -> list[Judgement]:
    """One runtime, one verdict of each kind, hostile text wherever a runtime can put some."""
    call = Call((HOSTILE,), 1, HOSTILE, HOSTILE, 0.1)
    verdicts = [
        Verdict(
            Case(f"made.{outcome.name}", "made up", (ident,), (), False, lambda _trial: None),
            outcome,
            HOSTILE,
            {HOSTILE},
            {"key": HOSTILE},
            {"hostname": HOSTILE},
            (call,),
        )
        for outcome, ident in zip(Outcome, ("RT-001", "RT-002", "RT-003", "RT-004"), strict=True)
    ]
    return [Judgement("/bin/runtime", HOSTILE, verdicts, 1.0, f"1.0.2-dev {HOSTILE}")]


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_can_be_encoded_and_controls_no_terminal(name: str) -> None:
    text = FORMATS[name](judgements())
    text.encode("utf-8")
    assert "\x1b" not in text
    assert "\x00" not in text


def test_junit_counts() -> None:
    root = ET.fromstring(FORMATS["junit"](judgements()))
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    assert [len(root.findall(f".//{word}")) for word in ("failure", "error", "skipped")] == [1, 1, 1]


def test_json_has_every_duty() -> None:
    document = json.loads(FORMATS["json"](judgements()))
    found = {row["id"]: row["runtimes"][0]["outcome"] for row in document["requirements"]}
    assert len(found) == 276
    assert [found[f"RT-00{number}"] for number in (1, 2, 3, 4)] == ["pass", "fail", "not run", "error"]


@pytest.mark.parametrize("name", ["text", "json", "html", "markdown"])
def test_a_reader_learns_which_specification_a_runtime_claims(name: str) -> None:
    assert "1.0.2-dev" in FORMATS[name](judgements())


def test_tap_has_a_value_in_each_line_of_its_blocks() -> None:
    lines = FORMATS["tap"](judgements()).splitlines()
    assert lines[1] == "1..4"
    for line in lines:
        if line.startswith("  ") and line.strip() not in ("---", "..."):
            json.loads(line.partition(": ")[2])


def test_the_page_escapes() -> None:
    page = FORMATS["html"](judgements())
    assert page.count("<script>") == page.count("</script>") == 1
    assert "<script>alert" not in page
    assert "{{ 7*7 }}" in page
