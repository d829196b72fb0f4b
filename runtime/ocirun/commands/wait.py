"""`wait`: until the program of a container has ended; prints its exit code, 128 + n when signal n has ended it.

The container's parent is somebody else, who gets to know the status by waitpid(2). The kernel tells others of it too:
as long as the parent has not asked, and from Linux 6.15 on also afterwards (`kernel.exit_status`).
"""

from __future__ import annotations

import os
import select

from ocirun import cli, log, state
from ocirun.commands import events
from ocirun.errors import EXIT_SIGNAL, Failure
from ocirun.kernel import process as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments
    from ocirun.state import Entry

_UNKNOWN = "it has ended, and how is not known any more"


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the program has ended, also before. It takes no lock: other commands go on."""
    entry = state.find(cli.state_root(general), arguments.positionals[0])
    pidfd = hold(entry)
    if pidfd is None:
        log.warning(_UNKNOWN)
        return 0
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    code = exit_code(pidfd, entry.record["pid"], entry.record["start"])
    if code is None:
        log.warning(f"{_UNKNOWN}: only Linux 6.15 and newer keep it")
    else:
        log.write_all(1, f"{code}\n")
    return 0


def hold(entry: Entry) -> int | None:
    """A pidfd that becomes readable when the program has ended; None when that is past."""
    status = entry.life()
    if status == state.CREATING:
        raise events.not_running(status)
    try:
        return events.hold(entry)
    except Failure:
        return None


def exit_code(pidfd: int, pid: int, began: int) -> int | None:
    """How a program with this start time has ended, once the pidfd is readable; None when nobody knows any more."""
    found = kernel.exit_status(pidfd, pid, began)
    if found is None:
        return None
    code = os.waitstatus_to_exitcode(found)
    return code if code >= 0 else EXIT_SIGNAL - code
