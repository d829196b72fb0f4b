"""What the kernel makes of a file that is executed: an ELF file with its loader, a script with its interpreter."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from ocirun.checks.subject import text_of

_MACHINES = {
    3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64",
    258: "loongarch64",
}  # fmt: skip
"""e_machine of elf.h by the names of uname(2)."""
_RUNS = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64", "arm")}
_PT_INTERP = 3
_PATH_MAX = 4096
_BINFMT = "/proc/sys/fs/binfmt_misc"


class Header(NamedTuple):
    """What an ELF file says of itself: its machine, and where its loader's path stands (offset, size) if it has one."""

    machine: str
    loader: tuple[int, int] | None


def elf(head: bytes) -> Header | None:
    """Take the beginning of an ELF file apart; None when it is damaged (elf(5))."""
    try:
        wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
        (machine,) = struct.unpack_from(f"{order}H", head, 18)
        if wide:
            (start,) = struct.unpack_from(f"{order}Q", head, 32)
            size, count = struct.unpack_from(f"{order}HH", head, 54)
        else:
            (start,) = struct.unpack_from(f"{order}I", head, 28)
            size, count = struct.unpack_from(f"{order}HH", head, 42)
        loader = None
        for at in range(start, start + size * count, size or 1):
            kind, place, length = _program_header(head, at, wide, order)
            if kind == _PT_INTERP and 1 < length <= _PATH_MAX:
                loader = (place, length)
                break
    except (struct.error, IndexError):
        return None
    return Header(_MACHINES.get(machine, f"machine {machine}"), loader)


def _program_header(head: bytes, at: int, wide: bool, order: str) -> tuple[int, int, int]:
    """(type, offset, size in the file) of one program header."""
    if wide:
        kind, _flags, place, _virtual, _physical, length = struct.unpack_from(f"{order}IIQQQQ", head, at)
    else:
        kind, place, _virtual, _physical, length = struct.unpack_from(f"{order}IIIII", head, at)
    return kind, place, length


def runs_here(machine: str) -> bool:
    """Whether this host's kernel executes code of that machine itself."""
    own = os.uname().machine
    return machine in _RUNS.get(own, (own,))


def interpreter(head: bytes) -> tuple[str, str]:
    """(path, argument) of a script's first line, as the kernel reads it: a carriage return belongs to it."""
    line = head[2:256].split(b"\n", 1)[0].strip(b" \t")
    path, _, argument = line.partition(b" ") if b" " in line else line.partition(b"\t")
    return os.fsdecode(path), os.fsdecode(argument.strip(b" \t"))


def emulated(head: bytes, name: str) -> bool:
    """Whether a program is registered for such files (binfmt_misc)."""
    try:
        entries = [each for each in Path(_BINFMT).iterdir() if each.name not in ("register", "status")]
    except OSError:
        return False
    return any(_matches(text_of(str(entry)), head, name) for entry in entries)


def _matches(entry: str, head: bytes, name: str) -> bool:
    first, *lines = entry.splitlines() or [""]
    fields = dict(line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2)
    if first != "enabled":
        return False
    if "extension" in fields:
        return name.endswith(fields["extension"])
    magic = bytes.fromhex(fields.get("magic", ""))
    mask = bytes.fromhex(fields["mask"]) if "mask" in fields else b"\xff" * len(magic)
    offset = int(fields.get("offset", "0"))
    part = head[offset : offset + len(magic)]
    return len(part) == len(magic) and all(a & m == b & m for a, b, m in zip(part, magic, mask, strict=False))
