"""`./dev spec-table`: prints the table of properties, or of the named documents: config, state, features, events.

Without a name those of the specification, which `events` is not.
"""

from __future__ import annotations

import sys
from collections import Counter

from . import CONFIG, EVENTS, FEATURES, STATE, Property

SPECIFIED = ("config", "state", "features")
DOCUMENTS: dict[str, tuple[Property, ...]] = {"config": CONFIG, "state": STATE, "features": FEATURES, "events": EVENTS}
HEAD = ("DOCUMENT", "PROPERTY", "KIND", "SINCE", "OWNER", "STATUS")


def lines(names: list[str]) -> list[str]:
    """The table in aligned columns, and below it how many properties have which status."""
    rows = [(name, row) for name in names for row in DOCUMENTS[name]]
    cells = [
        (name, row.pointer or "/", row.kind, row.since, row.owner, f"{row.status}: {row.reason}".removesuffix(": "))
        for name, row in rows
    ]
    widths = [max(map(len, column)) for column in zip(HEAD, *cells, strict=True)]
    table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in (HEAD, *cells)]
    counts = Counter(row.status for _name, row in rows)
    return [*table, "", f"{len(rows)} properties: {', '.join(f'{n} {status}' for status, n in counts.most_common())}"]


def main(names: list[str]) -> int:
    """Exit status 0, or 2 for a document that there is not."""
    if unknown := [name for name in names if name not in DOCUMENTS]:
        sys.stderr.write(f"no document {unknown[0]}; there are {', '.join(DOCUMENTS)}\n")
        return 2
    sys.stdout.write("\n".join([*lines(names or list(SPECIFIED)), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
