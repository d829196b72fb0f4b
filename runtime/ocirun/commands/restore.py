"""`restore`: makes a container from the files of a checkpoint with CRIU; waits for its end, unless detached. Cold."""

from __future__ import annotations

from ocirun import bundle, cli, state
from ocirun.commands import run as run_command
from ocirun.errors import Failure
from ocirun.kernel import process as kernel
from ocirun.linux import console
from ocirun.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns the program's exit code, or 0 with --detach."""
    request = Request(arguments, general, cli.state_root(general))
    kernel.close_on_exec_from(3)  # SECURITY: as in `create`: nothing that the caller left open reaches the processes
    found = bundle.load(arguments.text("bundle"))
    process = found.config.get("process")
    if not process:
        raise Failure("restore the program: the configuration has no process", where="/process")
    state.check_id(request.ident)
    console.check(process, "/process", request.detached, request.console_socket)
    from ocirun import foreground
    from ocirun.criu import restoring

    if request.detached:
        restoring.restore(found, request, arguments)
        return 0
    if not arguments.flag("no-subreaper"):
        foreground.adopt_orphans()
    supervisor = foreground.Foreground()
    host = restoring.restore(found, request, arguments)
    status = run_command.wait(host, supervisor, None)
    run_command.delete_finished(host.entry)
    return status
