"""`delete --force` of a container whose record was damaged: what is known otherwise is undone, so that the id is free.

Members of the record that are whole count. The cgroup is looked for by the configuration that was kept: a cgroup with
processes is no other container's, since `create` refuses one (see `place.check_unused`). Whatever cannot be known is
left, which is the warning.
"""

from __future__ import annotations

import os

from ocirun import destroy, log
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.linux.cgroup import place
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.state import Damaged, Entry


def delete(damage: Damaged) -> None:
    """Kill, remove, forget. The lock is held."""
    entry = damage.entry
    log.warning(f"{damage}: processes, mounts and devices that only the record named are left")
    if not entry.record["cgroup"]:
        entry.record["cgroup"] = _cgroup(entry)
    destroy.kill_and_wait(entry)
    for problem in destroy.release(entry):
        log.warning(problem)
    entry.remove()
    destroy.poststop(entry)


def _cgroup(entry: Entry) -> dict[str, Any] | None:
    """A record of the cgroups that are where the configuration wanted the container's; None without any."""
    try:
        config = jsontext.loads(entry.read("config.json").decode("utf-8", "surrogateescape"))
        facts = Facts()
        rooted = facts.euid == 0 and facts.initial_userns
        if (config["linux"].get("cgroupsPath") or "").count(":") == 2:
            from ocirun.linux.cgroup.systemd import names

            unit = names.unit_of(config, entry.ident, not rooted)[1]
            stop = f"systemctl {'' if rooted else '--user '}stop {unit}"
            log.warning(f"a unit of systemd is left with its processes: {stop}")
            return None
        path = place.wanted(config, entry.ident, rooted)
    except (OSError, Failure, jsontext.JSONError, AttributeError, KeyError, TypeError):
        return None
    found = facts.cgroups
    hierarchies = [*found.v1, *([found.unified] if found.unified else [])]
    paths = {}
    for each in hierarchies:
        directory = place.directory(each, path, found.mode == "unified")
        if os.path.isdir(directory):
            paths.update(dict.fromkeys(each.controllers or [place.UNIFIED], directory))
    made = sorted(set(paths.values()))
    return {"driver": "v1" if found.v1 else "v2", "paths": paths, "made": made} if paths else None
