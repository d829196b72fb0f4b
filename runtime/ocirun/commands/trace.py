"""`trace`: draws the file of `run --trace` on the terminal."""

from __future__ import annotations

import os

from ocirun import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, _general: Arguments) -> int:
    """As wide as the terminal; ASCII alone where the locale is not UTF-8."""
    from ocirun.tracing import chrome, drawing

    found = chrome.read(os.path.abspath(arguments.positionals[0]))
    log.write_all(1, drawing.draw(found, _width() or drawing.WIDTH, not _is_utf8()))
    return 0


def _width() -> int:
    """Of the terminal that is printed to; 0 when it is none."""
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0


def _is_utf8() -> bool:
    """By the variables of locale(7), the first that is set."""
    named = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return "utf8" in next((each for each in named if each), "").lower().replace("-", "")
