"""`pause`: freezes every process of a container."""

from __future__ import annotations

from ocirun import cli, state
from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments
    from ocirun.state import Entry


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when all processes stand still."""
    entry = state.hold(cli.state_root(general), arguments.positionals[0])
    status = entry.status()
    if status not in (state.CREATED, state.RUNNING):
        raise Failure(f"container not running: it is {status}")
    from ocirun.linux import cgroup

    cgroup.freeze(cgroup_of(entry))
    return 0


def cgroup_of(entry: Entry) -> state.Record:
    """The record of the container's cgroup; a container without one cannot be frozen."""
    if not entry.record["cgroup"]:
        raise Failure("the container has no cgroup of its own, so that it cannot be paused")
    record: state.Record = entry.record["cgroup"]
    return record
