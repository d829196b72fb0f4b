"""What the checks are given, what they find, and how they ask a planner."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocirun import log
from ocirun.errors import Failure, failure
from ocirun.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun_spec.problem import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong at a JSON pointer; the hint can stand alone below a failed command's sentence."""

    pointer: str
    message: str
    hint: str = ""
    severity: Severity = "error"


@dataclass(slots=True)
class Subject:
    """A config whose types are right, and where it would run.

    bundle:  the bundle's directory, absolute.
    systemd: whether systemd is to manage the cgroup (--systemd-cgroup).
    doubts:  whether something at or around a pointer was taken out of the config, since it is refused.
    """

    config: dict[str, Any]
    bundle: str
    systemd: bool = False
    facts: Facts = field(default_factory=Facts)
    doubts: Callable[[str], bool] = lambda _pointer: False

    @property
    def linux(self) -> dict[str, Any]:
        """/linux, empty when there is none."""
        return self.config.get("linux") or {}

    @property
    def process(self) -> dict[str, Any]:
        """/process, empty when there is none."""
        return self.config.get("process") or {}

    @property
    def mounts(self) -> list[dict[str, Any]]:
        """/mounts, empty when there are none."""
        return self.config.get("mounts") or []

    @property
    def rootfs(self) -> str:
        """The root's directory as the host sees it; empty when the config does not say."""
        path = (self.config.get("root") or {}).get("path")
        return os.path.join(self.bundle, path) if path else ""

    def namespace(self, kind: str) -> str | None:
        """The path of a namespace that is joined, empty for a new one, None where the runtime's own is shared."""
        named = self.linux.get("namespaces") or ()
        return next((each.get("path") or "" for each in named if each["type"] == kind), None)


def within(pointer: str, where: str) -> bool:
    """Whether a pointer is that of a value, or of something in it."""
    return (pointer + "/").startswith(where + "/")


def text_of(path: str) -> str:
    """A small file of the host, empty when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def planned(deed: Callable[[], object]) -> list[Finding]:
    """What a planner, or another function that changes nothing, refuses and warns of."""
    found = []
    heard: list[str] = []
    log.listen(heard)
    try:
        deed()
    except Failure as problem:
        found.append(_of_failure(problem))
    except OSError as problem:
        found.append(_of_failure(failure("look at the host", problem)))
    finally:
        log.listen(None)
    for text in heard:
        pointer, _, message = text.partition(": ") if text.startswith("/") else ("", "", text)
        found.append(Finding(pointer, message, severity="warning"))
    return found


def _of_failure(problem: Failure) -> Finding:
    said = str(Failure(problem.doing, call=problem.call, errno=problem.errno))
    return Finding(problem.where if problem.where.startswith("/") else "", said, problem.hint)
