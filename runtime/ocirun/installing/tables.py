"""TOML that keeps its text: keys are added between two marked lines, and a line that one of them replaces becomes a
comment between them. This is no editor of TOML: who calls `add` gets nothing that does not parse to what was asked for.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from ocirun.errors import Failure
from ocirun.installing import merged, unfit
from ocirun_spec import jsontext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun.installing import Values

    Table = tuple[tuple[str, ...], Values]

_MARK = "# >>> written by ocirun install, name "
_BEGIN = _MARK + "{name}: --undo takes it back"
_END = "# <<< ocirun install, name {name}"
_WAS = "# was: "
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def parse(text: str, path: str) -> dict[str, Any]:
    """The tables of a text, or a `Failure` with line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        message = str(problem)
        found = _PLACE.search(message)
        line, column = found.groups() if found else (None, None)
        if not line:
            line, column = str(text.count("\n") + 1), str(len(text) - text.rfind("\n"))
        message = message[: found.start()] if found else message
        where = f"{path}:{line}:{column}"
        raise Failure(f"the file is no TOML: {message[:1].lower()}{message[1:]}", where=where) from None


def add(text: str, name: str, tables: Sequence[Table], path: str) -> str:
    """The text with these tables' keys; `path` is its file's."""
    expected = parse(text, path)
    for place, values in tables:
        expected = merged(expected, place, values)
    lines = text.splitlines(keepends=True)
    fresh = []
    for place, values in tables:
        at = next((number for number in _free(lines) if _header(lines[number]) == place), None)
        if at is None:
            fresh.append(_table(place, values))
        else:
            _insert(lines, at, name, values)
    result = "".join(lines)
    if fresh:
        gap = "" if not result else "\n" if result.endswith("\n") else "\n\n"
        result += gap + _block(name, "\n".join(fresh))
    try:
        if tomllib.loads(result) == expected:
            return result
    except tomllib.TOMLDecodeError:
        pass
    raise unfit(path, "\n".join(_table(place, values) for place, values in tables))


def strip(text: str, name: str) -> str:
    """The text without what `add` has added under this name."""
    begin, end = (re.escape(mark.format(name=name)) for mark in (_BEGIN, _END))
    block = re.compile(rf"(^\n)?^{begin}\n((?:{_WAS}.*\n)*)(?:.*\n)*?{end}\n?", re.MULTILINE)
    return block.sub(_without, text)


def _without(found: re.Match[str]) -> str:
    was = re.sub(rf"^{_WAS}", "", found[2], flags=re.MULTILINE)
    return (found[1] or "") + was if was else ""


def _block(name: str, content: str) -> str:
    return f"{_BEGIN.format(name=name)}\n{content}{_END.format(name=name)}\n"


def _table(place: tuple[str, ...], values: Values) -> str:
    header = f"[{'.'.join(map(_key, place))}]\n"
    return header + "".join(f"{key} = {jsontext.dumps(value)}\n" for key, value in values.items())


def _key(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z0-9_-]+", word) else jsontext.dumps(word)


def _header(line: str) -> tuple[str, ...] | None:
    """The path of a line that begins a table."""
    if not line.lstrip().startswith("["):
        return None
    try:
        inner: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    path = []
    while isinstance(inner, dict) and len(inner) == 1:
        ((key, inner),) = inner.items()
        path.append(key)
    return tuple(path)


def _free(lines: list[str]) -> list[int]:
    """Numbers of the lines that do not stand between marks: those go when the other name's are taken back."""
    found, inside = [], False
    for number, line in enumerate(lines):
        inside = inside or line.startswith(_MARK)
        if not inside:
            found.append(number)
        inside = inside and not line.startswith("# <<< ")
    return found


def _insert(lines: list[str], header: int, name: str, values: Values) -> None:
    """Put values into the table that begins at this line, each where its key stands already, or below the header."""
    if not lines[header].endswith("\n"):
        lines[header] += "\n"
    for key, value in reversed(list(values.items())):
        at = -1
        for number in _free(lines):
            if number > header and lines[number].lstrip().startswith("["):
                break
            if number > header and re.match(rf"\s*{re.escape(key)}\s*=", lines[number]):
                at = number
                break
        was = lines.pop(at) if at >= 0 else ""
        kept = f"{_WAS}{was.rstrip(chr(10))}\n" if was else ""
        at = at if at >= 0 else header + 1
        lines[at:at] = _block(name, f"{kept}{key} = {jsontext.dumps(value)}\n").splitlines(keepends=True)
