"""From created to running: the START message, what comes back, and the poststart hooks.

The container's process closes the channel by execve(2) of the program: end-of-file means that it runs. Only then are
the poststart hooks due (runtime.md, step 9); one that fails stops the container and destroys it.
"""

from __future__ import annotations

import os

from ocirun import state, sync
from ocirun.errors import Failure, doing
from ocirun.sync import Channel, Gone, Unheard
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.linux.readiness import Readiness
    from ocirun.state import Entry


@doing("execute the program")
def execute(channel: Channel, entry: Entry, pid: int, status: str) -> None:
    """Say START and wait until the program runs; StepFailed when it cannot be executed.

    A filter with SCMP_ACT_NOTIFY sends its descriptor first, once; the listener is told of `pid`, which loaded it, and
    of the container with that `status`. A `Failure` leaves the process waiting: the caller kills it.
    """
    listener = entry.record.get("listener")
    try:
        channel.send(sync.START)
        while True:
            kind, _payload, fd = channel.receive()
            try:
                if kind != sync.LISTENER or not listener:
                    raise Failure(f"the container's first process said {kind!r} instead of executing its program")
                _hand_over(listener, pid, entry.oci(status), fd)
            finally:
                if fd >= 0:
                    os.close(fd)
            listener = None
            channel.send(sync.CONTINUE)
    except Unheard:
        raise Failure("execute the program: the process that should do it is gone") from None
    except Gone:
        return


def _hand_over(listener: list[str], pid: int, document: dict[str, Any], fd: int) -> None:
    from ocirun.linux.seccomp.listener import deliver

    deliver(listener[0], listener[1], pid, document, fd)


def awaited(entry: Entry) -> Readiness | None:
    """The socket on which the program says that it is ready, when a supervisor waits for that."""
    if not entry.record.get("notify"):
        return None
    from ocirun.linux import readiness

    return readiness.expected(entry)


def start(entry: Entry, channel: Channel) -> None:
    """Execute the container's program and record that it runs."""
    try:
        execute(channel, entry, entry.record["pid"], state.CREATED)
    except Failure:
        from ocirun import destroy

        destroy.kill_and_wait(entry)  # it waits to be told to go on: without its listener the program must not run
        raise
    entry.record["phase"] = state.RUNNING
    entry.save()


def poststart(entry: Entry) -> None:
    """The poststart hooks; a failure kills the container, destroys it, and is the command's failure."""
    configured = (entry.record.get("hooks") or {}).get("poststart") or []
    if not configured:
        return
    from ocirun import destroy, hooks

    document = jsontext.dumps(entry.oci(state.RUNNING)).encode("utf-8", "surrogateescape")
    try:
        hooks.run_all(configured, "/hooks/poststart", document, entry.record)
    except Failure:
        destroy.kill_and_wait(entry)
        destroy.delete(entry)
        raise
