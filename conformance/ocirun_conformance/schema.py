"""What the published JSON schema demands of a state: schema/state-schema.json of runtime-spec 1.3.0."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STATUSES = ("creating", "created", "running", "stopped")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_map(value: object) -> bool:
    return isinstance(value, dict) and all(key and isinstance(each, str) for key, each in value.items())


_MEMBERS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "ociVersion": ("a string", _is_text),
    "id": ("a string", _is_text),
    "status": (f"one of {', '.join(STATUSES)}", lambda value: value in STATUSES),
    "pid": ("a number from 0 on", lambda value: type(value) is int and value >= 0),
    "bundle": ("a string", _is_text),
    "annotations": ("a map of strings", _is_map),
}
_REQUIRED = ("ociVersion", "id", "status", "bundle")


def problems_of_state(state: dict[str, Any]) -> list[str]:
    """What does not fit, in words; nothing if the state fits."""
    missing = [f"there is no {name}" for name in _REQUIRED if name not in state]
    wrong = [
        f"{name} is not {what}" for name, (what, holds) in _MEMBERS.items() if name in state and not holds(state[name])
    ]
    return missing + wrong
