"""process.user: groups, ids and umask, in the order that each call still permits the next.

The annotation run.oci.keep_original_groups leaves the groups of the caller in place, unless its value is 0 (crun's
rule): a plain user cannot give them to a container in any other way. Podman asks for it together with additionalGids
of its own, so that these are not refused; that they are not set is a warning.
"""

from __future__ import annotations

import os
import stat

from ocirun import log
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.scene import Scene

_KEEP: Final = "run.oci.keep_original_groups"


def keeps_groups(config: dict[str, Any]) -> bool:
    """Whether the configuration has the annotation, and not in order to say no."""
    value: str = (config.get("annotations") or {}).get(_KEEP, "0")
    return value != "0"


def plan(process: dict[str, Any], pointer: str, may_setgroups: bool, keep: bool) -> list[InsideStep]:
    """Steps in order: stdio ownership, groups, gid, uid, umask.

    may_setgroups: false where setgroups(2) is denied; keep: `keeps_groups`.
    """
    user = process.get("user") or {}
    uid, gid = user.get("uid", 0), user.get("gid", 0)
    groups = user.get("additionalGids") or []
    where = f"{pointer}/user"
    steps = [InsideStep(own_stdio, where, "own the standard streams", uid)] if uid else []
    if keep:
        if groups:
            log.warning(f"{where}/additionalGids: not set, because {_KEEP} keeps the caller's groups")
    elif may_setgroups or groups:
        array = b"".join(number.to_bytes(4, "little") for number in groups)
        steps.append(InsideStep(set_groups, f"{where}/additionalGids", "set the groups", array, len(groups)))
    steps.append(InsideStep(set_gid, f"{where}/gid", f"become group {gid}", gid))
    steps.append(InsideStep(set_uid, f"{where}/uid", f"become user {uid}", uid))
    if "umask" in user:
        steps.append(InsideStep(set_umask, f"{where}/umask", f"set umask {user['umask']:o}", user["umask"]))
    return steps


def own_stdio(step: InsideStep, _scene: Scene) -> None:
    """Give pipes, sockets and terminals on fds 0-2 to the user, so that /dev/stdout can be opened again.

    SECURITY: files and other devices keep their owner; /dev/null is shared with the host (CVE-2026-88265).
    """
    for fd in (0, 1, 2):
        mode = os.fstat(fd).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and os.isatty(fd)):
            try:
                os.fchown(fd, step.args[0], -1)
            except OSError as problem:
                if problem.errno not in (1, 22, 30):
                    raise raw.KernelError(problem.errno or 0, "fchown", f"fd {fd}") from None


def set_groups(step: InsideStep, _scene: Scene) -> None:
    """setgroups(2), before the ids: it needs CAP_SETGID."""
    kernel.setgroups(*step.args)


def set_gid(step: InsideStep, _scene: Scene) -> None:
    """setresgid(2)."""
    kernel.setresgid(step.args[0])


def set_uid(step: InsideStep, _scene: Scene) -> None:
    """setresuid(2); the permitted capabilities stay (PR_SET_KEEPCAPS)."""
    kernel.setresuid(step.args[0])


def set_umask(step: InsideStep, _scene: Scene) -> None:
    """umask(2); untouched when the config is silent (config.md, process.user.umask)."""
    os.umask(step.args[0])
