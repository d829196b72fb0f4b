"""`explain`: the plan of a container, in order and per process. Nothing of it is done."""

from __future__ import annotations

from ocirun import log
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Prints it as text, JSON or a diagram; needs no privileges."""
    from ocirun import explaining
    from ocirun.explaining import document, mermaid, sequence, text

    style = arguments.text("format", "text")
    found = explaining.load((arguments.positionals or [arguments.text("bundle")])[0])
    plan = explaining.composed(found, arguments, general)
    phases = sequence.phases(plan, found.config)
    if style == "json":
        shown = jsontext.pretty(document.document(found, arguments.text("id", "ID"), phases)) + "\n"
    elif style == "mermaid":
        shown = mermaid.render(phases)
    else:
        shown = text.render(phases)
    log.write_all(1, shown)
    return 0
