"""What the launcher's `json.c` does, by CPython's scanner: for a Python without the launcher."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_SPACE = " \t\n\r"
_LONGEST = 20  # characters of a number of 64 bits
_TOKEN = re.compile(r"""
    (?P<string> "[^"\\]*(?:\\.[^"\\]*)*" ) (?P<colon> [ \t\n\r]* : )?
    | [{}]
    | NaN
    | -? (?: Infinity | (?:0|[1-9][0-9]*) (?:\.[0-9]+)? (?:[eE][-+]?[0-9]+)? )
""", re.VERBOSE)  # fmt: skip
# In a text that the scanner takes, each backslash begins an escape.
_ESCAPE = re.compile(r"\\(?:(u0000)|u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)")
_UNFIT = ("", "a string holds a NUL character", "a string holds half of a surrogate pair")


class _RefusedError(Exception):
    """Raised by the scanner's hooks, which know what is wrong, but not where: a number or, without one, a key."""

    def __init__(self, message: str, number: str = "") -> None:
        self.message = message
        self.number = number

    def place(self, text: str) -> int:
        """The offset of the first such number, or of a repeated key in the first object that ends and has one."""
        objects: list[tuple[set[str], list[int]]] = []
        for found in _TOKEN.finditer(text):
            token, begin = found.group(), found.start()
            if token == "{":
                objects.append((set(), []))
            elif token == "}":
                repeated = objects.pop()[1]
                if repeated and not self.number:
                    return repeated[0]
            elif found["colon"]:
                key, (keys, repeated) = json.loads(found["string"]), objects[-1]
                if key in keys:
                    repeated.append(begin)
                keys.add(key)
            elif token == self.number:
                return begin
        raise AssertionError(self.message)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _RefusedError(f'the key "{key}" appears twice in one object')
        result[key] = value
    return result


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST or not -(1 << 63) <= int(digits) < 1 << 64:
        raise _RefusedError("the number does not fit in 64 bits", digits)
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if value - value != 0:
        raise _RefusedError("the number is too large", digits)
    return value


def _constant(name: str) -> float:
    raise _RefusedError(f"{name} is not JSON", name)


_SCANNER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def read_json(text: str, refused: Callable[[str, int, str], Exception], /) -> Any:
    """The value of a text; what is wrong is raised as `refused(message, offset, text)`."""
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _SCANNER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise refused(_words(error, start), error.pos, text) from None
    except _RefusedError as error:
        raise refused(error.message, error.place(text), text) from None
    except RecursionError:
        raise refused("nested too deeply", start, text) from None
    end = len(text) - len(text[end:].lstrip(_SPACE))
    if end != len(text):
        raise refused("text after the end of the JSON value", end, text)
    for found in _ESCAPE.finditer(text):
        if found.lastindex:
            raise refused(_UNFIT[found.lastindex], found.start(), text)
    return value


def _words(error: json.JSONDecodeError, start: int) -> str:
    if error.msg != "Expecting value":
        return error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
    if error.pos < len(error.doc):
        return "a value was expected here"
    return "the text ends where a value should begin" if start < error.pos else "the text is empty"
