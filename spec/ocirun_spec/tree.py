"""The property table folded into the tree that documents have: what the schemas and the fast check are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .properties import Property


class Pattern(NamedTuple):
    """One kind of restricted string, twice: for JSON Schema and as a Python test that is true for a bad value `v`.

    The expressions end in `(?![\\s\\S])` because `$` would let a newline at the end through in Python, not in ECMA.
    """

    regex: str
    refuses: str
    words: str


_END = r"(?![\s\S])"

PATTERNS: dict[str, Pattern] = {
    "cpu list": Pattern(
        "^[0-9, -]*" + _END, 'v.strip("0123456789, -")', "a list of CPU numbers and ranges such as 0-3,7"
    ),
    "device access": Pattern("^[rwm]*" + _END, 'v.strip("rwm")', "a combination of r, w and m"),
    "page size": Pattern(
        "^[1-9][0-9]*[KMG]B" + _END,
        'v[-2:] not in {"KB", "MB", "GB"} or v[0] not in "123456789" or v[:-2].strip("0123456789")',
        "a size such as 64KB, 2MB or 1GB",
    ),
    "MB line": Pattern(
        r"^MB:[^\n]*" + _END, 'not v.startswith("MB:") or "\\n" in v', 'a single line that starts with "MB:"'
    ),
    "one line": Pattern(r"^[^\n]*" + _END, '"\\n" in v', "a single line"),
    "capability": Pattern(
        "^CAP_[A-Z_]+" + _END,
        'not v.startswith("CAP_") or not v[4:] or v[4:].strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")',
        "a capability such as CAP_CHOWN",
    ),
}


@dataclass(slots=True)
class Node:
    """One place of a document: its row, its named members, and what its items or free members (`*`) are."""

    row: Property
    members: dict[str, Node] = field(default_factory=dict)
    item: Node | None = None


def build(rows: tuple[Property, ...]) -> Node:
    """The tree of a table; a row whose parent has no row is a KeyError, because nobody would look at it."""
    nodes = {row.pointer: Node(row) for row in rows}
    for pointer, node in nodes.items():
        if not pointer:
            continue
        parent, _, name = pointer.rpartition("/")
        if name == "*":
            nodes[parent].item = node
        else:
            nodes[parent].members[name] = node
    return nodes[""]
