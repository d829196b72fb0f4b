"""`create`: everything but the program. What stays is the waiting process, its cgroups and the state folder."""

from __future__ import annotations

from ocirun import bundle, cli, parent, state, sync
from ocirun.commands import preparing
from ocirun.errors import Failure
from ocirun.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the container is created."""
    request = Request(arguments, general, cli.state_root(general))
    found = bundle.load(arguments.text("bundle"))
    try:
        plan = preparing.plan(found, request)
        host = preparing.timed(plan, request, lambda: parent.create(found, plan, request))
    except Failure as problem:
        from ocirun import hints

        hints.add(problem, found)
        raise
    preparing.settle(host, request, state.CREATED, sync.WAIT)
    return 0
