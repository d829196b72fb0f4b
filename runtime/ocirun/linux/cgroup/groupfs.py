"""Files and directories of a cgroup filesystem: the few operations that both drivers are made of.

A value that the kernel refuses becomes one sentence with the pointer it came from, the value and the file. Paths are
the host's own cgroup mounts, which no container can change; several writes to one cgroup go through its descriptor.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

EACCES: Final = 13
EBUSY: Final = 16
EEXIST: Final = 17
EINVAL: Final = 22
ENODEV: Final = 19
ENOENT: Final = 2
EOPNOTSUPP: Final = 95
EPERM: Final = 1
EROFS: Final = 30
ESRCH: Final = 3
_READ_SIZE: Final = 1 << 16


def open_group(path: str) -> int:
    """An O_PATH descriptor of a cgroup's directory."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def read(path: str, group: int | None = None) -> bytes:
    """The whole file, relative to the descriptor `group` when that is given."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=group)
    try:
        parts = []
        while part := os.read(fd, _READ_SIZE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def controllers(mount: str) -> list[str]:
    """The controllers that a cgroup2 hierarchy has."""
    try:
        return read(f"{mount}/cgroup.controllers").decode().split()
    except OSError as problem:
        raise failure(f"look which controllers {mount} has", problem) from None


def write(path: str, value: bytes, group: int | None = None) -> None:
    """One write(2), since each write is one request to the kernel. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=group)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)


def refusal(problem: OSError, directory: str, name: str, value: str, pointer: str) -> Failure:
    """The sentence for a setting that was not taken."""
    number = problem.errno or 0
    if number in (ENOENT, EACCES) and not _exists(f"{directory}/{name}"):
        return Failure(f"this kernel's cgroups have no file {name} (in {directory})", where=pointer)
    said = value.strip() or "an empty line"
    return Failure(f"write {said} to {name} (in {directory})", where=pointer, call="write", errno=number)


def _exists(path: str) -> bool:
    return os.access(path, os.F_OK)


def children(path: str) -> list[str]:
    """The cgroups directly below; none when the cgroup itself is gone."""
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def tree(path: str) -> list[str]:
    """The cgroup and all below it, parents first."""
    found = [path]
    for each in found:
        found += children(each)
    return found


def processes(path: str) -> list[int]:
    """cgroup.procs of one cgroup; 0 (a process of another pid namespace) is left out, and a gone cgroup has none."""
    try:
        text = read(path + "/cgroup.procs")
    except OSError as problem:
        # EOPNOTSUPP: a threaded cgroup, whose processes its domain lists
        if problem.errno in (ENOENT, ENODEV, EOPNOTSUPP):
            return []
        raise
    return [pid for pid in map(int, text.split()) if pid]


def all_processes(path: str) -> list[int]:
    """The processes of the cgroup and of all below it, each once."""
    seen: dict[int, None] = {}
    for each in tree(path):
        seen.update(dict.fromkeys(processes(each)))
    return list(seen)


def missing(mount: str, path: str) -> list[str]:
    """The directories that have to be made for `path` (below `mount`), parents first; empty when it exists."""
    absent = []
    while len(path) > len(mount) and not _exists(path):
        absent.append(path)
        path = path.rpartition("/")[0]
    absent.reverse()
    return absent
