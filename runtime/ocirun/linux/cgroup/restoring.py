"""Writing to a cgroup's file so that it can be taken back: what a file says now, in the form in which it is written.

Most files are read as they are written. A few are not (Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst): they show
more than can be written, a line for each device, or nothing for what is not set.
"""

from __future__ import annotations

import os

from ocirun.linux.cgroup import groupfs
from ocirun.linux.cgroup.limits import EMPTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.journal import Journal

_KEYED: Final = {
    "blkio.bfq.weight_device": "default",
    "blkio.leaf_weight_device": "default",
    "blkio.throttle.read_bps_device": "0",
    "blkio.throttle.read_iops_device": "0",
    "blkio.throttle.write_bps_device": "0",
    "blkio.throttle.write_iops_device": "0",
    "blkio.weight_device": "default",
    "dmem.low": "",
    "dmem.max": "",
    "dmem.min": "",
    "io.bfq.weight": "default",
    "io.latency": "target=max",
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "misc.max": "",
    "net_prio.ifpriomap": "0",
    "rdma.max": "hca_handle=max hca_object=max",
}
"""A line for each device, and a write changes one: what is written for a device without a line, when there is such."""
_SETS: Final = ("cpuset.cpus", "cpuset.mems")
_ENOSPC: Final = 28
_FIRST_WORD: Final = ("cpuset.cpus.partition",)
_SECOND_WORD: Final = ("memory.oom_control",)
_ENDLESS: Final = (".pressure", ".peak")
"""A write to these belongs to its descriptor, and is over when that is closed; `cgroup.pressure` is a switch."""
_BESIDE: Final = {"cpu.weight.nice": ("cpu.weight",), "cpu.idle": ("cpu.weight", "cpu.shares")}
"""Files that a write changes too: without the idle mark a cgroup has the usual weight."""


def ways_back(file: str, present: str, value: str) -> list[str]:
    """What to write to `file`, which reads `present`, in order, to take a write of `value` back."""
    if file.endswith(_ENDLESS) and file != "cgroup.pressure":
        return []
    if file in _SECOND_WORD:
        return [present.split()[1]]
    if file in _FIRST_WORD:
        return [present.split(maxsplit=1)[0]]
    if file in _KEYED:
        return _line_of(file, present, value)
    return [line for line in present.split("\n") if line] or [EMPTY]


def _line_of(file: str, present: str, value: str) -> list[str]:
    """The line about what `value` is about; a value without a name in front is the default's."""
    words = value.split()
    key = words[0] if len(words) > 1 else "default"
    for line in present.splitlines():
        if line.split()[:1] == [key]:
            return [line.strip()]
    return [f"{key} {_KEYED[file]}"] if _KEYED[file] and key != "default" else []


def write(directory: str, file: str, value: str, journal: Journal) -> None:
    """Write, and tell the journal the way back. Raises OSError for the write.

    A file that cannot be read, as memory.reclaim, holds nothing that could be brought back.
    """
    before = _present(directory, file, value)
    groupfs.write(f"{directory}/{file}", value.encode())
    _tell(directory, before, journal)


def remember(directory: str, file: str, value: str, journal: Journal) -> None:
    """The same for a write that somebody else will make."""
    _tell(directory, _present(directory, file, value), journal)


def _present(directory: str, file: str, value: str) -> list[tuple[str, str]]:
    return [(each, text) for each in (*_BESIDE.get(file, ()), file) for text in _look(directory, each, value)]


def _tell(directory: str, before: list[tuple[str, str]], journal: Journal) -> None:
    for each, text in before:
        doing = f"write {text.strip() or 'an empty line'} back to {each} (in {directory})"
        if text == EMPTY and each in _SETS:
            journal.add(doing, empty_set, directory, each)
        else:
            journal.add(doing, groupfs.write, f"{directory}/{each}", text.encode())


def empty_set(directory: str, file: str) -> None:
    """A cpuset without a value of its own: the kernel takes it from none that holds processes (ENOSPC).

    Then it gets what its parent has, which is what it would have without a value, until the parent changes.
    """
    try:
        groupfs.write(f"{directory}/{file}", EMPTY.encode())
    except OSError as problem:
        if problem.errno != _ENOSPC:
            raise
        groupfs.write(f"{directory}/{file}", groupfs.read(f"{os.path.dirname(directory)}/{file}.effective"))


def _look(directory: str, file: str, value: str) -> list[str]:
    try:
        present = groupfs.read(f"{directory}/{file}").decode("utf-8", "surrogateescape")
    except OSError:
        return []
    if file in ("cpu.weight", "cpu.shares") and _is_idle(directory):
        return []  # it comes back with the idle mark, and cannot be written
    return ways_back(file, present, value)


def _is_idle(directory: str) -> bool:
    try:
        return groupfs.read(f"{directory}/cpu.idle").strip() == b"1"
    except OSError:
        return False
