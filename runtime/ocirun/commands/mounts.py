"""`mounts`: adds mounts to a container that is there, or removes some, all that are asked for or none.

The configuration in the state directory follows, so that `checkpoint` knows what is the host's.
"""

from __future__ import annotations

from ocirun import cli, join, mounting, mountlist, state
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.kernel import files
from ocirun.kernel import process as kernel
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli import Arguments
    from ocirun.state import Entry


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when all mounts are there, or gone."""
    asked = mountlist.read(arguments)  # before the lock: standard input may be slow
    deed, ident = arguments.positionals[:2]
    kernel.close_on_exec_from(3)
    entry = state.hold(cli.state_root(general), ident)
    status = entry.status()
    if status not in (state.CREATED, state.RUNNING, state.PAUSED):
        raise Failure(f"container not running: it is {status}")
    config = jsontext.loads(entry.read("config.json").decode("utf-8", "surrogateescape"))
    try:
        asked.check(config.get("linux") or {})
        _change(entry, config, asked.entries, deed == mountlist.ADD)
    except Failure as problem:
        from ocirun import hints

        hints.of_mounts(problem, entry, asked.entries)
        pointer, colon, words = problem.hint.partition(": ")
        problem.hint = asked.place(pointer) + colon + words
        problem.where = asked.place(problem.where)
        raise
    return 0


def _change(entry: Entry, config: dict[str, Any], entries: list[dict[str, Any]], add: bool) -> None:
    facts = Facts()
    joining = join.Joining(config, join.hold(entry), facts)
    if not joining.private(kernel.CLONE_NEWNS):
        raise Failure("the container has no mount namespace of its own: its mounts are the host's")
    if add:
        work = mounting.adding(entry, config, entries, facts, joining)
    else:
        work = mounting.removing(config, entries, joining)

    def settle() -> None:
        config["mounts"] = _after(config.get("mounts") or [], entries, add)
        entry.write("config.json", jsontext.dumps(config).encode("utf-8", "surrogateescape"))

    mounting.carry_out(entry, work, joining, facts, settle)


def _after(known: list[dict[str, Any]], entries: list[dict[str, Any]], add: bool) -> list[dict[str, Any]]:
    """The mounts that there are then: what is mounted in one goes with it; of several on a place the last is on top."""
    if add:
        return [*known, *entries]
    for each in entries:
        place = files.clean(each["destination"])
        places = [files.clean(old["destination"]) for old in known]
        if place in places:
            at = len(places) - 1 - places[::-1].index(place)
            known = [old for number, old in enumerate(known) if number < at or not _within(places[number], place)]
    return known


def _within(path: str, place: str) -> bool:
    return f"{path}/".startswith(f"{place}/")
