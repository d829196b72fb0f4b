"""Whether a container's first process was killed because its cgroup had no memory left: asked when it has died."""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.linux.cgroup import groupfs, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.linux.cgroup.limits import Setting

    Record = dict[str, Any]


def for_want_of_memory(record: Record, settings: list[Setting]) -> Failure | None:
    """The sentence, or None when the kernel's count of killed processes does not say so.

    The count of a cgroup that was there before this container speaks of others too, so it is not asked.
    """
    paths = record["paths"]
    path, counts, limit = paths.get("memory"), "memory.oom_control", "memory.limit_in_bytes"
    if path is None:
        path, counts, limit = paths.get(place.UNIFIED), "memory.events", "memory.max"
    if path not in record["made"]:
        return None
    try:
        lines = groupfs.read(f"{path}/{counts}").splitlines()
        now = groupfs.read(f"{path}/{limit}").strip().decode()
    except OSError:
        return None
    if not any(line.startswith(b"oom_kill ") and int(line.split()[1]) for line in lines):
        return None
    asked = [setting.pointer for setting in settings if setting.controller == "memory"]
    return Failure(
        f"the container's first process was killed for want of memory while it set itself up: {limit} is {now}",
        where=asked[0] if asked else "",
        hint="raise linux.resources.memory.limit" if asked else "a cgroup above the container's has a memory limit",
    )
