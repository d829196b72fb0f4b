"""linux.timeOffsets: the clocks of a new time namespace (time_namespaces(7)).

Offsets can be written only while no process is in the namespace, and clone3(2) would put one there. So the container's
process makes the namespace for its children, writes the offsets and then joins it itself. That needs no right on the
host: with a new user namespace the time namespace belongs to it, and its capabilities are enough.
"""

from __future__ import annotations

import os

from ocirun.kernel import files, raw
from ocirun.kernel import process as kernel
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.scene import Scene

_EACCES: Final = 13


def inside(config: dict[str, Any]) -> list[InsideStep]:
    """One step when there are offsets; otherwise the clone makes the namespace, and nothing is left to do.

    It comes after the other namespaces are joined, and before the process becomes root of a user namespace: its files
    in /proc belong to the runtime's user.
    """
    offsets: dict[str, dict[str, int]] = (config.get("linux") or {}).get("timeOffsets") or {}
    if not offsets:
        return []
    lines = [
        b"%s %d %d\n" % (clock.encode(), offset.get("secs") or 0, offset.get("nanosecs") or 0)
        for clock, offset in offsets.items()
    ]
    words = ", ".join(f"{clock} {offset.get('secs') or 0}" for clock, offset in offsets.items())
    text = f"make the time namespace with the offsets {words}"
    return [InsideStep(shift_clocks, "/linux/timeOffsets", text, b"".join(lines))]


def shift_clocks(step: InsideStep, scene: Scene) -> None:
    """unshare(2), the one write that /proc/PID/timens_offsets takes, setns(2)."""
    kernel.unshare(kernel.CLONE_NEWTIME)
    pid = os.readlink(b"self", dir_fd=scene.proc)
    _write(scene.proc, pid + b"/timens_offsets", step.args[0])
    fd = os.open(pid + b"/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC, dir_fd=scene.proc)
    kernel.setns(fd, kernel.CLONE_NEWTIME)
    os.close(fd)


def _write(proc: int, path: bytes, text: bytes) -> None:
    """Write; a process that is not dumpable has its files in /proc owned by root, which a plain user is not.

    SECURITY: it is dumpable for that one write only, and only in the hands of a plain user, who may look into his own
    processes before this one is made.
    """
    try:
        files.write_proc(proc, path, text)
    except raw.KernelError as problem:
        if problem.errno != _EACCES or problem.call == "write":
            raise
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1, name="PR_SET_DUMPABLE")
        try:
            files.write_proc(proc, path, text)
        finally:
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")
