"""`state`: the container's state as JSON, with the members of runtime.md and those that runc adds."""

from __future__ import annotations

from ocirun import cli, log, state
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli import Arguments
    from ocirun.state import Entry


def run(arguments: Arguments, general: Arguments) -> int:
    """Prints one JSON object."""
    entry = state.find(cli.state_root(general), arguments.positionals[0])
    log.write_all(1, jsontext.pretty(document(entry)) + "\n")
    return 0


def document(entry: Entry) -> dict[str, Any]:
    """The state; `pid` is 0 when the container is stopped, as callers expect."""
    record = entry.record
    shown = entry.oci(entry.status())
    shown["rootfs"] = record.get("rootfs", "")
    shown["created"] = record.get("created", "")
    if record.get("annotations"):
        shown["annotations"] = shown.pop("annotations")
    shown["owner"] = ""
    return shown
