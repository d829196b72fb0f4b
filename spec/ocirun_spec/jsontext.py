"""Strict JSON for configs and state records.

Rules: what two readers could understand differently is refused (duplicate keys, NaN, integers that no 64-bit type
holds, lone surrogates, text after the value), and so is NUL, which no path, argument or variable can carry. It is the
launcher that reads (`json.c`), without an import.
"""

from __future__ import annotations

try:
    from _ocirun import read_json
except ImportError:
    from ocirun_spec.fallback import read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ESCAPES = {code: f"\\u{code:04x}" for code in range(32)}
_ESCAPES |= {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


class JSONError(ValueError):
    """A text that is not acceptable JSON; `offset` counts characters from 0, `line` and `column` from 1."""

    __slots__ = ("message", "offset", "text")

    def __init__(self, message: str, offset: int, text: str = "") -> None:
        super().__init__(message, offset)
        self.message = message
        self.offset = offset
        self.text = text

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"

    @property
    def line(self) -> int:
        """The line of the offset, from 1."""
        return self.text.count("\n", 0, self.offset) + 1

    @property
    def column(self) -> int:
        """The column of the offset in characters, from 1."""
        return self.offset - (self.text.rfind("\n", 0, self.offset) + 1) + 1

    def excerpt(self) -> str:
        """The offending line, at most 76 characters of it, and below it a line with a caret under the place."""
        start = self.text.rfind("\n", 0, self.offset) + 1
        end = self.text.find("\n", self.offset)
        line = self.text[start:] if end < 0 else self.text[start:end]
        place = self.offset - start
        cut = max(0, place - 50)
        window = "".join(c if c.isprintable() else " " for c in line[cut : cut + 76])
        return f"{window}\n{' ' * (place - cut)}^"


def decode(data: bytes) -> str:
    """The text of a UTF-8 file; a byte order mark or any other encoding is a JSONError naming the byte."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise JSONError("the file starts with a UTF-8 byte order mark, which JSON does not allow", 0)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise JSONError("the file is UTF-16, JSON must be UTF-8", 0)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        raise JSONError(
            f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8", len(before), before + "\ufffd"
        ) from None


def loads(text: str) -> Any:
    """The value of a JSON text: dict, list, str, int, float, bool or None. Refusals are JSONError."""
    return read_json(text, JSONError)


def dumps(value: object) -> str:
    """Compact JSON, keys (strings) in the order of the dict, non-ASCII characters as they are."""
    return _text(value, "", ":")


def pretty(value: object) -> str:
    """JSON indented by two spaces, laid out as Go's json.MarshalIndent does, without a newline at the end."""
    return _text(value, "\n", ": ")


def _text(value: object, newline: str, colon: str) -> str:
    if isinstance(value, str):
        return _quoted(value)
    inner = newline and newline + "  "
    parts = []
    if isinstance(value, dict):
        for key, item in value.items():
            parts.append(f"{_quoted(key)}{colon}{_text(item, inner, colon)}")
        return f"{{{inner}{f',{inner}'.join(parts)}{newline}}}" if parts else "{}"
    if isinstance(value, (list, tuple)):
        for item in value:
            parts.append(_text(item, inner, colon))  # noqa: PERF401 (a comprehension takes two frames for each level)
        return f"[{inner}{f',{inner}'.join(parts)}{newline}]" if parts else "[]"
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, float)) and value - value == 0:
        return repr(value)
    raise TypeError(f"{value!r} has no JSON form")


def _quoted(text: str) -> str:
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'  # str.translate(3) takes seven times as long
    return f'"{text.translate(_ESCAPES)}"'
