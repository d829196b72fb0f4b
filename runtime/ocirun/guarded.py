"""The places of a running container that `mounts` leaves alone: what `create` has put there keeps the container in.

`create` mounts first and covers afterwards, so that no mount lies on top of a mask. What comes later must not cover one
either, nor take it away. Pure.
"""

from __future__ import annotations

from ocirun.kernel import files
from ocirun.linux.mounts.wish import PROC_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Guards = list[tuple[str, str]]

KERNELS_VIEWS: Final = ("proc", "sysfs", "devpts", "cgroup", "cgroup2")
"""Types of filesystem that show what a container may see of the kernel."""
_MADE: Final = ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts")
_CLOSED: Final = ("maskedPaths", "readonlyPaths")


def guards(config: dict[str, Any]) -> Guards:
    """(path, why it is left alone) by the container's configuration."""
    linux: dict[str, Any] = config.get("linux") or {}
    found = [(files.clean(path), f"is in linux.{name}") for name in _CLOSED for path in linux.get(name) or ()]
    found += [(files.clean(each["path"]), "is in linux.devices") for each in linux.get("devices") or ()]
    for entry in config.get("mounts") or ():
        if entry.get("type") in KERNELS_VIEWS:
            found.append((files.clean(entry["destination"]), f"is the container's {entry['type']}"))
    found += [(f"/dev/{name}", "is made for every container") for name in _MADE]
    found += [(path, "is made for every container") for path in ("/proc", "/sys", "/dev")]
    return found


def refusal(place: str, guarded: Guards) -> str:
    """Why nothing is mounted or unmounted at this place, which is absolute and without links; "" when it may be."""
    if place == "/":
        return "it is the container's root"
    if place.startswith("/proc/") and place not in PROC_FILES:
        return "nothing is mounted inside /proc"
    for path, why in guarded:
        if path == place:
            return f"it {why}"
        if why.endswith(_CLOSED) and place.startswith(f"{path}/") and place not in PROC_FILES:
            return f"it is in {path}, which {why}"
    return next((f"{path}, which is in it, {why}" for path, why in guarded if path.startswith(f"{place}/")), "")
