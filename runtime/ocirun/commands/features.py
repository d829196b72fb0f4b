"""`features`: what this program can do, as JSON (features.md, features-linux.md)."""

from __future__ import annotations

from ocirun import log
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(_arguments: Arguments, _general: Arguments) -> int:
    """Prints one JSON object; needs no privileges and no containers."""
    from ocirun import cold

    cold.enable()
    from ocirun import claims

    log.write_all(1, jsontext.pretty(claims.document()) + "\n")
    return 0
