"""Cgroups of the machine, seen from outside the containers."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

TOP = Path("/sys/fs/cgroup")
MIB = 1 << 20
COUNTING = {"cpu", "io", "memory", "pids", "hugetlb"}
"""The controllers that every container gets where they are to be had, since engines ask them what it uses."""


class Group:
    """A cgroup made by a test, removed at the end with the processes and cgroups in it."""

    def __init__(self, name: str) -> None:
        self.path = TOP / name.lstrip("/")
        self.name = f"/{name.lstrip('/')}"

    def __enter__(self) -> Self:
        self.path.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.path / "cgroup.kill").write_text("1")
        for directory, _, _ in os.walk(self.path, topdown=False):
            wait_for(lambda directory=directory: "populated 0" in read(Path(directory), "cgroup.events"))  # type: ignore[misc]
            Path(directory).rmdir()


@contextmanager
def inhabited(group: Group) -> Iterator[None]:
    """A process lives in the cgroup, which so cannot give controllers to those below it."""
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        try:
            (group.path / "cgroup.procs").write_text(str(sleeper.pid))
            yield
        finally:
            sleeper.kill()


def group_of(pid: int) -> Path:
    """The directory of the process's cgroup."""
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert line.startswith("0::/")
    return TOP / line[4:]


def read(group: Path, file: str) -> str:
    """A file of a cgroup, without the last newline."""
    return (group / file).read_text().strip()


def numbers(group: Path, file: str) -> dict[str, int]:
    """A file of ``name value`` lines."""
    return {name: int(value) for name, value in (line.split() for line in read(group, file).splitlines())}
