"""From created to running: the START message, what comes back, and the poststart hooks.

The container's process closes the channel by execve(2) of the program: end-of-file means that it runs. Only then are
the poststart hooks due (runtime.md, step 9); one that fails stops the container and destroys it.
"""

from __future__ import annotations

from ocirun import destroy, hooks, state, sync
from ocirun.errors import Failure
from ocirun.sync import Channel, Gone
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.state import Entry


def execute(channel: Channel) -> None:
    """Say START and wait until the program runs; StepFailed when it cannot be executed."""
    try:
        channel.send(sync.START)
        kind, _payload, _fd = channel.receive()
    except Gone:
        return
    raise Failure(f"the container's first process said {kind!r} instead of executing its program")


def start(entry: Entry, channel: Channel) -> None:
    """Execute the container's program and record that it runs."""
    execute(channel)
    entry.record["phase"] = state.RUNNING
    entry.save()


def poststart(entry: Entry) -> None:
    """The poststart hooks; a failure kills the container, destroys it, and is the command's failure."""
    configured = (entry.record.get("hooks") or {}).get("poststart") or []
    if not configured:
        return
    document = jsontext.dumps(entry.oci(state.RUNNING)).encode("utf-8", "surrogateescape")
    try:
        hooks.run_all(configured, "/hooks/poststart", document)
    except Failure:
        destroy.kill_and_wait(entry)
        destroy.delete(entry)
        raise
