"""`usage`: what containers use now, for people; `events --stats` has all numbers, for programs."""

from __future__ import annotations

from ocirun import cli, log, state
from ocirun.commands import events
from ocirun.commands import list as listing
from ocirun.errors import Failure
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.cli import Arguments
    from ocirun.state import Entry

    Row = dict[str, Any]

_COLUMNS: Final = (
    ("id", "ID"), ("status", "STATUS"), ("pids", "PROCESSES"), ("memory", "MEMORY"), ("cpuTime", "CPU TIME"),
    ("read", "READ"), ("written", "WRITTEN"), ("received", "RECEIVED"), ("sent", "SENT"),
)  # fmt: skip
_SIZES: Final = ("read", "written", "received", "sent")
_NO_LIMIT: Final = 1 << 62
"""Bytes: a limit above is none; cgroup v1 says 2⁶³ less a page."""


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0; a container that was named has to run."""
    root, named = cli.state_root(general), arguments.positionals
    style = arguments.text("format", "table")
    rows = [row(state.find(root, name)) for name in named]
    if not named:
        rows = [found for found in (_running(root, name) for name in state.names(root)) if found]
    if style == "json":
        log.write_all(1, jsontext.dumps(rows) + "\n")
    else:
        log.write_all(1, listing.aligned([[title for _, title in _COLUMNS], *map(_shown, rows)]))
    return 0


def _running(root: str, name: str) -> Row | None:
    """The row of a container that runs; what is none, or ends meanwhile, has no row."""
    try:
        return row(state.find(root, name))
    except Failure:
        return None


def row(entry: Entry) -> Row:
    """The numbers of one container: bytes, nanoseconds, processes; what the cgroup does not count is left out."""
    status = entry.status()
    if status in (state.CREATING, state.STOPPED):
        raise events.not_running(status)
    if not entry.record["cgroup"]:
        raise Failure("the container has no cgroup of its own, so that nothing counts what it uses")
    found = events.statistics(entry)
    if found is None:
        raise events.not_running(state.STOPPED)
    data = found["data"]
    memory = data["memory"].get("usage") or {}
    limit = memory.get("limit", _NO_LIMIT)
    done = data["blkio"].get("ioServiceBytesRecursive") or []
    networks = data["network_interfaces"]
    return {
        "id": entry.ident,
        "status": status,
        "pids": data["pids"].get("current", 0),
        "memory": memory.get("usage", 0),
        **({"memoryLimit": limit} if limit < _NO_LIMIT else {}),
        "cpuTime": data["cpu"]["usage"].get("total", 0),
        "read": sum(each.get("value", 0) for each in done if each.get("op") == "Read"),
        "written": sum(each.get("value", 0) for each in done if each.get("op") == "Write"),
        "received": sum(each.get("RxBytes", 0) for each in networks),
        "sent": sum(each.get("TxBytes", 0) for each in networks),
    }


def _shown(found: Row) -> list[str]:
    """The row in words."""
    limit = found.get("memoryLimit")
    words = dict(found) | {name: size(found[name]) for name in _SIZES}
    words["memory"] = size(found["memory"]) + (f" / {size(limit)}" if limit is not None else "")
    words["cpuTime"] = f"{found['cpuTime'] / 1e9:.2f} s"
    return [str(words[name]) for name, _ in _COLUMNS]


def size(number: int) -> str:
    """Bytes in the largest unit that leaves a whole number before the point: ``0 B``, ``1.5 MiB``."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
