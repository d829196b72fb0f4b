"""`kill`: a signal to the container's process, or with --all to every process of its cgroup.

Without a signal it is the one of the annotation org.opencontainers.image.stopSignal (config.md, Annotations). What is
no signal there has been in the image all along and must not keep anybody from stopping the container: a warning, and
SIGTERM.
"""

from __future__ import annotations

import os

from ocirun import cli, log, state
from ocirun.errors import Failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.kernel.signals import SIGKILL, SIGTERM
from ocirun_spec.names import signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ocirun.cli import Arguments
    from ocirun.state import Entry

_ESRCH: Final = 3
_STOP_SIGNAL: Final = "org.opencontainers.image.stopSignal"


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the signal was sent. With --all a stopped container is no error: shims call it to clean up."""
    ident, *rest = arguments.positionals
    number = number_of(rest[0]) if rest else None
    root, everyone = cli.state_root(general), arguments.flag("all")
    if arguments.flag("regex"):
        from ocirun import several

        return several.each("kill", root, ident, lambda name: kill(state.find(root, name), number, everyone))
    kill(state.find(root, ident), number, everyone)
    return 0


def number_of(name: str) -> int:
    """The signal's number, by its name or number."""
    number = signal_number(name)
    if number is None:
        raise Failure(f"unknown signal {name!r}")
    return number


def kill(entry: Entry, number: int | None, everyone: bool, tell: Callable[[str], None] = log.warning) -> None:
    """Send a signal, or without one the container's own; one that is none is told of."""
    if number is None:
        number = _stop_signal(entry, tell)
    status = entry.life()
    if everyone and status != state.CREATING:
        if entry.record.get("cgroup"):
            from ocirun.linux import cgroup

            cgroup.kill_all(entry.record["cgroup"], number)
            return
        if status == state.STOPPED:
            return
    if status in (state.STOPPED, state.CREATING):
        raise Failure(f"container not running: it is {status}")
    _send(entry, number)
    if number == SIGKILL:
        _let_die(entry.record.get("cgroup"))


def _let_die(record: dict[str, Any] | None) -> None:
    """A frozen process of cgroup v1 dies only when it is thawed; on cgroup2 it needs no help."""
    if record and "freezer" in record["paths"]:
        from ocirun.linux import cgroup

        if cgroup.is_frozen(record):
            cgroup.thaw(record)


def _stop_signal(entry: Entry, tell: Callable[[str], None]) -> int:
    """What the image wants to be stopped with, SIGTERM without a wish."""
    annotations: dict[str, str] = entry.record.get("annotations") or {}
    name = annotations.get(_STOP_SIGNAL, "SIGTERM")
    number = signal_number(name)
    if not number:
        tell(f"/annotations/{_STOP_SIGNAL}: {name!r} is no signal, sending SIGTERM")
        return SIGTERM
    return number


def _send(entry: Entry, number: int) -> None:
    """By pidfd: opened, then compared with the recorded start time, so that a reused pid is never hit."""
    doing = "container not running"
    pidfd = -1
    try:
        pidfd = kernel.pidfd_open(entry.record["pid"])
        if not entry.alive():
            raise Failure(doing)
        kernel.pidfd_send_signal(pidfd, number)
    except raw.KernelError as problem:
        if problem.errno != _ESRCH:
            raise
        raise Failure(doing) from None
    finally:
        if pidfd >= 0:
            os.close(pidfd)
