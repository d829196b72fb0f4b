"""`delete`: undoes what `create` made. --force kills first, and a container that is not there is no error."""

from __future__ import annotations

from ocirun import cli, destroy, state
from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when the container is gone.

    A `created` container may be deleted, although runtime.md allows it for `stopped` ones only: engines depend on
    runc's way, which kills its process first.
    """
    root, force = cli.state_root(general), arguments.flag("force")
    if arguments.flag("regex"):
        from ocirun import several

        return several.each("delete", root, arguments.positionals[0], lambda ident: _delete(root, ident, force))
    _delete(root, arguments.positionals[0], force)
    return 0


def _delete(root: str, ident: str, force: bool) -> None:
    try:
        entry = state.hold(root, ident)
    except state.UnknownContainer:
        if force:
            return
        raise
    except state.Damaged as damage:
        if not force:
            raise
        from ocirun import salvage

        salvage.delete(damage)
        return
    status = entry.status()
    if status == state.CREATED or force:
        destroy.kill_and_wait(entry)
    elif status != state.STOPPED:
        hint = "--force kills it first"
        raise Failure(f"the container is not stopped: {status}", hint=hint)
    destroy.delete(entry)
