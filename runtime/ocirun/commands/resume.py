"""`resume`: lets the processes of a paused container go on."""

from __future__ import annotations

from ocirun import cli, state
from ocirun.commands.pause import cgroup_of
from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the container is thawed."""
    entry = state.hold(cli.state_root(general), arguments.positionals[0])
    status = entry.status()
    if status != state.PAUSED:
        raise Failure(f"the container is not paused: it is {status}")
    from ocirun.linux import cgroup

    cgroup.thaw(cgroup_of(entry))
    return 0
