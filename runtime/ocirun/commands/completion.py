"""`completion`: the script that completes command lines in a shell; with words, what the last of them can become."""

from __future__ import annotations

from ocirun import log
from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, _general: Arguments) -> int:
    """Returns 0 also when nothing fits."""
    from ocirun.manual import completion, shells

    shell, *words = arguments.positionals
    if shell not in shells.SCRIPTS:
        raise Failure(f"there is a script for {', '.join(shells.SCRIPTS)}, not for {shell!r}")
    if words:
        shown = "".join(f"{word}\t{text}".rstrip() + "\n" for word, text in completion.answers(words))
    else:
        shown = shells.SCRIPTS[shell]
    log.write_all(1, shown)
    return 0
