"""What a runtime's processes open once the container's root is theirs, read from strace.

Rules: a process is *inside* from its pivot_root(2), chroot(2) or setns(2) into a mount namespace until its own
successful execve(2); a process that appears while another is inside counts as inside too, until its execve, which is
stricter than needed and spares matching pids of two namespaces. One that is within its execve cannot have made the new
process: the runtime hears of that call's success before strace says so, and may have begun a hook on the host. The
programs that a container runs must not fork.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CALLS = (
    "open,openat,openat2,creat,execve,execveat,stat,lstat,newfstatat,statx,access,faccessat,faccessat2,readlink,"
    "readlinkat,chroot,pivot_root,setns,getdents64,mkdir,mkdirat,unlink,unlinkat,rename,renameat2,symlinkat,connect"
)
ENTERS = ("pivot_root", "chroot")
LINE = re.compile(r"^(?P<pid>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\()(?P<rest>.*)$")
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass
class Access:
    """One look at a path by name. `at` is the call's first argument when it is a directory descriptor."""

    call: str
    at: str
    path: str


@dataclass
class Trace:
    """A parsed trace."""

    entered: int = 0
    inside: list[Access] = field(default_factory=list)
    everything: list[Access] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)

    @property
    def named(self) -> set[str]:
        """The paths that processes inside looked at, those relative to a descriptor included."""
        return {access.path for access in self.inside if access.path}


def strace(output: Path, command: Sequence[str], failing: str = "", when: str = "1+") -> list[str]:
    """The command line that traces `command` and all its children.

    failing: a system call that fails with EDOTDOT, an error that no code expects; `when` counts in each process.
    """
    calls = f"{CALLS},{failing}" if failing else CALLS
    inject = ["-e", f"inject={failing}:error=EDOTDOT:when={when}"] if failing else []
    options = ["-f", "-s", "4096", "-e", f"trace={calls}", "-e", "signal=none", *inject]
    return ["strace", *options, "-o", str(output), *command]


def read(output: Path) -> Trace:
    """Parse what strace wrote."""
    trace = Trace()
    inside: set[int] = set()
    known: set[int] = set()
    executing: set[int] = set()
    pending: dict[int, str] = {}
    for line in output.read_text(errors="replace").splitlines():
        matched = LINE.match(line)
        if matched is None:
            continue
        pid, rest = int(matched["pid"]), matched["rest"]
        if inside - executing and pid not in known:
            inside.add(pid)
        known.add(pid)
        call = matched["call"] or matched["resumed"]
        if matched["call"]:
            if call in ENTERS or (call == "setns" and "CLONE_NEWNS" in rest):
                trace.entered += 1
                inside.add(pid)
            access = _access(call, rest)
            if access is not None:
                trace.everything.append(access)
                if pid in inside and call not in ENTERS:
                    trace.inside.append(access)
            pending[pid] = access.path if access else ""
        if call.startswith("execve") and _executed(rest, pid, inside, executing):
            trace.programs.append(pending[pid])
    return trace


def _executed(rest: str, pid: int, inside: set[int], executing: set[int]) -> bool:
    """Follow an execve; says whether a process inside has become another program, and is inside no more."""
    (executing.add if rest.endswith("<unfinished ...>") else executing.discard)(pid)
    if not rest.endswith("= 0") or pid not in inside:
        return False
    inside.discard(pid)
    return True


def _access(call: str, rest: str) -> Access | None:
    path = PATH.search(rest)
    if path is None or call not in CALLS.split(","):
        return None
    head = rest[: path.start()].rstrip(", ")
    return Access(call, head, path[1])
