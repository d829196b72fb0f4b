"""`manual`: the page of section 8."""

from __future__ import annotations

from ocirun import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(_arguments: Arguments, _general: Arguments) -> int:
    """Always returns 0."""
    from ocirun.manual import roff

    log.write_all(1, roff.page())
    return 0
