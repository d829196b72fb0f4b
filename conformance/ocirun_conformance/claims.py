"""What a runtime says of itself by `features`: it is not judged for a value or a property that it does not claim."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .case import NotRun

if TYPE_CHECKING:
    from .trial import Trial

_documents: dict[tuple[str, ...], dict[str, Any]] = {}


def features(trial: Trial) -> dict[str, Any]:
    """The features document; {} for a runtime that has none. It is asked for once."""
    runtime = trial.runtime
    if runtime.program not in _documents:
        call = runtime.call(runtime.command("features", {}), trial.new_file("features"))
        try:
            document = json.loads(call.out) if call.code == 0 else {}
        except ValueError:
            document = {}
        _documents[runtime.program] = document if isinstance(document, dict) else {}
    return _documents[runtime.program]


def claimed(trial: Trial, pointer: str) -> list[str] | None:
    """The list at a place of the features document, such as "linux/seccomp/actions"; None when it says nothing."""
    found: Any = features(trial)
    for name in pointer.split("/"):
        found = found.get(name) if isinstance(found, dict) else None
    return [str(each) for each in found] if isinstance(found, list) else None


def must_claim(trial: Trial, name: str, pointer: str) -> None:
    """The case is not run for a runtime whose list at that place lacks the name; one without a list claims all."""
    listed = claimed(trial, pointer)
    if listed is not None and name not in listed:
        raise NotRun(f"the runtime does not claim {name} in {pointer} of its features")


def numbers(version: str) -> tuple[int, ...]:
    """1.0.2-dev as (1, 0, 2)."""
    return tuple(int(word) for word in version.partition("-")[0].split(".") if word.isdecimal())


def must_know(trial: Trial, version: str, what: str) -> None:
    """The case is not run for a runtime of an older specification, which has to ignore what it does not know."""
    if numbers(trial.version) < numbers(version):
        raise NotRun(f"{what} is newer than {trial.version}, the newest version that the runtime claims")
