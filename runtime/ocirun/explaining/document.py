"""The sequence as JSON: `processes` as they take turns, each with its steps; and `plain`, the arguments of a step."""

from __future__ import annotations

import os

from ocirun.explaining.sequence import name_of
from ocirun.linux.cgroup import Doors
from ocirun.linux.cgroup.hierarchy import Hierarchies
from ocirun.steps import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.bundle import Bundle
    from ocirun.explaining.sequence import Entry, Phase

_HOSTS = (Hierarchies, Doors)
"""What is the host's or of the moment, and not the configuration's."""


def document(found: Bundle, ident: str, phases: list[Phase]) -> dict[str, Any]:
    """What `explain --format json` prints."""
    return {
        "id": ident,
        "bundle": found.path,
        "phases": [
            {"process": phase.process, "when": phase.when, "entries": [_entry(each) for each in phase.entries]}
            for phase in phases
        ],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    if entry.kind == "message":
        return {"kind": "message", "from": entry.process, "to": entry.receiver, "text": entry.text}
    common = {"kind": entry.kind, "text": entry.text, "pointer": entry.pointer}
    if entry.kind == "hook":
        return common
    if entry.step is None:
        return {**common, "calls": entry.calls}
    return {
        "number": entry.number,
        **common,
        "step": name_of(entry.step),
        "calls": entry.calls,
        "arguments": [plain(each) for each in entry.step.args],
        "reasons": [{"after": before, "why": why} for before, why in entry.reasons],
    }


def plain(value: object) -> Any:
    """An argument as JSON has it: objects by their members, functions by their name, bytes as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, Step):
        return {"step": name_of(value), "arguments": [plain(each) for each in value.args]}
    if isinstance(value, dict):
        return {os.fsdecode(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, _HOSTS) or callable(value):
        return None
    return {name: plain(getattr(value, name)) for name in getattr(type(value), "__slots__", ())}
