"""Writes the launcher with its snapshot: snapshot.c says what that is.

``snapshot.py LAUNCHER OUTPUT LIST``: OUTPUT is LAUNCHER, with a data segment that holds a started interpreter and the
modules of LIST loaded (one a line, before the colon; all that hot commands load). Only the standard library; the same
launcher and list give the same bytes.

Taken along is what `dev` has linked into the sections of HELD: the data of the program and of Python. That of libc
stays as in the file: it begins anew in each process.
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
SECTION: Final = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
PT_LOAD, PF_W = 1, 2
HELD: Final = (b".held", b".held_bss", b".held_region", b".PyRuntime")
INTERPRETER: Final = "-"
"""What layout.txt calls what is allocated before the first module is loaded."""
RANGE: Final = struct.Struct("<II")
SERIALS: Final = 20
"""So many bits of a serial number count within a module; those above are the module's number (snapshot.c)."""


class Executable:
    """The bytes of an ELF executable for little-endian 64-bit machines, linked at fixed addresses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = path.read_bytes()
        head = HEADER.unpack_from(self.content)
        place, count = head[5], head[10]
        segments = (list(SEGMENT.unpack_from(self.content, place + SEGMENT.size * i)) for i in range(count))
        self.place, self.data = next(
            (place + SEGMENT.size * i, each) for i, each in enumerate(segments) if each[0] == PT_LOAD and each[1] & PF_W
        )
        """The segment of data; the place of its header, which is type, flags, offset, address, -, sizes, alignment."""

    def sections(self, wanted: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
        """Those with such a name, as (address, size)."""
        head = HEADER.unpack_from(self.content)
        place, count, names = head[6], head[12], head[13]
        sections = [SECTION.unpack_from(self.content, place + SECTION.size * i) for i in range(count)]
        for name, _, _, address, _, size, *_ in sections:
            begin = sections[names][4] + name
            if self.content[begin : self.content.index(b"\0", begin)] in wanted:
                yield address, size

    def snapshot(self, modules: list[str], layout: bytes) -> bytes:
        """The data segment of a process that has got so far, without what it did not use at the end."""
        _, _, offset, start, _, length, size, _ = self.data
        taken = bytearray(self.content[offset : offset + length].ljust(size, b"\0"))
        command = [str(self.path), "--hold-still", *modules]
        with subprocess.Popen(command, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                if process.stdin:
                    process.stdin.write(layout)
                    process.stdin.close()
                if not process.stdout or process.stdout.read(1) != b"\0":
                    raise SystemExit("the launcher has not got so far that a snapshot can be taken")
                with Path(f"/proc/{process.pid}/mem").open("rb") as memory:
                    for address, size in self.sections(HELD):
                        memory.seek(address)
                        taken[address - start : address - start + size] = memory.read(size)
            finally:
                process.kill()
        return bytes(taken.rstrip(b"\0"))

    def with_data(self, taken: bytes) -> bytes:
        """The file with this as its data segment, which moves to the end of the file."""
        offset = len(self.content) + (self.data[3] - len(self.content)) % self.data[7]
        self.data[2], self.data[5] = offset, len(taken)
        content = bytearray(self.content.ljust(offset, b"\0") + taken)
        SEGMENT.pack_into(content, self.place, *self.data)
        head = list(HEADER.unpack_from(content))
        head[6] = head[12] = head[13] = 0  # the table of sections does not fit any more, and nobody needs it
        HEADER.pack_into(content, 0, *head)
        return bytes(content)


def differences(one: bytes, other: bytes, begin: int) -> str:
    """Where two snapshots differ: the first addresses, for who has to find out why."""
    places = [begin + i for i in range(0, max(len(one), len(other)), 8) if one[i : i + 8] != other[i : i + 8]]
    return f"{len(places)} words differ: {' '.join(f'{place:#x}' for place in places[:20])}"


def in_order(listed: Path) -> list[str]:
    """The modules of a list, as they are loaded: what most commands need lies together."""
    lines = listed.read_text(encoding="utf-8").splitlines()
    lines.sort(key=lambda line: -len(line.split()))
    return [line.partition(":")[0] for line in lines]


def ranges(layout: Path, modules: list[str]) -> bytes:
    """What training has found, as the launcher reads it: (first, end) of serial numbers, sorted."""
    found = []
    for line in layout.read_text(encoding="utf-8").splitlines():
        name, *parts = line.split()
        number = modules.index(name) + 1 if name in modules else 0
        if number or name == INTERPRETER:
            for part in parts:
                first, _, last = part.partition("-")
                found.append((number << SERIALS | int(first), (number << SERIALS | int(last or first)) + 1))
    return b"".join(RANGE.pack(*each) for each in sorted(found))


def main(arguments: list[str]) -> int:
    """See the module."""
    launcher, output, listed, layout = map(Path, arguments)
    modules = in_order(listed)
    executable = Executable(launcher)
    wanted = ranges(layout, modules)
    taken, again = (executable.snapshot(modules, wanted) for _ in range(2))
    if taken != again:
        raise SystemExit(f"the snapshot is not the same twice: {differences(taken, again, executable.data[3])}")
    output.write_bytes(executable.with_data(taken))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
