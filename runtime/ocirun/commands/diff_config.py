"""`diff-config`: what two configurations do differently, as their plans for this host and this user tell it."""

from __future__ import annotations

from ocirun import log
from ocirun.errors import Failure
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments
    from ocirun.explaining.effects import Effect

EXIT_DIFFERENT = 1


def run(arguments: Arguments, general: Arguments) -> int:
    """Prints the differences; 0 when there are none, 1 when there are some."""
    from ocirun.explaining import difference

    style = arguments.text("format", "text")
    first, second = (_effects(path, arguments, general) for path in arguments.positionals)
    found = difference.compare(first, second)
    shown = jsontext.pretty(difference.document(found)) + "\n" if style == "json" else difference.render(found)
    log.write_all(1, shown)
    return EXIT_DIFFERENT if found else 0


def _effects(path: str, arguments: Arguments, general: Arguments) -> list[Effect]:
    from ocirun import explaining
    from ocirun.explaining.effects import effects

    found = explaining.load(path)
    try:
        plan = explaining.composed(found, arguments, general)
    except Failure as problem:
        problem.where = f"{path}: {problem.where}" if problem.where else path
        raise
    return effects(plan, found.config, found.path)
