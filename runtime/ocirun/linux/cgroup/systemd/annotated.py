"""Annotations ``org.systemd.property.NAME``: properties of the container's unit, their values in GVariant's text form.

The form is that of GLib's "GVariant Text Format", as far as properties of units need it: ``'text'``, ``true``, ``5``,
``uint64 5``, ``['a', 'b']``, ``@as []``. As with runc, a name that ends with ``Sec`` is given in seconds and sent as
the ``USec`` property that systemd has on the bus.
"""

from __future__ import annotations

from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Variant = tuple[str, Any]

PREFIX: Final = "org.systemd.property."
_SHORTEST: Final = 3
_OURS: Final = frozenset(("PIDs", "Slice", "Delegate", "DevicePolicy", "DeviceAllow"))
_INTEGERS: Final = {
    "byte": ("y", 0, (1 << 8) - 1),
    "int16": ("n", -(1 << 15), (1 << 15) - 1),
    "uint16": ("q", 0, (1 << 16) - 1),
    "int32": ("i", -(1 << 31), (1 << 31) - 1),
    "uint32": ("u", 0, (1 << 32) - 1),
    "int64": ("x", -(1 << 63), (1 << 63) - 1),
    "uint64": ("t", 0, (1 << 64) - 1),
}
_TEXTS: Final = {"string": "s", "objectpath": "o", "signature": "g"}
_ARRAYS: Final = {f"@a{code}": code for code in "bynqiuxtdsog"}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_MICROSECONDS: Final = 1_000_000


def properties(annotations: dict[str, str]) -> list[tuple[str, Variant]]:
    """(name, (D-Bus signature, value)) in the configuration's order.

    SECURITY: which processes the unit holds, where it is and which devices it may use is not for an annotation to say.
    """
    found = []
    for key, text in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name, where = key.removeprefix(PREFIX), f"/annotations/{key}"
        if len(name) < _SHORTEST or not (name.isascii() and name.isalnum()):
            raise Failure(f"{name!r} is not the name of a unit's property", where=where)
        if name in _OURS:
            raise Failure(f"the unit's property {name} is the runtime's to set", where=where)
        found.append(_in_microseconds(name, _Reader(text, where).whole(), where))
    return found


def _in_microseconds(name: str, variant: Variant, where: str) -> tuple[str, Variant]:
    if not name.endswith("Sec") or name.endswith("USec"):
        return name, variant
    signature, value = variant
    if signature not in "ynqiuxtd" or value < 0:
        raise Failure(f"{name} takes a number of seconds, not {value!r}", where=where)
    return name.removesuffix("Sec") + "USec", ("t", int(value * _MICROSECONDS))


class _Reader:
    """One value's text, read from left to right."""

    __slots__ = ("_at", "_text", "_where")

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._at = 0

    def whole(self) -> Variant:
        """The value; refuses what is left behind it."""
        found = self._value()
        self._skip()
        if self._at != len(self._text):
            raise self._refusal(f"nothing may follow the value, but {self._text[self._at :]!r} does")
        return found

    def _refusal(self, what: str) -> Failure:
        hint = "GVariant's text form: 'text', true, 5, uint64 5, ['a', 'b']"
        return Failure(f"{self._text!r} is no value: {what}", where=self._where, hint=hint)

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t\n":
            self._at += 1

    def _peek(self) -> str:
        self._skip()
        return self._text[self._at : self._at + 1]

    def _value(self) -> Variant:
        first = self._peek()
        if first and first in "'\"":
            return "s", self._string(first)
        if first == "[":
            return self._array("")
        word = self._word()
        if word in ("true", "false"):
            return "b", word == "true"
        if word in _ARRAYS:
            if self._peek() != "[":
                raise self._refusal(f"a list has to follow {word}")
            return self._array(_ARRAYS[word])
        if word in _TEXTS:
            return _TEXTS[word], self._string(self._peek())
        return self._number(word)

    def _number(self, word: str) -> Variant:
        """With its type before it, or a plain one: a double when it has a point, else an int32."""
        if word in _INTEGERS or word == "double":
            self._skip()
            kind, word = word, self._word()
        else:
            kind = "double" if "." in word else "int32"
        if kind in _INTEGERS:
            return self._integer(word, *_INTEGERS[kind])
        try:
            return "d", float(word)
        except ValueError:
            raise self._refusal(f"{word!r} is not a number") from None

    def _word(self) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in " \t\n,[]'\"":
            self._at += 1
        if start == self._at:
            raise self._refusal("something is missing at its end")
        return self._text[start : self._at]

    def _integer(self, word: str, signature: str, low: int, high: int) -> Variant:
        try:
            value = int(word, 0)
        except ValueError:
            raise self._refusal(f"{word!r} is not an integer") from None
        if not low <= value <= high:
            raise self._refusal(f"{value} is not between {low} and {high}")
        return signature, value

    def _string(self, quote: str) -> str:
        if quote not in ("'", '"'):
            raise self._refusal("a quoted text is missing")
        self._at += 1
        found = ""
        while self._at < len(self._text):
            letter = self._text[self._at]
            self._at += 1
            if letter == quote:
                return found
            if letter == "\\" and self._at < len(self._text):
                letter = self._text[self._at]
                self._at += 1
                letter = _ESCAPES.get(letter, letter)
            found += letter
        raise self._refusal("the closing quote is missing")

    def _array(self, code: str) -> Variant:
        """All elements have one type, that of the first when none is named."""
        self._at += 1
        found: list[Any] = []
        while self._peek() != "]":
            signature, value = self._value()
            code = code or signature
            if signature != code and not (signature == "i" and code in "ynquxt"):
                raise self._refusal("the elements of the list differ in their type")
            found.append(value)
            if self._peek() == ",":
                self._at += 1
            elif self._peek() != "]":
                raise self._refusal("the closing bracket is missing")
        self._at += 1
        if not code:
            raise self._refusal("an empty list needs its type, such as @as []")
        return f"a{code}", found
