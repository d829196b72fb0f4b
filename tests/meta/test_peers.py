"""The suites of peers: their tables of expected failures, and how results are held against them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from peers import compare
from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.meta]

TABLES = sorted((REPOSITORY / "tests/peers").glob("*.tsv"))
CLAUSE = re.compile(r"spec: (\S+\.md), ")
EXPECTED = {"a": "spec: runtime.md, x", "b": "host: no x"}
FAILING = {"a": "not ok", "b": "not ok", "c": "ok", "d": "skip"}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_every_expected_failure_has_a_reason(path: Path) -> None:
    for reason in compare.table(path.read_text()).values():
        assert reason.startswith("host: ") or CLAUSE.match(reason), f"{reason!r} names no document"


@pytest.mark.parametrize("line", ["a", "a\t", "a\tsome words", "a\thost: b\tc", "a\thost: b\na\thost: b"])
def test_what_is_no_table_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no test with a reason"):
        compare.table(line)


@pytest.mark.parametrize(
    ("ours", "peers", "words"),
    [
        ({}, {}, ""),
        ({"c": "not ok"}, {}, "not expected to: c"),
        ({"a": "ok"}, {}, "but ok: a"),
        ({"b": "skip"}, {}, "but skip: b"),
        ({}, {"b": "ok"}, "the peer passes: b"),
        ({}, {"a": "ok"}, ""),
    ],
)
def test_exactly_the_expected_ones_fail(ours: dict[str, str], peers: dict[str, str], words: str) -> None:
    found = compare.surprises(EXPECTED, FAILING | ours, peers, False)
    assert (len(found), words in "".join(found)) == (bool(words), True)


def test_a_part_may_lack_tests() -> None:
    assert compare.surprises(EXPECTED, {"c": "ok"}, {}, True) == []
    assert len(compare.surprises(EXPECTED, {"c": "ok"}, {}, False)) == 2


def test_results_are_read_to_the_end() -> None:
    tap = "1..4\nok 1 a b\nnot ok 2 c # d\n# noise\nok 3 e # skip test requires f\nnot ok 4 a b\n"
    assert compare.results(tap) == {"a b": "ok", "c # d": "not ok", "e": "skip", "a b (again)": "not ok"}
    with pytest.raises(ValueError, match="3 results of 4 tests"):
        compare.results(tap.replace("ok 3", "# ok 3"))
