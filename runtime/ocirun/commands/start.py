"""`start`: tells a created container to execute its program, and returns when it has."""

from __future__ import annotations

import _socket

from ocirun import cli, starting, state
from ocirun.errors import Failure
from ocirun.sync import Channel, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the program runs, the poststart hooks are done, and a supervisor that waits was told."""
    entry = state.hold(cli.state_root(general), arguments.positionals[0])
    link = _connect(entry)
    if link is None:
        hint = "only a created container can be started"
        raise Failure(f"cannot start a container that is {entry.status()}", hint=hint)
    if not entry.record["program"]:
        raise Failure("the configuration has no process", where="/process")
    readiness = starting.awaited(entry)
    try:
        starting.start(entry, Channel(link))
    except StepFailed as problem:
        failed = _explain(entry, problem)
        from ocirun import hints

        hints.of_container(failed, entry)
        if failed.where.startswith("/hooks/"):
            from ocirun import destroy

            destroy.kill_and_wait(entry)
            destroy.delete(entry)
        raise failed from None
    starting.poststart(entry)
    if readiness:
        entry.unlock()  # other commands must not wait for the program
        readiness.wait()
    return 0


def _connect(entry: state.Entry) -> _socket.socket | None:
    """To the waiting process; None when none waits, which is what tells `created` from the other states."""
    if entry.record["phase"] != state.CREATED or not entry.alive():
        return None
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        link.connect(entry.socket_address())
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    return link


def _explain(entry: state.Entry, problem: StepFailed) -> Failure:
    """The record keeps pointer and text of the steps that were left to do."""
    first, *steps = entry.record["launch"]
    pointer, text = steps[problem.step - first] if 0 <= problem.step - first < len(steps) else ("", "start the program")
    return problem.failure(text, pointer)
