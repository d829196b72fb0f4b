"""systemd's units as systemctl(1) tells of them, and the boxes whose containers are units."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support import facility

TOP = Path("/sys/fs/cgroup")
MIB = 1 << 20
INFINITY = "infinity"


class Manager:
    """A service manager, asked by systemctl: the system's, or that of a user by the words that run a program as him."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def call(self, *words: str) -> str:
        """The output of ``systemctl WORDS``, which has to succeed."""
        program = facility.find_program("systemctl") or "systemctl"
        done = subprocess.run(
            [*self.words, program, "--no-pager", *words],
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, also of one that does not exist."""
        names = ",".join(properties)
        lines = self.call("show", "--property", names, unit).splitlines()
        return dict(line.split("=", 1) for line in lines) 

    def loaded(self, unit: str) -> bool:
        """Whether systemd knows it."""
        return self.show(unit, "LoadState")["LoadState"] != "not-found"

    def group(self, unit: str) -> Path:
        """The directory of its cgroup."""
        return TOP / self.show(unit, "ControlGroup")["ControlGroup"].lstrip("/")


def scopes(manager: Manager) -> list[str]:
    """The scopes that are loaded, whatever their state."""
    lines = manager.call("list-units", "--all", "--plain", "--no-legend", "--type=scope").splitlines()
    return [line.split()[0] for line in lines]


def owner(path: Path) -> int:
    """The uid."""
    return os.stat(path).st_uid
