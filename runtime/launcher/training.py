"""Writes layout.txt: which of the snapshot's allocations commands write to, so that these lie together (snapshot.c).

``training.py PREFIX BARE OUTPUT LIST``: PREFIX has a launcher that was compiled with APART, so that each allocation has
pages of its own; BARE is the same without its snapshot. Commands are run with it, as root, and each process is stopped
where it ends: the pages that are private to it by then are those that it has written to (proc_pid_pagemap(5)). A
container's process ends where it would execute its program, by a seccomp filter.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
from pathlib import Path

from snapshot import INTERPRETER, PT_LOAD, SERIALS, Executable, in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final

PAGE: Final = 4096
OFTEN: Final = 3 << 19
"""The part of the region that is empty as long as nothing is known (snapshot.c)."""
HEADER: Final = struct.Struct("<IIQ")  # struct header
PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS = 0, 7, 0x4200
OPTIONS: Final = 0x02 | 0x04 | 0x08 | 0x40 | 0x100000
"""PTRACE_O_TRACEFORK, _TRACEVFORK, _TRACECLONE, _TRACEEXIT, _EXITKILL."""
PTRACE_EVENT_EXIT: Final = 6
__WALL: Final = 0x40000000
PRESENT, SHARED = 63, 61
"""Bits of an entry of pagemap; what is not shared was copied when it was written to."""
CONFIG: Final = {
    "ociVersion": "1.3.0",
    "process": {
        "user": {"uid": 0, "gid": 0, "additionalGids": [5, 6], "umask": 18},
        "args": ["/program"],
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "noNewPrivileges": True,
        "capabilities": {kind: ["CAP_KILL", "CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "training",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "mode=1777", "size=64k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]},
        {"destination": "/tmp", "type": "bind", "source": "rootfs", "options": ["rbind", "rprivate", "ro"]},
    ],
    "annotations": {"org.opencontainers.image.title": "training"},
    "linux": {
        "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "resources": {
            "pids": {"limit": 32},
            "memory": {"limit": 1 << 28},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000},
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            ],
        },
        "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}],
        "sysctl": {"net.ipv4.ping_group_range": "0 0"},
        "maskedPaths": ["/proc/kcore", "/proc/keys"],
        "readonlyPaths": ["/proc/sys"],
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["execve", "execveat"], "action": "SCMP_ACT_KILL_PROCESS"}],
        },
    },
}
KILLED: Final = 128 + signal.SIGSYS
COMMANDS: Final = (
    (KILLED, "run --bundle . one"),
    (KILLED, "run --bundle . one"),
    (0, "create --bundle . two"),
    (0, "state two"),
    (0, "kill two WINCH"),
    (KILLED, "exec two /program"),
    (0, "start two"),
    (0, "delete --force two"),
    (1, "state two"),
)
"""Exit code and words. The first fills the cache of seccomp filters."""


def ptrace(request: int, process: int, data: int = 0) -> None:
    """ptrace(2); what fails is a process that has been killed meanwhile."""
    ctypes.CDLL(None).ptrace(request, process, None, ctypes.c_void_p(data))


def follow(program: Path, words: Iterable[str], look: Callable[[int], None]) -> int:
    """Run it, and until it has ended look at each process that ends, while its memory is still there; its exit code.

    The process that a `create` leaves behind is followed on, and ends during a later command.
    """
    first = os.fork()
    if first == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        ptrace(PTRACE_TRACEME, 0)
        signal.raise_signal(signal.SIGSTOP)
        os.execv(program, [str(program), *words])
    os.waitpid(first, 0)
    ptrace(PTRACE_SETOPTIONS, first, OPTIONS)
    ptrace(PTRACE_CONT, first)
    process = status = 0
    while process != first or os.WIFSTOPPED(status):
        process, status = os.waitpid(-1, __WALL)
        if not os.WIFSTOPPED(status):
            continue
        event, passed = status >> 16, os.WSTOPSIG(status)
        if event == PTRACE_EVENT_EXIT:
            look(process)
        if event == PTRACE_EVENT_EXIT or passed in (signal.SIGTRAP, signal.SIGSTOP):
            passed = 0
        ptrace(PTRACE_CONT, process, passed)
    return os.waitstatus_to_exitcode(status)


def written(process: int, begin: int, end: int) -> set[int]:
    """The addresses of the pages that a process has written to."""
    entries = (end - begin) // PAGE
    with Path(f"/proc/{process}/pagemap").open("rb") as pagemap:
        pagemap.seek(begin // PAGE * 8)
        found = struct.unpack(f"<{entries}Q", pagemap.read(entries * 8))
    return {begin + i * PAGE for i, each in enumerate(found) if each >> PRESENT & 1 and not each >> SHARED & 1}


def blocks(launcher: Path, begin: int) -> Iterator[tuple[int, int, int]]:
    """The allocations in the data of a launcher's file, as (address, size with the header, serial number)."""
    content = launcher.read_bytes()
    data = Executable(launcher).data
    assert data[0] == PT_LOAD
    offset, start, length = data[2], data[3], data[5]
    address = begin + OFTEN
    while address + HEADER.size <= start + length:
        size, serial, _ = HEADER.unpack_from(content, offset + address - start)
        if not size:
            break
        yield address, HEADER.size + size, serial
        address += -(-(HEADER.size + size) // PAGE) * PAGE


def trained(program: Path, region: tuple[int, int]) -> set[int]:
    """The pages of the region that any of the commands has written to."""
    found: set[int] = set()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder)
        (bundle / "rootfs").mkdir()
        for name in ("proc", "dev", "sys", "tmp"):
            (bundle / "rootfs" / name).mkdir()
        shutil.copy(program, bundle / "rootfs" / "program")
        (bundle / "config.json").write_text(json.dumps(CONFIG))
        os.chdir(bundle)
        for code, words in COMMANDS:
            argv = ("--root", f"{bundle}/state", *words.split())
            ended = follow(program, argv, lambda process: found.update(written(process, region[0], sum(region))))
            if ended != code:
                raise SystemExit(f"training: {words} ended with {ended}, not {code}")
        os.chdir("/")
    return found


def lines(serials: Iterable[int], modules: list[str]) -> Iterator[str]:
    """layout.txt: a module a line, and the ranges of its allocations."""
    by_module: dict[int, list[list[int]]] = {}
    for serial in sorted(serials):
        ranges = by_module.setdefault(serial >> SERIALS, [])
        number = serial & (1 << SERIALS) - 1
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    for module, ranges in by_module.items():
        words = (f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)
        yield f"{modules[module - 1] if module else INTERPRETER} {' '.join(words)}\n"


def main(arguments: list[str]) -> int:
    """See the module."""
    prefix, bare, output, listed = (Path(each).absolute() for each in arguments)
    (region,) = Executable(bare).sections((b".held_region",))
    pages = trained(prefix / "bin" / "ocirun", region)
    found = [
        serial
        for address, size, serial in blocks(prefix / "lib" / "ocirun" / "launcher", region[0])
        if not pages.isdisjoint(range(address, address + size, PAGE))
    ]
    output.write_text("".join(lines(found, in_order(listed))), encoding="utf-8")
    sys.stdout.write(f"{len(found)} allocations are written to\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
