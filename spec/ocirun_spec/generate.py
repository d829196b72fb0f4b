"""Writes `accept.py`, the fast check that the runtime applies to every config, from the property table.

    python -m ocirun_spec.generate            writes the module beside this one
    python -m ocirun_spec.generate --check    exits 1 if the module on disk is not what the table gives

Each object of the document becomes one function that looks at its members in the table's order. A function returns None
or the rest of the pointer, below its own object, of the first offending value; callers put their own part in front.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from . import properties
from .tree import PATTERNS, Node, build

TARGET = Path(__file__).with_name("accept.py")

_HEADER = '''"""Does a value satisfy the config's schema? The fast answer. Generated: do not edit.

Made from the property table by `python -m ocirun_spec.generate`; a test compares this file with what that writes.
A result is None for yes, or the JSON pointer of the first offending value; that is the place where a missing member
should be, and "" when the document itself is not an object. `True` is not an integer here and neither is 1.0.
"""
# fmt: off
# ruff: noqa: ARG001, C901, E501

from __future__ import annotations


def accept(config: object, strange: list[object] | None = None) -> str | None:
    """The first offending place of a config.json's value, or None; `strange` gets the objects with unknown members."""
    return _config(config, [] if strange is None else strange)


def accept_process(process: object, strange: list[object] | None = None) -> str | None:
    """The first offending place of a process object on its own, or None; `strange` as in `accept`."""
    return _process(process, [] if strange is None else strange)


def accept_resources(resources: object, strange: list[object] | None = None) -> str | None:
    """The first offending place of a /linux/resources object on its own, or None; `strange` as in `accept`."""
    return _config_linux_resources(resources, [] if strange is None else strange)


def _key(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
'''

_MEMBERS = "@MEMBERS@"
"""Stands in a function's body for the set of an object's members, which is called like the function."""


class _Writer:
    """Collects the functions' source; objects that look alike share one function."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self._names: dict[str, str] = {}

    def function(self, name: str, node: Node) -> str:
        """The name of a function that checks an object node, written now unless an equal one exists."""
        body = self._object(name, node)
        known = self._names.get(body)
        if known is None:
            known = self._names[body] = name
            members = f"{name.upper()} = frozenset({sorted(node.members)!r})".replace("'", '"')
            head = f"{members}\n\n\n" if node.members else ""
            text = body.replace(_MEMBERS, name.upper())
            self.functions.append(f"{head}def {name}(o: object, s: list[object]) -> str | None:\n{text}")
        return known

    def _object(self, name: str, node: Node) -> str:
        lines = ["if not isinstance(o, dict):", '    return ""']
        for required in node.row.required:
            lines += [f'if "{required}" not in o:', f'    return "/{required}"']
        for key, member in node.members.items():
            check = [f'v = o["{key}"]', *self.value(f"{name}_{key}", member, "v", f'"/{key}"')]
            lines += check if key in node.row.required else [f'if "{key}" in o:', *_indent(check)]
        if node.item is not None:
            lines.append("for k, v in o.items():")
            lines += _indent(self.value(name + "_item", node.item, "v", "_key(k)"))
        elif node.members:
            lines += [f"if not o.keys() <= {_MEMBERS}:", "    s.append(o)"]
        lines.append("return None")
        return "\n".join(_indent(lines)) + "\n"

    def value(self, name: str, node: Node, variable: str, place: str) -> list[str]:
        """Statements that return the place of `variable` if it does not suit the node."""
        kind = node.row.kind
        if kind == "opaque":
            return [f"if not isinstance({variable}, dict):", f"    return {place}"]
        if kind in ("object", "map"):
            function = self.function(_identifier(name), node)
            return [
                f"e = {function}({variable}, s)",
                "if e is not None:",
                f"    return {place} + e",
            ]
        if kind == "array":
            return self._array(name, node, variable, place)
        return [f"if {_scalar_test(node, variable)}:", f"    return {place}"]

    def _array(self, name: str, node: Node, variable: str, place: str) -> list[str]:
        assert node.item is not None, node.row.pointer
        short = f" or len({variable}) < {node.row.min_items}" if node.row.min_items else ""
        lines = [f"if not isinstance({variable}, list){short}:", f"    return {place}"]
        item = self.value(name + "_item", node.item, "x", f'f"{place.strip(chr(34))}/{{i}}"')
        if node.item.row.kind == "string" and not node.item.row.choices and not node.item.row.pattern:
            lines += [f"for x in {variable}:", "    if x.__class__ is not str:"]
            return [*lines, *_indent(_find(place, variable), 2)]
        return [*lines, f"for i, x in enumerate({variable}):", *_indent(item)]


def _find(place: str, variable: str) -> list[str]:
    """The place of the first item that is no string, counted only once it is known that there is one."""
    pointer = place.strip('"')
    return [f'return f"{pointer}/{{[y.__class__ is str for y in {variable}].index(False)}}"']


def _scalar_test(node: Node, variable: str) -> str:
    row = node.row
    assert row.kind != "number", f"{row.pointer}: the fast check knows no fractions"
    if row.kind == "boolean":
        return f"{variable}.__class__ is not bool"
    if row.kind == "integer":
        return f"{variable}.__class__ is not int or not {row.low} <= {variable} <= {row.high}"
    if row.choices:
        choices = ", ".join(f'"{choice}"' for choice in row.choices)
        return f"{variable}.__class__ is not str or {variable} not in {{{choices}}}"
    if row.pattern:
        test = re.sub(r"\bv\b", variable, PATTERNS[row.pattern].refuses)
        return f"{variable}.__class__ is not str or {test}"
    return f"{variable}.__class__ is not str"


def _identifier(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def _indent(lines: list[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]


def source() -> str:
    """The text of accept.py."""
    writer = _Writer()
    root = build(properties.CONFIG)
    writer.function("_process", root.members["process"])
    writer.function("_config", root)
    return "\n\n".join([_HEADER, *writer.functions]).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    """Writes the module, or with --check only compares it."""
    text = source()
    if "--check" in arguments:
        return 0 if TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
