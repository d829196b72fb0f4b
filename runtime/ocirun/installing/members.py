"""JSON that keeps its text: members are put in where their object ends, and taken out with the comma beside them."""

from __future__ import annotations

import json
import re
from typing import Any

from ocirun.errors import Failure
from ocirun_spec import jsontext
from ocirun_spec.positions import Positions, escape

_EMPTY = re.compile(r"\{\s*\}")


def parse(text: str, path: str) -> dict[str, Any]:
    """The object of a text, or a `Failure` with line and column."""
    try:
        found = jsontext.loads(text)
    except jsontext.JSONError as problem:
        where = f"{path}:{problem.line}:{problem.column}"
        raise Failure(f"the file is no JSON: {problem.message}", where=where, hint="\n" + problem.excerpt()) from None
    if not isinstance(found, dict):
        raise Failure("the file is no JSON object", where=f"{path}:1:1")
    return found


def put(text: str, parent: str, key: str, value: object) -> str:
    """The text with this member in the object at the pointer `parent`; a member that is there gets the value."""
    positions = Positions(text)
    shown = json.dumps(value, ensure_ascii=False)
    member = f"{parent}/{escape(key)}"
    if member in positions.values:
        return text[: positions.values[member]] + shown + text[_end(text, positions.values[member]) :]
    shown = f"{json.dumps(key, ensure_ascii=False)}: {shown}"
    start = positions.values[parent]
    siblings = _members(positions, parent)
    if not siblings:
        inside = shown if parent else f"\n    {shown}\n"
        return text[:start] + _EMPTY.sub(lambda _: f"{{{inside}}}", text[start:], count=1)
    gap = text[start + 1 : positions.keys[siblings[0]]] or " "
    last = _end(text, positions.values[siblings[-1]])
    return f"{text[:last]},{gap}{shown}{text[last:]}"


def remove(text: str, parent: str, key: str) -> str:
    """The text without this member of the object at the pointer `parent`, where there is one."""
    positions = Positions(text)
    member = f"{parent}/{escape(key)}"
    siblings = _members(positions, parent)
    if member not in siblings:
        return text
    at = siblings.index(member)
    end = _end(text, positions.values[member])
    if at > 0:
        return text[: _end(text, positions.values[siblings[at - 1]])] + text[end:]
    if len(siblings) > 1:
        return text[: positions.keys[member]] + text[positions.keys[siblings[1]] :]
    start = positions.values[parent]
    return f"{text[:start]}{{}}{text[_end(text, start) :]}"


def _members(positions: Positions, parent: str) -> list[str]:
    """Pointers of an object's members, in the order of the text."""
    return [pointer for pointer in positions.keys if pointer.rpartition("/")[0] == parent]


def _end(text: str, start: int) -> int:
    """Where the value that begins there ends."""
    return json.JSONDecoder().raw_decode(text, start)[1]
