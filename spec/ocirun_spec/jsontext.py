"""Strict JSON for configs and state records, straight on the interpreter's C scanner.

Rules: what two readers could understand differently is refused (duplicate keys, NaN, integers that no 64-bit type
holds, lone surrogates, text after the value), and so is NUL, which no path, argument or variable can carry. Nothing is
imported on the way in; finding *where* a refused text is wrong may import, because then the command has failed anyway.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SPACE = " \t\n\r"
_INT64_MIN = -(1 << 63)
_UINT64_MAX = (1 << 64) - 1
_SHORT = 19  # characters; fewer digits than this always fit in 64 bits


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
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scan_text(text, start)
    except StopIteration as stop:
        raise JSONError(_expected(text, stop.value), stop.value, text) from None
    except _RefusedError as refused:
        raise JSONError(refused.message, _place(text, refused), text) from None
    except RecursionError:
        raise JSONError("nested too deeply", start, text) from None
    except ValueError as error:
        # The scanner's own error class lives in the json package, which is not imported here for the sake of its name.
        message = str(getattr(error, "msg", error)).removesuffix(" at")
        raise JSONError(message[:1].lower() + message[1:], getattr(error, "pos", start), text) from None
    if end != len(text):
        rest = text[end:].lstrip(_SPACE)
        if rest:
            raise JSONError("text after the end of the JSON value", len(text) - len(rest), text)
    # Raw control characters and unpaired surrogates cannot get here, so only escapes can smuggle them in.
    if "\\u0000" in text or "\\ud" in text or "\\uD" in text:
        _refuse_bad_characters(value, text)
    return value


def _scan_text(text: str, start: int) -> tuple[Any, int]:
    """The C scanner; where the json package is not loaded, it cannot raise its error, and is asked again."""
    scan, _, _ = _parts()
    try:
        return scan(text, start)  # type: ignore[no-any-return]
    except (SystemError, ImportError):
        sys.modules["json.decoder"] = _Decoder  # type: ignore[assignment]
        try:
            return scan(text, start)  # type: ignore[no-any-return]
        finally:
            del sys.modules["json.decoder"]


class _Decoder:
    """Stands in for the module json.decoder, from which the C scanner takes its error class."""

    class JSONDecodeError(ValueError):
        """What is wrong (`msg`) and where (`pos`, an offset in characters)."""

        def __init__(self, message: str, _text: str, offset: int) -> None:
            super().__init__(message)
            self.msg = message
            self.pos = offset


def dumps(value: object) -> str:
    """Compact JSON, keys in the order of the dict, non-ASCII characters as they are."""
    _, encode, _ = _parts()
    return "".join(encode(value, 0))


def pretty(value: object) -> str:
    """JSON indented by two spaces, laid out as Go's json.MarshalIndent does, without a newline at the end."""
    parts: list[str] = []
    _write(value, "\n", parts.append)
    return "".join(parts)


def _write(value: object, newline: str, put: Callable[[str], None]) -> None:
    inner = newline + "  "
    if isinstance(value, dict) and value:
        opening = "{"
        for key, item in value.items():
            put(opening + inner + _parts()[2](key) + ": ")
            _write(item, inner, put)
            opening = ","
        put(newline + "}")
    elif isinstance(value, (list, tuple)) and value:
        opening = "["
        for item in value:
            put(opening + inner)
            _write(item, inner, put)
            opening = ","
        put(newline + "]")
    else:
        put(dumps(value))


class _RefusedError(Exception):
    """Raised by the scanner's hooks, which know what is wrong but not where."""

    def __init__(self, message: str, token: str, repeated: bool = False) -> None:
        self.message = message
        self.token = token
        self.repeated = repeated


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError(f'the key "{key}" appears twice in one object', key, repeated=True)
            seen.add(key)
    return result


def _integer(digits: str) -> int:
    if len(digits) < _SHORT:
        return int(digits)
    if len(digits) > _SHORT + 1 or not _INT64_MIN <= int(digits) <= _UINT64_MAX:
        raise _RefusedError("the number does not fit in 64 bits", digits)
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if value - value != 0:
        raise _RefusedError("the number is too large", digits)
    return value


def _constant(name: str) -> float:
    raise _RefusedError(f"{name} is not JSON", name)


class _Context:
    """The attributes that `_json.make_scanner` reads from what is usually a json.JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_float = staticmethod(_number)
    parse_int = staticmethod(_integer)
    parse_constant = staticmethod(_constant)


def _unknown(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_made: tuple[Any, Any, Callable[[str], str]] | None = None


def _parts() -> tuple[Any, Any, Callable[[str], str]]:
    """The scanner, the encoder, and the one of strings; `_json`, a library of its own, is loaded at the first use."""
    global _made
    if _made is None:
        import _json

        options = (False, False, False)  # no sorting, no skipping of keys, no NaN
        encode = _json.make_encoder(None, _unknown, _json.encode_basestring, None, ":", ",", *options)
        # The stubs ask for a scanner where the scanner's maker reads the attributes above.
        _made = _json.make_scanner(_Context()), encode, _json.encode_basestring  # type: ignore[arg-type]
    return _made


def _expected(text: str, offset: int) -> str:
    if not text.strip(_SPACE):
        return "the text is empty"
    if offset >= len(text):
        return "the text ends where a value should begin"
    return "a value was expected here"


def _place(text: str, refused: _RefusedError) -> int:
    from . import positions

    return positions.find_token(text, refused.token, refused.repeated)


def _refuse_bad_characters(value: object, text: str) -> None:
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str):
            if "\0" in item:
                raise JSONError("a string holds a NUL character", text.find("\\u0000"), text)
            if not item.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in item):
                raise JSONError("a string holds half of a surrogate pair", text.lower().find("\\ud"), text)
