"""What cgroup files say, as numbers: the part that v1 and v2 share.

A file that this kernel does not have, whose controller is not enabled, or whose cgroup is gone counts as empty, and
what is not in it as 0: statistics are never an error because something is not measured. Formats: the kernel's
Documentation/admin-guide/cgroup-v1, cgroup-v2.rst and accounting/psi.rst.
"""

from __future__ import annotations

import os

from ocirun.errors import failure
from ocirun.linux.cgroup import groupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Stats = dict[str, Any]

UINT64_MAX: Final = (1 << 64) - 1
"""``max``, as runc writes it."""
_ABSENT: Final = (groupfs.ENOENT, groupfs.ENODEV, groupfs.EOPNOTSUPP, groupfs.EACCES)
"""EOPNOTSUPP: pressure is not measured (``psi=0``). EACCES: a file that only root may read."""


def text(group: str, name: str) -> bytes:
    """A file of the cgroup at `group`; empty without the file, and without a cgroup ("")."""
    if not group:
        return b""
    try:
        return groupfs.read(f"{group}/{name}")
    except OSError as problem:
        if problem.errno in _ABSENT:
            return b""
        raise failure(f"read {group}/{name}", problem) from None


def number(word: bytes) -> int:
    """An unsigned number of 64 bits; ``max`` is the largest, and what is no number is 0."""
    if word == b"max":
        return UINT64_MAX
    return min(int(word), UINT64_MAX) if word.isdigit() else 0


def value(group: str, name: str) -> int:
    """A file with one number."""
    return number(text(group, name).strip())


def table(content: bytes) -> dict[str, int]:
    """Lines of ``name number``; what is no such line is left out."""
    pairs = [line.split() for line in content.splitlines()]
    return {pair[0].decode("utf-8", "replace"): number(pair[1]) for pair in pairs if len(pair) == 2}


def present(**members: object) -> Stats:
    """The members that are not 0 or empty: what Go's ``omitempty`` leaves."""
    return {name: each for name, each in members.items() if each}


def memory_entry(limit: int, usage: int, peak: int, failcnt: int) -> Stats:
    """Bytes, and how often the limit was hit."""
    return {"limit": limit, **present(usage=usage, max=peak), "failcnt": failcnt}


def block_entry(device: bytes, op: str, amount: int) -> Stats:
    """An entry of a blkio list, for ``major:minor``."""
    major, _, minor = device.partition(b":")
    return present(major=number(major), minor=number(minor), op=op, value=amount)


def numbers(content: bytes) -> list[int]:
    """A list of processors or memory nodes, ``0-3,7``."""
    found: list[int] = []
    for part in content.strip().split(b","):
        first, dash, last = part.partition(b"-")
        if first.isdigit() and (last.isdigit() or not dash):
            found += range(int(first), int(last or first) + 1)
    return found


def pressure(group: str, name: str) -> Stats:
    """``{"psi": {"some": …, "full": …}}``: percentages, and the total in microseconds; empty when nothing is measured.

    Kernels before 5.13 have no line ``full`` for the processor.
    """
    found = {}
    for line in text(group, name).splitlines():
        kind, *words = line.split()
        fields = dict(word.partition(b"=")[::2] for word in words)
        try:
            averages = {key: float(fields[key.encode()]) for key in ("avg10", "avg60", "avg300")}
            found[kind.decode()] = {**averages, "total": int(fields[b"total"])}
        except (KeyError, ValueError):
            continue
    return {"psi": found} if found else {}


def page_sizes(group: str, last: str) -> list[tuple[str, str]]:
    """(size, prefix of its files) of each huge page size with a file ``hugetlb.SIZE.LAST``, smallest name first.

    The prefix is that of the files that count reservations (since Linux 5.7), where they are: a page counts there from
    mmap(2) on, which is what the limits of ocirun and runc are about.
    """
    names = _names(group)
    found = []
    for size in sorted({name.split(".")[1] for name in names if name.startswith("hugetlb.") and name.endswith(last)}):
        reserved = f"hugetlb.{size}.rsvd"
        found.append((size, reserved if f"{reserved}.{last}" in names else f"hugetlb.{size}"))
    return found


def _names(group: str) -> list[str]:
    try:
        return os.listdir(group) if group else []
    except OSError:
        return []
