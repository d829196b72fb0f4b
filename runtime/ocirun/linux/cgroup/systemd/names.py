"""cgroupsPath for systemd: ``slice:prefix:name`` becomes a slice and a scope in it.

As with runc and crun: an empty slice is the manager's usual one, the scope is ``prefix-name.scope``, without a prefix
``name.scope``, and without a cgroupsPath ``ocirun-ID.scope``. See systemd.unit(5) for what names may hold.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.linux.cgroup.place import POINTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_PREFIX: Final = "ocirun"
_LONGEST: Final = 255
"""UNIT_NAME_MAX of systemd, less the closing NUL."""
_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.-@\\")


def unit_of(config: dict[str, Any], ident: str, user: bool) -> tuple[str, str]:
    """(slice, scope) of linux.cgroupsPath; `user`: for the service manager of a user, who has another usual slice."""
    usual = "user.slice" if user else "system.slice"
    path: str = (config.get("linux") or {}).get("cgroupsPath") or ""
    if not path:
        return usual, scope(_PREFIX, ident)
    parts = path.split(":")
    if len(parts) != 3:
        what = f"{path} has not the form slice:prefix:name, which --systemd-cgroup needs"
        raise Failure(what, where=POINTER)
    above, prefix, name = parts
    if not name:
        raise Failure(f"{path} has no name behind slice:prefix:", where=POINTER)
    if name.endswith(".slice"):
        raise Failure(f"{name} is a slice, which holds no processes: a container's unit is a scope", where=POINTER)
    return _slice(above or usual), scope(prefix, name)


def _slice(name: str) -> str:
    """Checked as systemd does: parts between single dashes, each of which is a slice of its own (systemd.slice(5))."""
    stem = name.removesuffix(".slice")
    parts = stem.split("-")
    if name == "-.slice":
        return name
    if stem == name or "/" in name or not all(parts) or not _CHARACTERS.issuperset(stem) or len(name) > _LONGEST:
        raise Failure(f"{name!r} is not the name of a slice", where=POINTER, hint="such as system.slice")
    return name


def scope(prefix: str, name: str) -> str:
    """The scope's name; what a unit's name cannot hold is written as systemd-escape(1) does."""
    stem = f"{prefix}-{name}" if prefix else name
    found = _escape(stem) + ".scope"
    if len(found) > _LONGEST:
        raise Failure(f"the unit's name {found} is longer than {_LONGEST} bytes", where=POINTER)
    return found


def _escape(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if chr(byte) in _CHARACTERS else f"\\x{byte:02x}" for byte in data)
