"""Where each value of a JSON text stands: a small reader that keeps offsets instead of speed.

It reads any text that has JSON's structure, also one that `jsontext` refuses for its content.
"""

from __future__ import annotations

import json
import re

_read_string = json.JSONDecoder(strict=False).raw_decode  # control characters in strings are for others to refuse
_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}\"]+")


def escape(key: str) -> str:
    """A key as one token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


class Positions:
    """Offsets by JSON pointer: `values`, and `keys` for the names of members."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: dict[str, int] = {}
        self.keys: dict[str, int] = {}
        try:
            self._value(0, "")
        except (ValueError, RecursionError):
            # What was read before the text broke off still counts.
            return

    def line_column(self, pointer: str) -> tuple[int, int]:
        """Line and column, from 1, of the value, or of the nearest enclosing value that exists."""
        while pointer and pointer not in self.values:
            pointer = pointer.rpartition("/")[0]
        return line_column(self.text, self.values.get(pointer, 0))

    def key_line_column(self, pointer: str) -> tuple[int, int]:
        """Line and column of the member's name instead of its value."""
        return line_column(self.text, self.keys[pointer]) if pointer in self.keys else self.line_column(pointer)

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def _value(self, at: int, pointer: str) -> int:
        at = self._skip(at)
        self.values[pointer] = at
        first = self.text[at : at + 1]
        if first == "{":
            return self._object(at + 1, pointer)
        if first == "[":
            return self._array(at + 1, pointer)
        if first == '"':
            return _read_string(self.text, at)[1]
        found = _SCALAR.match(self.text, at)
        if found is None:
            raise ValueError(f"no value at offset {at}")
        return found.end()

    def _object(self, at: int, pointer: str) -> int:
        at = self._skip(at)
        while self.text[at : at + 1] == '"':
            key, end = _read_string(self.text, at)
            member = f"{pointer}/{escape(key)}"
            self.keys[member] = at
            at = self._skip(self._value(self._skip(end) + 1, member))
            if self.text[at : at + 1] == ",":
                at = self._skip(at + 1)
        return at + 1

    def _array(self, at: int, pointer: str) -> int:
        at = self._skip(at)
        index = 0
        while self.text[at : at + 1] not in ("]", ""):
            at = self._skip(self._value(at, f"{pointer}/{index}"))
            index += 1
            if self.text[at : at + 1] == ",":
                at = self._skip(at + 1)
        return at + 1


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of a character offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
