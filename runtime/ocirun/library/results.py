"""What the library gives back: values that do not change."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

Status = Literal["creating", "created", "running", "paused", "stopped"]


@dataclass(frozen=True)
class Completed:
    """A program that has ended.

    code:      its exit code; 128 + n when signal n has ended it; 124 when the time of a sandbox was over.
    stdout:    what it has printed, at most `limit` bytes of it.
    stderr:    the same.
    truncated: whether it has printed more.
    """

    code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    truncated: bool = False

    @property
    def out(self) -> str:
        """Its output as text; bytes that are no UTF-8 are replaced."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        """What it has printed on stderr as text."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True)
class State:
    """The state of a container (runtime.md, State), as it was when it was asked for.

    pid:     of its first process, as the caller sees it; 0 when it is stopped.
    bundle:  absolute path.
    rootfs:  absolute path.
    created: when, in UTC; None as long as it is being created.
    """

    id: str
    status: Status
    pid: int
    bundle: str
    rootfs: str
    annotations: Mapping[str, str]
    created: datetime | None

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """From the document that the command `state` prints."""
        made = document["created"]
        return cls(
            id=document["id"],
            status=document["status"],
            pid=document["pid"],
            bundle=document["bundle"],
            rootfs=document["rootfs"],
            annotations=document.get("annotations", {}),
            created=datetime.fromisoformat(made) if made else None,
        )


@dataclass(frozen=True)
class Usage:
    """What a container uses now; 0 for what its cgroup does not count.

    pids:           processes and threads.
    memory:         bytes.
    memory_limit:   bytes, None without a limit.
    cpu_time:       seconds that its processes have run.
    read, written:  bytes of block devices.
    received, sent: bytes of its network interfaces.
    """

    id: str
    status: Status
    pids: int
    memory: int
    memory_limit: int | None
    cpu_time: float
    read: int
    written: int
    received: int
    sent: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """From a row of the command `usage`."""
        others = {name: row[name] for name in row if name not in ("memoryLimit", "cpuTime")}
        return cls(memory_limit=row.get("memoryLimit"), cpu_time=row["cpuTime"] / 1e9, **others)


@dataclass(frozen=True)
class Event:
    """Something about a container.

    kind: ``stats`` when it is time for statistics, ``oom`` when a process was killed for want of memory.
    data: the statistics as the command `events` prints them (docs/design/stats.md); empty for ``oom``.
    """

    kind: Literal["stats", "oom"]
    id: str
    data: Mapping[str, Any] = field(repr=False)
