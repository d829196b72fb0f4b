"""A config in a bundle of its own, judged in this process; the image has just what a test puts there."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

from support.bundle import Config, default_config

from ocirun.checks import judging

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun_spec.problem import Problem

X86_64, AARCH64 = 62, 183
OWN = {"x86_64": X86_64, "aarch64": AARCH64}.get(os.uname().machine, X86_64)
OTHER = AARCH64 if OWN == X86_64 else X86_64


class Image:
    """A bundle whose `config` may be changed before it is judged."""

    def __init__(self, directory: Path) -> None:
        self.bundle = directory
        self.root = directory / "rootfs"
        self.config: Config = default_config("prog")
        for name in ("bin", "usr/bin", "etc", "proc", "dev", "sys"):
            (self.root / name).mkdir(parents=True)

    def file(self, path: str, content: bytes = b"", mode: int = 0o755) -> None:
        """A file of the image."""
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(content)
        found.chmod(mode)

    def judge(self, host: bool = True) -> list[Problem]:
        """The problems, each at a place of the text that this checks to be that of its pointer's last name or value."""
        self.text = json.dumps(self.config, indent=2)
        return judging.judge(self.text, "config.json", str(self.bundle), host, systemd=False)

    def told(self, host: bool = True) -> list[tuple[str, str, str]]:
        """(pointer, message, hint) of the problems of /process/args and /process/cwd."""
        found = [each for each in self.judge(host) if each.pointer.startswith(("/process/args", "/process/cwd"))]
        return [(each.pointer, each.message, each.hint) for each in found]

    def at(self, problem: Problem) -> str:
        """The rest of the line at a problem's place."""
        return self.text.splitlines()[problem.line - 1][problem.column - 1 :]


def elf(machine: int = OWN, loader: str = "") -> bytes:
    """An executable of 64 bits with one program header, which names the loader (elf(5))."""
    name = loader.encode() + b"\0"
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    kind = 3 if loader else 1
    return head + struct.pack("<IIQQQQQQ", kind, 4, 120, 0, 0, len(name), len(name), 1) + name
