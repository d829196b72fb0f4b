"""The sequence as text for a terminal: a paragraph for each phase, a line for each step, its calls below it."""

from __future__ import annotations

from ocirun import log
from ocirun.explaining.sequence import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.explaining.sequence import Entry, Phase

_NAMES: Final = {"runtime": "runtime", "middle": "middle process", "init": "init"}
_COLUMN: Final = 64
"""Where the pointers stand, if the text before is shorter."""
_INDENT: Final = " " * 8


def render(phases: list[Phase]) -> str:
    """The whole text. A reason is given at the first of several equal steps."""
    told: set[str] = set()
    blocks = []
    for phase in phases:
        lines = [f"{_NAMES[phase.process]}: {phase.when}"]
        for entry in phase.entries:
            lines += _entry(entry, told)
        blocks.append("".join(f"{log.printable(line)}\n" for line in lines))
    return "\n".join(blocks)


def _entry(entry: Entry, told: set[str]) -> list[str]:
    if entry.kind == "message":
        return [f"   -> {_NAMES[entry.process]} says {entry.text} to {_NAMES[entry.receiver]}"]
    if entry.kind == "hook":
        return [f"    * {_pointed(f'{_NAMES[entry.process]} runs the hook {entry.text}', entry.pointer)}"]
    number = str(entry.number) if entry.number else "-"
    lines = [f"{number:>5} {_pointed(entry.text, entry.pointer)}"]
    lines += [f"{_INDENT}{call}" for call in entry.calls]
    name = name_of(entry.step) if entry.step else ""
    if name not in told:
        lines += [f"{_INDENT}# after step {before}: {why}" for before, why in entry.reasons]
    told.add(name)
    return lines


def _pointed(text: str, pointer: str) -> str:
    return f"{text:<{_COLUMN}} {pointer}".rstrip()
