"""One problem of a config.json, as a person reads it, and the advice that a likeness of names gives. Cold."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .names import NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Collection

Severity = Literal["error", "warning"]
Kind = Literal["json", "schema", "rule", "caution", "runtime", "host"]
"""Who found it: the reader of JSON, the schema, a rule between fields, a likeness to something that is meant, what this
runtime does not do, what this host cannot do."""

# Words that people know from other places, where likeness of spelling does not help.
_SYNONYMS = {"net": "network", "mnt": "mount", "hostname": "uts", "userns": "user", "netns": "network"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; `line` and `column` count from 1, `pointer` is a JSON pointer, unknown texts are empty."""

    source: str
    line: int
    column: int
    pointer: str
    message: str
    expected: str = ""
    hint: str = ""
    severity: Severity = "error"
    excerpt: str = ""
    kind: Kind = "caution"

    def render(self) -> str:
        """`file:line:column: /pointer: message`, then indented lines with the excerpt, what was expected and a hint."""
        place = f"{self.source}:{self.line}:{self.column}: "
        kind = "warning: " if self.severity == "warning" else ""
        where = f"{self.pointer}: " if self.pointer else ""
        lines = [f"{place}{kind}{where}{self.message}", *self.excerpt.splitlines()]
        lines += [f"{name}: {text}" for name, text in (("expected", self.expected), ("hint", self.hint)) if text]
        return "\n    ".join(lines)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint that names the closest known name, or "" if none is close."""
    synonym = _SYNONYMS.get(name)
    if synonym in known and synonym in NAMESPACES:
        return f"did you mean {synonym}?"
    whole = [candidate for candidate in known if candidate.lower().endswith(f"_{name.lower()}")]
    if len(whole) == 1:
        return f"did you mean {whole[0]}?"
    folded = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), folded, 1, 0.7)
    return f"did you mean {folded[close[0]]}?" if close else ""
