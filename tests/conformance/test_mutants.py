"""The edits of mutants, and that the table leaves no property and no duty out."""

from __future__ import annotations

import re

import pytest

from ocirun_conformance import catalogue
from ocirun_conformance.mutants.documents import edit
from ocirun_conformance.mutants.duties import DUTIES
from ocirun_conformance.mutants.request import Request
from ocirun_conformance.mutants.run import equivalents
from ocirun_conformance.mutants.table import applied, mutants


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        ("drop /a/*/b", {"a": [{"b": 1}, {"c": 2}]}, {"a": [{}, {"c": 2}]}),
        ("more /a", {"a": 1}, {"a": 2}),
        ("more /a", {"a": True}, {"a": True}),
        ("negate /a", {"a": True}, {"a": False}),
        ("other /a/-1", {"a": ["x", "7"]}, {"a": ["x", "8"]}),
        ("swap /a x y", {"a": "x"}, {"a": "y"}),
        ("set /a/b 5", {}, {"a": {"b": 5}}),
        ("move /hooks/prestart poststop", {"hooks": {"prestart": [1]}}, {"hooks": {"poststop": [1]}}),
        ("distinct /a", {"a": [{"type": "x", "n": 1}, {"type": "x", "n": 2}]}, {"a": [{"type": "x", "n": 2}]}),
        ("option without ro", {"mounts": [{"options": ["ro", "rw"]}]}, {"mounts": [{"options": ["rw"]}]}),
        ("drop /not/there", {"a": 1}, {"a": 1}),
    ],
)
def test_an_edit(words: str, before: dict[str, object], after: dict[str, object]) -> None:
    edit(before, words.split(" "))
    assert before == after


def test_a_request() -> None:
    request = Request(["--root", "/r", "kill", "one", "TERM"])
    assert (request.operation, request.ident, request.root) == ("kill", "one", "/r")
    assert Request(["delete", "--force", "one"]).operation == "force"
    assert Request(["--version"]).operation == ""


def test_every_property_has_a_mutant() -> None:
    names = list(mutants())
    pointers = [re.sub(r"args/\*$", "args/-1", row.pointer) for row in applied()]
    assert [pointer for pointer in pointers if not any(pointer in name.split(" ") for name in names)] == []


def test_every_duty_of_the_life_cycle_has_a_mutant() -> None:
    cited = {ident for idents in DUTIES.values() for ident in idents.split()}
    duties = {ident for ident in catalogue.requirements() if ident.startswith("RT-")}
    assert duties - cited == set()
    assert cited <= set(catalogue.requirements())


def test_equivalents_are_mutants() -> None:
    assert set(equivalents()) <= set(mutants())
