"""`checkpoint`: saves the state of a running container's processes with CRIU. Cold."""

from __future__ import annotations

from ocirun import cli, destroy, state
from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the images are complete. A container that was not to go on is deleted then, as with runc."""
    entry = state.hold(cli.state_root(general), arguments.positionals[0])
    status = entry.status()
    if status not in (state.RUNNING, state.PAUSED):
        raise Failure(f"container not running: it is {status}")
    from ocirun.criu import dumping

    goes_on = arguments.flag("leave-running") or arguments.flag("pre-dump")
    dumping.checkpoint(entry, arguments)
    if not goes_on:
        destroy.delete(entry)
    return 0
