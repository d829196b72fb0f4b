"""Writes the launcher with its snapshot: snapshot.c says what that is.

``snapshot.py LAUNCHER OUTPUT LIST``: OUTPUT is LAUNCHER, with a data segment that holds a started interpreter and the
modules of LIST loaded (one a line, before the colon; all that hot commands load). Only the standard library; the same
launcher and list give the same bytes.

Two things of the data segment stay as they were: what the dynamic linker makes read-only (PT_GNU_RELRO), and each place
that it writes to (relocations), since it does so again in each process.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr of elf(5)
SEGMENT: Final = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
ENTRY: Final = struct.Struct("<QQ")  # Elf64_Dyn
RELOCATION: Final = struct.Struct("<QQq")  # Elf64_Rela
SYMBOL: Final = struct.Struct("<IBBHQQ")  # Elf64_Sym
PT_LOAD, PT_DYNAMIC, PT_GNU_RELRO = 1, 2, 0x6474E552
PF_W: Final = 2
DT_PLTRELSZ, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_JMPREL = 2, 6, 7, 8, 23
COPY: Final = {62: 5, 183: 1024}
"""R_X86_64_COPY and R_AARCH64_COPY, by e_machine: the relocations of as many bytes as their symbol has."""


class Executable:
    """The bytes of an ELF executable for little-endian 64-bit machines, linked at fixed addresses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = path.read_bytes()
        head = HEADER.unpack_from(self.content)
        self.machine, self._place, count = head[2], head[5], head[10]
        self.segments = [list(SEGMENT.unpack_from(self.content, self._place + SEGMENT.size * i)) for i in range(count)]
        _, _, _, relro, _, _, size, _ = self.only(PT_GNU_RELRO)
        self.data = self.only(PT_LOAD, PF_W)
        self.begin = relro + size
        """The address from which on memory is taken along; a page's beginning."""
        self.end = self.data[3] + self.data[6]

    def only(self, kind: int, flags: int = 0) -> list[int]:
        """The one segment of this kind and flags: type, flags, offset, address, -, size in file, size, alignment."""
        (found,) = (each for each in self.segments if each[0] == kind and each[1] & flags == flags)
        return found

    def read(self, address: int, size: int) -> bytes:
        """What the file has for these addresses, zeros where it has nothing (bss)."""
        for _, _, offset, start, _, there, length, _ in (each for each in self.segments if each[0] == PT_LOAD):
            if start <= address < start + length:
                place = address - start
                return self.content[offset + place : offset + min(place + size, there)].ljust(size, b"\0")
        raise ValueError(f"no segment holds the address {address:#x}")

    def relocated(self) -> Iterator[tuple[int, int]]:
        """What the dynamic linker writes to, as (address, size)."""
        _, _, _, dynamic, _, length, _, _ = self.only(PT_DYNAMIC)
        table = dict(ENTRY.iter_unpack(self.read(dynamic, length)))
        for start, size in ((DT_RELA, DT_RELASZ), (DT_JMPREL, DT_PLTRELSZ)):
            for address, info, _ in RELOCATION.iter_unpack(self.read(table[start], table[size])):
                symbol = self.read(table[DT_SYMTAB] + SYMBOL.size * (info >> 32), SYMBOL.size)
                yield address, SYMBOL.unpack(symbol)[5] if info & 0xFFFFFFFF == COPY[self.machine] else 8

    def snapshot(self, modules: list[str]) -> bytes:
        """The memory from `begin` on of a process that has got so far, without what it did not use at the end."""
        command = [str(self.path), "--hold-still", *modules]
        with subprocess.Popen(command, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as held:
            try:
                if not held.stdout or held.stdout.read(1) != b"\0":
                    raise SystemExit("the launcher has not got so far that a snapshot can be taken")
                with Path(f"/proc/{held.pid}/mem").open("rb") as memory:
                    memory.seek(self.begin)
                    taken = bytearray(memory.read(self.end - self.begin))
            finally:
                held.kill()
        for address, size in self.relocated():
            if self.begin <= address < self.end:
                taken[address - self.begin : address - self.begin + size] = self.read(address, size)
        return bytes(taken.rstrip(b"\0"))

    def with_data(self, taken: bytes) -> bytes:
        """The file, with this from `begin` on in its data segment, which moves to the end of the file."""
        kept = self.read(self.data[3], self.begin - self.data[3])
        offset = len(self.content) + (self.data[3] - len(self.content)) % self.data[7]
        self.data[2], self.data[5] = offset, len(kept) + len(taken)
        content = bytearray(self.content.ljust(offset, b"\0") + kept + taken)
        for index, segment in enumerate(self.segments):
            SEGMENT.pack_into(content, self._place + SEGMENT.size * index, *segment)
        head = list(HEADER.unpack_from(content))
        head[6] = head[12] = head[13] = 0  # the table of sections does not fit any more, and nobody needs it
        HEADER.pack_into(content, 0, *head)
        return bytes(content)


def differences(one: bytes, other: bytes, begin: int) -> str:
    """Where two snapshots differ: the first addresses, for who has to find out why."""
    places = [begin + i for i in range(0, max(len(one), len(other)), 8) if one[i : i + 8] != other[i : i + 8]]
    return f"{len(places)} words differ: {' '.join(f'{place:#x}' for place in places[:20])}"


def main(arguments: list[str]) -> int:
    """See the module."""
    launcher, output, listed = map(Path, arguments)
    lines = listed.read_text(encoding="utf-8").splitlines()
    # What most commands need lies together, so that each finds its own on few pages.
    lines.sort(key=lambda line: -len(line.split()))
    modules = [line.partition(":")[0] for line in lines]
    executable = Executable(launcher)
    taken, again = executable.snapshot(modules), executable.snapshot(modules)
    if taken != again:
        raise SystemExit(f"the snapshot is not the same twice: {differences(taken, again, executable.begin)}")
    output.write_bytes(executable.with_data(taken))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
