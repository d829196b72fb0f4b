"""One command for all containers in whose ids a regular expression has a match (crun's --regex, in Python's `re`).

What fails for one keeps no other waiting.
"""

from __future__ import annotations

import re

from ocirun import cli, state
from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def each(command: str, root: str, pattern: str, deed: Callable[[str], None]) -> int:
    """Do it for each, and tell of each failure; a container that another command has deleted meanwhile is none.

    Returns the exit code: 0 also when nothing matches.
    """
    try:
        found = re.compile(pattern)
    except re.error as problem:
        raise Failure(f"{pattern!r} is no regular expression: {problem}") from None
    code = 0
    for name in filter(found.search, state.names(root)):
        try:
            deed(name)
        except state.UnknownContainer:
            continue
        except Failure as problem:
            code = cli.report(problem, [command, name])
    return code
