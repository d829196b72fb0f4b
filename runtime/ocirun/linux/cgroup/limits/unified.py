"""linux.resources.unified: files of the container's own cgroup2 directory, whether or not the runtime knows them.

The controller is what stands before the first dot. A value of several lines is several writes, since the kernel takes
one device, or one page size, at a time.

SECURITY: a key is a file of that directory and no path. The files that decide which processes are in the cgroup, and
whether they run or can be there at all, are the runtime's own: writing them would put it into the container's cgroup,
stop it there, or leave the container without a place.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.linux.cgroup.limits import EMPTY, POINTER, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_OURS: Final = frozenset(
    ("cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type", "cgroup.subtree_control")
)


def v2(files: dict[str, str]) -> list[Setting]:
    """In the configuration's order."""
    settings = []
    for name, content in files.items():
        pointer = f"unified/{name.replace('~', '~0').replace('/', '~1')}"
        if not name or "/" in name or "\0" in name or name in (".", ".."):
            raise Failure(f'"{name}" is not the name of a file in the cgroup', where=f"{POINTER}/{pointer}")
        if name in _OURS:
            raise Failure(f"{name} is the runtime's to write, it is no limit", where=f"{POINTER}/{pointer}")
        controller = name.partition(".")[0]
        if controller == "cgroup":
            controller = ""
        lines = [line for line in content.split("\n") if line] or [EMPTY]
        settings += [Setting(controller, name, line, pointer) for line in lines]
    return settings
