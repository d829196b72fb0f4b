"""`kill`: a signal to the container's process, or with --all to every process of its cgroup."""

from __future__ import annotations

from ocirun import cli, state
from ocirun.errors import Failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun_spec.names import signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.cli import Arguments
    from ocirun.state import Entry

_ESRCH: Final = 3


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the signal was sent. With --all a stopped container is no error: shims call it to clean up."""
    ident, *rest = arguments.positionals
    name = rest[0] if rest else "SIGTERM"
    number = signal_number(name)
    if number is None:
        raise Failure(f"unknown signal {name!r}")
    entry = state.find(cli.state_root(general), ident)
    if arguments.flag("all") and entry.record.get("cgroup"):
        from ocirun.linux import cgroup

        cgroup.kill_all(entry.record["cgroup"], number)
        return 0
    status = entry.life()
    if status == state.STOPPED and arguments.flag("all"):
        return 0
    if status in (state.STOPPED, state.CREATING):
        raise Failure(f"container not running: it is {status}")
    _send(entry, number)
    return 0


def _send(entry: Entry, number: int) -> None:
    """By pidfd: opened, then compared with the recorded start time, so that a reused pid is never hit."""
    doing = "container not running"
    try:
        pidfd = kernel.pidfd_open(entry.record["pid"])
        if not entry.alive():
            raise Failure(doing)
        kernel.pidfd_send_signal(pidfd, number)
    except raw.KernelError as problem:
        if problem.errno != _ESRCH:
            raise
        raise Failure(doing) from None
