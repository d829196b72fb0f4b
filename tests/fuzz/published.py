"""The verdict of the published schemas, where they lie beside the checkout (see `unit/spec/conftest.py`)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzz.configs import TREE
from jsonschema import Draft4Validator, validators
from referencing import Registry
from referencing.jsonschema import DRAFT4
from support.bundle import REPOSITORY
from unit.spec.test_published import OTHER_BOUNDS, OTHER_CHOICES, OTHER_PLATFORMS

from ocirun_spec import properties

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocirun_spec.tree import Node

_FOLDER = Path(os.environ.get("OCIRUN_SHARED", REPOSITORY.parent / "shared")) / "runtime-spec" / "schema"
_OTHERWISE = {
    *OTHER_BOUNDS,
    *OTHER_CHOICES,
    *(f"/linux/resources/blockIO/throttle{each}Device/*" for each in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")),
    "/linux/memoryPolicy",
    "/linux/personality",
    "/linux/resources/pids",
    *(row.pointer for row in properties.CONFIG if row.pattern),  # what only the text says of a string
    *(f"/hooks/{name}/*/timeout" for name in TREE.members["hooks"].members),
}
"""Where the table has another opinion on purpose, with the reasons in `unit/spec/test_published.py`."""


def _load() -> Any:
    """The validator, for which 1.0 is no integer; None without the schemas."""
    if not _FOLDER.is_dir():
        return None
    texts = {path.name: json.loads(path.read_bytes()) for path in _FOLDER.glob("*.json")}
    for each in texts.values():
        each.pop("id", None)
    registry: Any = Registry().with_resources((name, DRAFT4.create_resource(each)) for name, each in texts.items())
    checker = Draft4Validator.TYPE_CHECKER.redefine("integer", lambda _, value: value.__class__ is int)
    extend: Any = validators.extend
    return extend(Draft4Validator, type_checker=checker)(texts["config-schema.json"], registry=registry)


_VALIDATOR = _load()


def pattern(path: Iterable[object]) -> str:
    """The table's pointer of a place; "" for what the table does not look into."""
    node: Node | None = TREE
    for part in path:
        if node is None:
            return ""
        node = node.members.get(str(part)) or node.item
    return node.row.pointer if node else ""


def differs(config: object, accepted: bool, places: set[str]) -> str:
    """What the published schemas say otherwise, "" when they agree, do not know or are not there.

    places: the pointers of the table at which we find fault.
    """
    if _VALIDATOR is None:
        return ""
    theirs = {
        pattern(error.absolute_path): error.message
        for error in _VALIDATOR.iter_errors(config)
        if error.validator != "pattern"
    }
    odd = {
        place
        for place in {*theirs, *places}
        if place in _OTHERWISE or place.startswith((*OTHER_PLATFORMS, "/linux/timeOffsets"))
    }
    if accepted == (not theirs) or odd:
        return ""
    return f"accepted: {accepted}, the published schemas: {theirs}"
