"""What the specification names and demands, what ocirun does with it, and the tests that show it."""

from __future__ import annotations

import csv
from itertools import groupby
from typing import TYPE_CHECKING

from ocirun_conformance.catalogue import requirements
from ocirun_spec.properties.__main__ import DOCUMENTS, SPECIFIED

from . import results
from .words import folded, plain, pointer, table

if TYPE_CHECKING:
    from ocirun_spec.properties import Property

WIDE = "---\nhide: [toc]\n---\n\n"
PROPERTIES = """\
Every property that the documents of the specification name for Linux: its type, the first version that has it, the part
of ocirun that owns it, what is done with it, and the tests that show it. A property that holds others is shown by
theirs. `./dev spec-table` prints the same."""
DEMANDS = """\
Every demand of runtime-spec 1.3.0 on a runtime, with the place in its text (file and line), and the tests of ocirun
that show it"""
JUDGED = ", and how runtimes do in the [conformance suite](../conformance.md)."
ABOUT = {
    "config": "What `config.json` may have.",
    "state": "What `ocirun state` prints, and hooks read.",
    "features": "What `ocirun features` prints.",
}


def rows(name: str) -> list[list[str]]:
    """The lines of a table of tests/evidence below its head."""
    from .pages import REPOSITORY

    with (REPOSITORY / "tests" / "evidence" / name).open(newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


def properties() -> str:
    """The page of properties."""
    tests = {(document.lower(), place): names.split() for document, place, names in rows("properties.tsv")}

    def row(document: str, entry: Property) -> tuple[str, ...]:
        found = tests.get((document, entry.pointer))
        status = f"{entry.status}: {entry.reason}".removesuffix(": ")
        cells = (pointer(entry.pointer or "/"), entry.kind, entry.since, entry.owner, plain(status))
        return (*cells, folded(found) if found else "")

    parts = [
        WIDE + "# Properties",
        PROPERTIES,
    ]
    head = ("Property", "Type", "Since", "Owner", "Status", "Tests")
    for document in SPECIFIED:
        parts += [f"## {document}", ABOUT[document], table(head, [row(document, each) for each in DOCUMENTS[document]])]
    return "\n\n".join(parts) + "\n"


def demands() -> str:
    """The page of the specification's demands on a runtime."""
    tests = {ident: names.split() for ident, _demand, names in rows("requirements.tsv")}
    found = results.load()
    names = list(found.runtimes) if found else []
    parts = [
        WIDE + "# Demands",
        DEMANDS + (JUDGED if found else "."),
    ]
    for document, group in groupby(requirements().values(), lambda each: each.section.partition(":")[0]):
        body = [
            (
                f'<span id="{each.ident}" class="id">{each.ident}</span>',
                each.word,
                each.section.partition(":")[2],
                plain(each.demand),
                folded(tests[each.ident]),
                *(found.duties[each.ident] if found else ()),
            )
            for each in group
        ]
        parts += [f"## {document}", table(("Id", "Word", "Line", "Demand", "Tests", *names), body)]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """By name."""
    return {"properties.md": properties(), "requirements.md": demands()}
