"""The annotations `run.oci.hooks.stdout` and `run.oci.hooks.stderr`, as crun has them: files of the host to which is
appended what the hooks print.

The runtime opens them, with its own rights and before the container's root can be reached; hooks get pipes. The names
have to be absolute, since `start` and `delete` may run elsewhere than `create`.
"""

from __future__ import annotations

import os

from ocirun import hooks
from ocirun.errors import Failure, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.hooks import Logs


def open_all(annotations: dict[str, str]) -> Logs:
    """Open both, or nothing: -1 for one that is not asked for."""
    stdout, stderr = (annotations.get(name) for name in hooks.ANNOTATIONS)
    out = _open(hooks.ANNOTATIONS[0], stdout)
    try:
        return out, _open(hooks.ANNOTATIONS[1], stderr)
    except Failure:
        hooks.close_logs((out, -1))
        raise


def _open(name: str, path: str | None) -> int:
    """For appending, made when it is missing. A pipe that nobody reads is an error and no endless wait."""
    if path is None:
        return -1
    where = f"/annotations/{name}"
    if not path.startswith("/"):
        raise Failure(f'the file for what hooks print, "{path}", is not an absolute path', where=where)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as problem:
        raise failure(f"open {path} for what hooks print", problem, where=where) from None
    os.set_blocking(fd, True)
    return fd
