"""`wait`: until the program of a container has ended; prints its exit code, 128 + n when signal n has ended it.

The container's parent is somebody else, who gets to know the status by waitpid(2). The kernel tells others of it too:
as long as the parent has not asked, and from Linux 6.15 on also afterwards (`kernel.exit_status`).
"""

from __future__ import annotations

import os
import select

from ocirun import cli, log, state
from ocirun.commands import events
from ocirun.errors import Failure
from ocirun.kernel import process as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments

_UNKNOWN = "it has ended, and how is not known any more"


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the program has ended, also before. It takes no lock: other commands go on."""
    entry = state.find(cli.state_root(general), arguments.positionals[0])
    status = entry.life()
    if status == state.CREATING:
        raise events.not_running(status)
    try:
        pidfd = events.hold(entry)
    except Failure:
        log.warning(_UNKNOWN)
        return 0
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    found = kernel.exit_status(pidfd, entry.record["pid"], entry.record["start"])
    if found is None:
        log.warning(f"{_UNKNOWN}: only Linux 6.15 and newer keep it")
        return 0
    code = os.waitstatus_to_exitcode(found)
    log.write_all(1, f"{code if code >= 0 else 128 - code}\n")
    return 0
