"""What a runtime could leave behind on the host, as comparable snapshots.

Rules: a snapshot only reads; comparing waits a little, because the kernel finishes some removals (dying processes,
cgroups, namespaces) after the command returned; the failure text lists each addition and loss by kind.

`scope` narrows a snapshot to what carries one of the given strings (a temporary directory, a container's id) in its
path, command line, environment, cgroup or mounts. Without a scope everything counts, which needs a host on which
nothing else happens.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .command import POLL_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Sequence

CGROUP_TYPES = ("cgroup", "cgroup2")
PROCESS_EVIDENCE = ("cmdline", "environ", "cgroup")


@dataclass(frozen=True)
class HostSnapshot:
    """Sets of readable strings, one set per kind of thing that can be left behind."""

    scope: tuple[str, ...]
    root: Path | None
    mounts: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    files: frozenset[str]
    networks: frozenset[str]

    @classmethod
    def take(cls, root: Path | None = None, scope: Sequence[str] = ()) -> Self:
        """Read the host now; `root` is the runtime's `--root`, whose files are counted."""
        words = tuple(scope)
        pids = _foreign_pids(words)
        return cls(
            scope=words,
            root=root,
            mounts=frozenset(line for line in _mounts() if _matches(line, words)),
            cgroups=frozenset(path for path in all_cgroups() if _matches(path, words)),
            processes=frozenset(text for text in map(_describe, pids) if text),
            files=frozenset(_files(root)),
            networks=frozenset(_networks(pids)),
        )

    def again(self) -> Self:
        """A new snapshot with the same root and scope."""
        return type(self).take(self.root, self.scope)

    def difference(self, later: HostSnapshot) -> list[str]:
        """One line per thing that `later` has more (+) or less (-) than this snapshot."""
        lines = []
        for kind in ("mounts", "cgroups", "processes", "files", "networks"):
            before: frozenset[str] = getattr(self, kind)
            after: frozenset[str] = getattr(later, kind)
            lines += [f"+ {kind}: {item}" for item in sorted(after - before)]
            lines += [f"- {kind}: {item}" for item in sorted(before - after)]
        return lines

    def assert_unchanged(self, deadline: float = 3.0) -> None:
        """Compare with the host as it is now; AssertionError with the difference when it stays after `deadline` s."""
        end = time.monotonic() + deadline
        while True:
            lines = self.difference(self.again())
            if not lines:
                return
            if time.monotonic() > end:
                raise AssertionError("the host is not as it was before:\n" + "\n".join(lines))
            time.sleep(POLL_INTERVAL)


def _matches(text: str, scope: Sequence[str]) -> bool:
    return not scope or any(word in text for word in scope)


def _mounts() -> list[str]:
    """Mounts of our own namespace: root within the filesystem, mount point, type and source (proc_pid_mountinfo(5)).

    Ids and options are left out: an id may be given to another mount, and an option changes when a peer group grows.
    """
    lines = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        lines.append(f"{fields[4]} from {fields[3]} ({' '.join(right.split()[:2])})")
    return lines


def cgroup_mountpoints() -> list[Path]:
    """Where the cgroup hierarchies, v1 and v2, are mounted in our namespace."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in CGROUP_TYPES:
            points.append(Path(left.split()[4]))
    return points


def cgroup_of(pid: int, controller: str) -> Path:
    """The directory of a process's cgroup that has the files of this controller: a v1 hierarchy's, or cgroup2's."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}")
    return Path(f"/sys/fs/cgroup{next(path for _, controllers, path in lines if not controllers)}")


def all_cgroups() -> list[str]:
    """Every cgroup directory of every mounted hierarchy."""
    paths = []
    for point in cgroup_mountpoints():
        for directory, children, _ in os.walk(point):
            paths += [os.path.join(directory, child) for child in children]
    return paths


def _foreign_pids(scope: Sequence[str]) -> list[int]:
    """Processes that are not this one, one of its ancestors or a kernel thread, and that carry the scope's words."""
    known = _ancestors()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in known]
    return [pid for pid in pids if _carries(pid, scope)]


def _ancestors() -> set[int]:
    pids: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        fields = _stat_fields(pid)
        pid = int(fields[1]) if fields else 0
    return pids


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third one on (state, ppid, …); empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def _carries(pid: int, scope: Sequence[str]) -> bool:
    """Kernel threads and zombies have no command line: they never count."""
    if not _read(pid, "cmdline"):
        return False
    # In our own mount namespace every process sees the same mounts: they tell something in another one only.
    evidence = PROCESS_EVIDENCE if _shares_mounts(pid) else (*PROCESS_EVIDENCE, "mountinfo")
    return not scope or any(_matches(_read(pid, name), scope) for name in evidence)


def _shares_mounts(pid: int) -> bool:
    """Whether `pid` lives in our mount namespace; one that is gone counts as if it did."""
    try:
        return Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return True


def _describe(pid: int) -> str:
    """Pid with start time (field 22 of proc_pid_stat(5)), so that a reused pid differs; empty when it is gone."""
    fields = _stat_fields(pid)
    if not fields or fields[0] in ("Z", "X"):
        return ""
    return f"{pid} started {fields[19]}: {_read(pid, 'cmdline')[:160]}"


def _files(root: Path | None) -> list[str]:
    """Everything below the runtime's root; dot files directly in it are caches that may stay."""
    if root is None or not root.exists():
        return []
    entries = [path.relative_to(root) for path in root.rglob("*")]
    return [str(path) for path in entries if not path.parts[0].startswith(".")]


def _networks(pids: Sequence[int]) -> list[str]:
    """Network namespaces held by foreign processes, and those kept by a bind mount."""
    own = os.stat("/proc/self/ns/net").st_ino
    found = set()
    for pid in pids:
        try:
            inode = os.stat(f"/proc/{pid}/ns/net").st_ino
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if inode != own:
            found.add(f"net:[{inode}] held by a process")
    mounted = [line.split()[3] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " nsfs " in line]
    return sorted(found) + [f"{name} held by a mount" for name in mounted if name.startswith("net:")]
