"""The sequence as a diagram of Mermaid (sequenceDiagram): steps are notes over their process, messages are arrows."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.explaining.sequence import Entry, Phase

_NAMES: Final = {"runtime": "runtime", "middle": "middle process", "init": "init"}
_HOOK: Final = "hook"


def render(phases: list[Phase]) -> str:
    """The whole diagram."""
    entries = [entry for phase in phases for entry in phase.entries]
    present = {entry.process for entry in entries}
    lines = ["sequenceDiagram"]
    lines += [f"    participant {key} as {name}" for key, name in _NAMES.items() if key in present]
    if any(entry.kind == _HOOK for entry in entries):
        lines.append(f"    participant {_HOOK} as hooks")
    for entry in entries:
        lines.append(f"    {_line(entry)}")
    return "\n".join(lines) + "\n"


def _line(entry: Entry) -> str:
    text = _plain(entry.text)
    if entry.kind == "message":
        return f"{entry.process}->>{entry.receiver}: {text}"
    if entry.kind == _HOOK:
        return f"{entry.process}->>{_HOOK}: {text}"
    if entry.kind == "step":
        return f"Note over {entry.process}: {entry.number} {text}"
    child = "middle" if "middle" in text else "init"
    if entry.calls[0].startswith("clone3"):
        return f"{entry.process}->>{child}: {_plain(entry.calls[0])}"
    return f"Note over {entry.process}: {text}"


def _plain(text: str) -> str:
    """What would end a statement or begin an entity, as an entity; a backslash where nothing can be printed."""
    printable = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
    return printable.replace("#", "#35;").replace(";", "#59;").replace("#35#59;", "#35;")
