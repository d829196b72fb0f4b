"""`update`: changes the limits of a container, all that are asked for or none.

The configuration in the state directory gets the new limits at last, so that the next update and `exec` begin with
what is true.
"""

from __future__ import annotations

from ocirun import asked, cli, log, state
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.journal import Journal
from ocirun.kernel import signals
from ocirun.linux import cgroup
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.asked import Asked
    from ocirun.cli import Arguments
    from ocirun.state import Entry


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 when all limits are as asked, also when nothing was."""
    wanted = asked.read(arguments)  # before the lock: standard input may be slow
    entry = state.hold(cli.state_root(general), arguments.positionals[0])
    status = entry.status()
    if status not in (state.CREATED, state.RUNNING, state.PAUSED):
        raise Failure(f"container not running: it is {status}")
    journal = Journal()
    try:
        _change(entry, wanted, journal)
    except BaseException as problem:
        signals.hold_interrupt()
        for left in journal.take_back():
            log.warning(f"not taken back: {left}")
        if isinstance(problem, Failure):
            problem.where = wanted.place(problem.where)
        raise
    finally:
        journal.close()
    return 0


def _change(entry: Entry, wanted: Asked, journal: Journal) -> None:
    config = _config(entry)
    linux: dict[str, Any] = config.get("linux") or {}
    changed = dict(linux)
    facts = Facts()
    if wanted.resources:
        record = entry.record.get("cgroup")
        current: dict[str, Any] = linux.get("resources") or {}
        merged = cgroup.update(record, current, wanted.resources, facts, journal)
        if merged != current:
            changed["resources"] = merged
    if wanted.schemas:
        from ocirun.linux import intelrdt

        lines = [(f"--{name}", wanted.schemas[each]) for name, each in asked.SCHEMAS.items() if each in wanted.schemas]
        intelrdt.update(entry.record.get("intelRdt"), lines, facts.resctrl, journal)
        changed["intelRdt"] = {**linux["intelRdt"], **wanted.schemas}
    if changed != linux:
        config["linux"] = changed
        entry.write("config.json", jsontext.dumps(config).encode("utf-8", "surrogateescape"))


def _config(entry: Entry) -> dict[str, Any]:
    """The configuration as it was at `create`, with the limits of later updates."""
    where = f"{entry.path}/config.json"
    try:
        config = jsontext.loads(entry.read("config.json").decode("utf-8", "surrogateescape"))
    except (OSError, jsontext.JSONError) as problem:
        raise Failure(f"the configuration cannot be read: {problem}", where=where) from None
    if not isinstance(config, dict):
        raise Failure("the configuration is not an object", where=where)
    return config
