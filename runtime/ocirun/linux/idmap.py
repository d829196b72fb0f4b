"""linux.uidMappings, linux.gidMappings: /proc/PID/uid_map and gid_map of the new user namespace (user_namespaces(7)).

A parent with CAP_SETUID writes the maps itself; a plain user may write one line mapping his own id, with setgroups
denied first, and otherwise asks newuidmap(1) and newgidmap(1).
"""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.kernel import files
from ocirun.kernel import process as kernel
from ocirun.kernel.userns import lines
from ocirun.steps import InsideStep, OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts
    from ocirun.kernel.userns import Mapping
    from ocirun.parent import Host
    from ocirun.scene import Scene

_CAP_SETUID: Final = 7
_TOOL_PATHS: Final = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin")


def own_id_only(mappings: Mapping, own: int) -> bool:
    """Whether a plain user may write this map himself."""
    return len(mappings) == 1 and mappings[0]["hostID"] == own and mappings[0]["size"] == 1


def adopt(config: dict[str, Any], facts: Facts) -> list[OutsideStep]:
    """One step per map; how it is written depends on what the caller may do."""
    linux = config.get("linux") or {}
    uids, gids = linux.get("uidMappings") or [], linux.get("gidMappings") or []
    direct = bool(facts.effective >> _CAP_SETUID & 1)
    steps = []
    if not direct and own_id_only(gids, os.getegid()):
        steps.append(OutsideStep(deny_setgroups, "/linux/gidMappings", "deny setgroups in the user namespace"))
    for kind, mappings, own in (("uid", uids, facts.euid), ("gid", gids, os.getegid())):
        pointer, text = f"/linux/{kind}Mappings", f"write the {kind} map"
        if direct or own_id_only(mappings, own):
            steps.append(OutsideStep(write_map, pointer, text, kind.encode(), lines(mappings)))
        else:
            steps.append(OutsideStep(ask_tool, pointer, text, f"new{kind}map", lines(mappings).split()))
    return steps


def may_setgroups(config: dict[str, Any], facts: Facts) -> bool:
    """Whether setgroups(2) is open to the container: not where a plain user mapped only himself."""
    gids = (config.get("linux") or {}).get("gidMappings") or []
    return bool(facts.effective >> _CAP_SETUID & 1) or not own_id_only(gids, os.getegid())


def owner(config: dict[str, Any]) -> tuple[int, int]:
    """The (uid, gid) that sets the container up: root's, or the first that is mapped where root is not."""
    linux = config.get("linux") or {}
    found = [_owner(linux.get(name) or []) for name in ("uidMappings", "gidMappings")]
    return found[0], found[1]


def _owner(mappings: Mapping) -> int:
    first = min((each["containerID"] for each in mappings), default=0)
    return int(first)


def inside(config: dict[str, Any]) -> list[InsideStep]:
    """Become root of the user namespace once it is mapped: what the container's process makes belongs to its root."""
    return [InsideStep(become_root, "/linux/uidMappings", "become root of the user namespace", *owner(config))]


def deny_setgroups(_step: OutsideStep, host: Host) -> None:
    """Required before an unprivileged gid_map (user_namespaces(7), since Linux 3.19)."""
    files.write_proc(host.proc, b"%d/setgroups" % host.pid, b"deny")


def write_map(step: OutsideStep, host: Host) -> None:
    """One write, which the kernel accepts exactly once."""
    kind, text = step.args
    files.write_proc(host.proc, b"%d/%s_map" % (host.pid, kind), text)


def find_tool(tool: str) -> str:
    """The path of newuidmap or newgidmap, empty when it is not installed."""
    return next((f"{place}/{tool}" for place in _TOOL_PATHS if os.access(f"{place}/{tool}", os.X_OK)), "")


def ask_tool(step: OutsideStep, host: Host) -> None:
    """newuidmap(1) or newgidmap(1): set-user-ID tools that check /etc/subuid and /etc/subgid."""
    tool, numbers = step.args
    path = find_tool(tool)
    if not path:
        raise Failure(f"{step.text}: {tool} is not installed (package uidmap)", where=step.pointer)
    child = os.fork()
    if child == 0:
        try:
            os.execve(path, [tool, str(host.pid), *numbers], {})
        finally:
            os._exit(127)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise Failure(f"{step.text}: {tool} refused", where=step.pointer, hint="look at /etc/subuid and /etc/subgid")


def become_root(step: InsideStep, _scene: Scene) -> None:
    """setresgid(2), setresuid(2); the supplementary groups of the caller stay until process.user sets them.

    Where no id 0 is mapped, no change of ids takes the capabilities that the first process of the namespace has.
    """
    uid, gid = step.args
    kernel.setresgid(gid)
    kernel.setresuid(uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")
