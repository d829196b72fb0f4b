"""The device program that is attached to a container's cgroup2: finding it and putting another in its place.

The kernel replaces it in one step (BPF_F_REPLACE, Linux 5.6), so every access is decided by the old rules or by the
new ones. Ours is known by its name; programs of others stay. Layouts are those of linux/bpf.h.
"""

from __future__ import annotations

import errno
import os
import sys

from ocirun.errors import failure
from ocirun.kernel import raw
from ocirun.linux.cgroup import devices_bpf, devices_v1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.journal import Journal

BPF_PROG_DETACH: Final = 9
BPF_PROG_GET_FD_BY_ID: Final = 13
BPF_OBJ_GET_INFO_BY_FD: Final = 15
BPF_PROG_QUERY: Final = 16
BPF_F_REPLACE: Final = 4
_MOST: Final = 64
"""BPF_CGROUP_MAX_PROGS: the kernel attaches no more to one cgroup."""
_INFO_SIZE: Final = 80
_NAME_AT: Final = 64
_NONE: Final = -1


def replace(content: bytes, directory: str, journal: Journal) -> None:
    """Let the program `content` (see `devices_bpf.program`) decide in the cgroup at `directory`; empty: none of ours.

    Raises Failure. The journal gets the way back, and keeps the descriptors that it needs.
    """
    try:
        group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        journal.keep(group)
        before = _ours(group, directory)
        if before != _NONE:
            journal.keep(before)
        after = _NONE
        if content:
            after = devices_bpf.load(content)
            journal.keep(after)
        _put(group, before, after, directory)
    except OSError as problem:
        raise failure("replace the device rules", problem, where=devices_v1.POINTER) from None
    journal.add(f"bring the device rules back (in {directory})", _put, group, after, before, directory)


def _put(group: int, before: int, after: int, directory: str) -> None:
    """The program `after` in the place of `before`; both are descriptors, or _NONE."""
    if after == _NONE:
        if before != _NONE:
            _bpf(BPF_PROG_DETACH, "BPF_PROG_DETACH", directory, group, before, devices_bpf.BPF_CGROUP_DEVICE)
        return
    flags = devices_bpf.BPF_F_ALLOW_MULTI
    numbers = [group, after, devices_bpf.BPF_CGROUP_DEVICE, flags]
    if before != _NONE:
        numbers = [*numbers[:3], flags | BPF_F_REPLACE, before]
    _bpf(devices_bpf.BPF_PROG_ATTACH, "BPF_PROG_ATTACH", directory, *numbers)


def _bpf(command: int, name: str, directory: str, *numbers: int) -> int:
    request = b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)
    return raw.call("bpf", raw.BPF, command, request, len(request), detail=f"{name} on {directory}")


def _ours(group: int, directory: str) -> int:
    """A descriptor of the program that ocirun has attached to this very cgroup, or _NONE."""
    for number in _attached(group, directory):
        try:
            fd = _bpf(BPF_PROG_GET_FD_BY_ID, "BPF_PROG_GET_FD_BY_ID", directory, number)
        except raw.KernelError as problem:
            if problem.errno == errno.ENOENT:
                continue  # somebody has detached it since
            raise
        if _name(fd, directory) == devices_bpf.NAME:
            return fd
        os.close(fd)
    return _NONE


def _attached(group: int, directory: str) -> list[int]:
    """The ids of the cgroup's own device programs."""
    found = bytes(4 * _MOST)  # the kernel writes into it; nobody else has this object
    head = group.to_bytes(4, sys.byteorder) + devices_bpf.BPF_CGROUP_DEVICE.to_bytes(4, sys.byteorder) + bytes(8)
    request = bytearray(head + devices_bpf.address(found) + _MOST.to_bytes(4, sys.byteorder) + bytes(4))
    raw.call("bpf", raw.BPF, BPF_PROG_QUERY, request, len(request), detail=f"BPF_PROG_QUERY on {directory}")
    count = int.from_bytes(request[24:28], sys.byteorder)
    return [int.from_bytes(found[at : at + 4], sys.byteorder) for at in range(0, 4 * count, 4)]


def _name(fd: int, directory: str) -> bytes:
    info = bytes(_INFO_SIZE)  # as above
    head = fd.to_bytes(4, sys.byteorder) + _INFO_SIZE.to_bytes(4, sys.byteorder)
    request = bytearray(head + devices_bpf.address(info))
    detail = f"BPF_OBJ_GET_INFO_BY_FD on {directory}"
    raw.call("bpf", raw.BPF, BPF_OBJ_GET_INFO_BY_FD, request, len(request), detail=detail)
    return info[_NAME_AT : _NAME_AT + 16].rstrip(b"\0")
