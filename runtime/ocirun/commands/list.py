"""`list`: the containers of a state directory, as a table, as JSON, or their ids."""

from __future__ import annotations

import os

from ocirun import cli, log, state
from ocirun.commands.state import document
from ocirun.errors import Failure
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirun.cli import Arguments


def run(arguments: Arguments, general: Arguments) -> int:
    """Prints every container that can be read; one that is deleted meanwhile is left out, and a damaged one told."""
    root = cli.state_root(general)
    style = arguments.text("format", "table")
    found = documents(root)
    if arguments.flag("quiet"):
        log.write_all(1, "".join(each["id"] + "\n" for each in found))
    elif style == "json":
        log.write_all(1, jsontext.dumps(found) + "\n")
    else:
        log.write_all(1, table(found))
    return 0


def documents(root: str, tell: Callable[[str], None] = log.warning) -> list[dict[str, Any]]:
    """One for each container, in the order of their ids; damaged ones are told of."""
    found = []
    for name in state.names(root):
        try:
            entry = state.find(root, name)
        except state.Damaged as damage:
            tell(str(damage))
            continue
        except Failure:
            continue
        shown = document(entry)
        shown["owner"] = owner_name(entry.record.get("owner", 0))
        os.close(entry.fd)
        found.append(shown)
    return found


def owner_name(uid: int) -> str:
    """The user's name from the host's /etc/passwd, or ``#uid``."""
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return f"#{uid}"
    with os.fdopen(fd) as lines:
        for line in lines:
            fields = line.split(":")
            if len(fields) > 2 and fields[2] == str(uid):
                return fields[0]
    return f"#{uid}"


def table(found: list[dict[str, Any]]) -> str:
    """runc's columns."""
    keys = ("id", "pid", "status", "bundle", "created", "owner")
    return aligned([[key.upper() for key in keys], *([str(each.get(key, "")) for key in keys] for each in found)])


def aligned(rows: list[list[str]]) -> str:
    """Lines with columns as wide as their content; the first row is the heading."""
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
