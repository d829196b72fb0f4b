"""process.rlimits by prlimit(2).

The parent raises a hard limit when it is too low (CAP_SYS_RESOURCE counts in the host's user namespace); the
container's process sets the final values last of all, because a small RLIMIT_NOFILE or RLIMIT_AS would starve its own
set-up.
"""

from __future__ import annotations

from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep, OutsideStep
from ocirun_spec.names import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.parent import Host
    from ocirun.scene import Scene

RLIM_INFINITY: Final = (1 << 64) - 1


def _each(process: dict[str, Any], pointer: str) -> list[tuple[str, str, int, int, int]]:
    found = []
    for at, limit in enumerate(process.get("rlimits") or ()):
        soft, hard = (min(limit[key], RLIM_INFINITY) for key in ("soft", "hard"))
        found.append((f"{pointer}/rlimits/{at}", limit["type"], RLIMITS[limit["type"]], soft, hard))
    return found


def adopt(process: dict[str, Any], pointer: str) -> list[OutsideStep]:
    """The parent's steps, one per limit."""
    return [
        OutsideStep(raise_hard, where, f"raise the hard limit {name} to {hard}", number, hard)
        for where, name, number, _soft, hard in _each(process, pointer)
    ]


def launch(process: dict[str, Any], pointer: str) -> list[InsideStep]:
    """The container's steps, one per limit."""
    return [
        InsideStep(set_limit, where, f"set {name} to {soft}:{hard}", number, soft, hard)
        for where, name, number, soft, hard in _each(process, pointer)
    ]


def raise_hard(step: OutsideStep, host: Host) -> None:
    """Raise the hard limit of the container's process where it is below the wanted one."""
    number, hard = step.args
    now = bytearray(16)
    raw.call("prlimit64", raw.PRLIMIT64, host.pid, number, None, now)
    if int.from_bytes(now[8:], "little") < hard:
        kernel.prlimit(host.pid, number, int.from_bytes(now[:8], "little"), hard)


def set_limit(step: InsideStep, _scene: Scene) -> None:
    """prlimit(2) on oneself."""
    kernel.prlimit(0, *step.args)
