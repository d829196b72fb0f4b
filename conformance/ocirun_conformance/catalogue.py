"""What the specification demands of a runtime: one row per duty of `catalogue.tsv`, in this project's own words."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

Level = Literal["must", "should", "may"]

_LEVELS: dict[str, Level] = {
    "MUST": "must",
    "MUST NOT": "must",
    "REQUIRED": "must",
    "SHOULD": "should",
    "SHOULD NOT": "should",
    "RECOMMENDED": "should",
    "MAY": "may",
    "OPTIONAL": "may",
}


class Requirement(NamedTuple):
    """One duty. word: the specification's word for it; section: `FILE:LINE` in runtime-spec 1.3.0."""

    ident: str
    word: str
    section: str
    demand: str

    @property
    def level(self) -> Level:
        """How much weight the word has (RFC 2119)."""
        return _LEVELS[self.word]


def _rows(name: str) -> list[list[str]]:
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    return list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


@cache
def requirements() -> dict[str, Requirement]:
    """All duties by their id, in the specification's order."""
    return {row[0]: Requirement(*row) for row in _rows("catalogue.tsv")}


@cache
def unjudged() -> dict[str, str]:
    """The duties that no test from outside can show, and why."""
    return {row[0]: row[1] for row in _rows("unjudged.tsv")}
