"""What came from outside, made fit for a report: a runtime may write anything."""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST = 20_000
"""Characters of one text; what is more is cut, and the cut is named."""

# Control characters but the tab and the line's end, what turns the direction of writing, lone surrogates and
# non-characters: neither XML 1.0 nor YAML 1.2 has room for them, and a terminal obeys some.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The text with `\\xNN` or `\\uNNNN` for each character that is unfit."""
    return _UNFIT.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shortened(text: str, longest: int = LONGEST) -> str:
    """The printable text, without its middle when it is long."""
    text = printable(text)
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters are left out]\n{text[-half:]}"


def plain(value: object) -> Any:
    """The value as JSON has it: sets become sorted lists, other things their text; strings are printable."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, dict):
        return {printable(str(key)): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(member) for member in value), key=repr)
    return shortened(repr(value))


def line(value: object) -> str:
    """The value as JSON in one line."""
    return json.dumps(plain(value), ensure_ascii=False)
