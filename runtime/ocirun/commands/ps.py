"""`ps`: the processes of a container, by the host's ps(1), or their ids as JSON."""

from __future__ import annotations

import os

from ocirun import cli, log, state
from ocirun.errors import Failure
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.cli import Arguments
    from ocirun.state import Entry

_PLACES: Final = ("/usr/bin/ps", "/bin/ps")


def run(arguments: Arguments, general: Arguments) -> int:
    """Prints the table of ``ps -ef`` (or of the options given) reduced to the container's processes."""
    ident, *options = arguments.positionals
    style = arguments.text("format", "table")
    entry = state.find(cli.state_root(general), ident)
    found = pids(entry)
    if style == "json":
        log.write_all(1, jsontext.dumps(found) + "\n")
        return 0
    log.write_all(1, reduced(_host_table(options or ["-ef"]), set(found)))
    return 0


def pids(entry: Entry) -> list[int]:
    """Process ids of the runtime's pid namespace, ascending; those of the cgroup, or without one the first process."""
    if entry.record.get("cgroup"):
        from ocirun.linux import cgroup

        return sorted(cgroup.pids(entry.record["cgroup"]))
    return [entry.record["pid"]] if entry.alive() else []


def _host_table(options: list[str]) -> str:
    path = next((place for place in _PLACES if os.access(place, os.X_OK)), "")
    if not path:
        raise Failure("list the processes: ps is not installed", hint="package procps; or use --format json")
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.posix_spawn(path, ["ps", *options], dict(os.environ), file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
    os.close(writer)
    with os.fdopen(reader) as lines:
        text = lines.read()
    if os.waitpid(child, 0)[1]:
        raise Failure(f"list the processes: ps {' '.join(options)} failed")
    return text


def reduced(table: str, wanted: set[int]) -> str:
    """The heading and the lines whose PID column is wanted."""
    heading, *lines = table.splitlines(True)
    names = heading.split()
    if "PID" not in names:
        raise Failure("list the processes: these ps options print no PID column")
    column = names.index("PID")
    kept = [
        line for line in lines if len(line.split()) > column and line.split()[column] in {str(each) for each in wanted}
    ]
    return heading + "".join(kept)
