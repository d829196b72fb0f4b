"""How runtimes do in the conformance suite: a stored table, and what pages show of it.

`python -m docsite.results REPORT.json` makes the table of a report of `ocirun-conformance compare … --format json`. It
is kept as docs/conformance/results.tsv: in the first line the runtimes, in the next ones a duty and its outcomes.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ocirun_conformance.catalogue import requirements

from .words import plain, table

STORED = Path(__file__).resolve().parents[1] / "docs" / "conformance" / "results.tsv"
OUTCOMES = ("pass", "fail", "not run", "not judged")


class Results(NamedTuple):
    """runtimes: their names; duties: by id, an outcome for each runtime."""

    runtimes: tuple[str, ...]
    duties: dict[str, tuple[str, ...]]


def load() -> Results | None:
    """What is stored, if anything is."""
    if not STORED.exists():
        return None
    head, *lines = (tuple(line.split("\t")) for line in STORED.read_text().splitlines())
    return Results(head[1:], {line[0]: line[1:] for line in lines})


def tables() -> str:
    """The numbers, and what fails with any of them; empty without results."""
    found = load()
    if found is None:
        return ""
    duties = requirements()
    rows = []
    for at, name in enumerate(found.runtimes):
        count = Counter(cells[at] for cells in found.duties.values())
        must = sum(cells[at] == "fail" and duties[ident].level == "must" for ident, cells in found.duties.items())
        rows.append((name, *(str(count[outcome]) for outcome in OUTCOMES), str(must)))
    failed = [
        (f"[{ident}](reference/requirements.md#{ident})", duties[ident].word, plain(duties[ident].demand), *cells)
        for ident, cells in found.duties.items()
        if "fail" in cells
    ]
    return "\n\n".join(
        [
            table(("Runtime", *OUTCOMES, "MUST that fail"), rows),
            "## What fails",
            table(("Duty", "Word", "Demand", *found.runtimes), failed),
        ]
    )


def stored(report: Path) -> str:
    """The table out of a report as JSON."""
    found = json.loads(report.read_text())
    lines = [["duty", *(f"{each['name']} {each['version'].split()[-1]}" for each in found["runtimes"])]]
    lines += [[duty["id"], *(cell["outcome"] for cell in duty["runtimes"])] for duty in found["requirements"]]
    return "".join("\t".join(line) + "\n" for line in lines)


if __name__ == "__main__":
    print(stored(Path(sys.argv[1])), end="")
