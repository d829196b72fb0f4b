"""What is demanded of a runtime, in this project's own words.

`catalogue.tsv` has a row for each duty of the specification, `attacks.tsv` one for each way in which a container got
the better of a runtime once.
"""

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
    """One duty. word: the specification's word for it; section: `FILE:LINE` in runtime-spec 1.3.0.

    Of an attack ident is the number under which it was published, and section what it uses.
    """

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
def attacks() -> dict[str, Requirement]:
    """All attacks by their number, in the table's order; that none succeeds is a MUST."""
    return {ident: Requirement(ident, "MUST", means, demand) for ident, means, demand in _rows("attacks.tsv")}


def known(*, security: bool) -> dict[str, Requirement]:
    """The attacks, or the duties."""
    return attacks() if security else requirements()


@cache
def unjudged() -> dict[str, str]:
    """The duties and attacks that no test from outside can show, and why."""
    return {row[0]: row[1] for row in _rows("unjudged.tsv")}
