"""The probe's program: compiled on this machine, once for each state of its source, without shared libraries."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .case import Fails

if TYPE_CHECKING:
    from collections.abc import Sequence

FLAGS = ("-static", "-O2", "-Wall", "-Wextra", "-Werror")
ALONE = (
    "-nostdlib", "-static-pie", "-fPIE", "-ffreestanding", "-fno-stack-protector", "-fno-builtin",
    "-Wl,--no-dynamic-linker", "-O1", "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
"""For a program that the kernel may also run as another's dynamic loader."""
COMPILERS = ("cc", "gcc", "clang")

Facts = dict[str, Any]


class NoProbe(Exception):
    """It cannot be built; the argument says why and what to do."""


def cache_folder() -> Path:
    """Where built probes are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ocirun-conformance"


def build(package: str = __package__, program: str = "probe", flags: Sequence[str] = FLAGS) -> Path:
    """The probe's path; compiled if this source has not been compiled here before. program: its folder's name."""
    folder = resources.files(package).joinpath(program)
    sources = sorted((each.name, each.read_bytes()) for each in folder.iterdir() if each.name.endswith((".c", ".h")))
    digest = hashlib.sha256(repr((sources, tuple(flags), sysconfig.get_platform())).encode()).hexdigest()[:16]
    built = cache_folder() / f"{program}-{digest}"
    if built.exists():
        return built
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoProbe("the probe is compiled from C: install a compiler (Debian: gcc libc6-dev), or give --probe FILE")
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as name:
        place = Path(name)
        for source, text in sources:
            place.joinpath(source).write_bytes(text)
        files = [str(place / source) for source, _ in sources if source.endswith(".c")]
        made = place / program
        done = subprocess.run([compiler, *flags, "-o", str(made), *files], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoProbe(f"the probe cannot be compiled: {done.stderr.strip().splitlines()[-1:]}")
        made.rename(built)
    return built


def argv(*actions: Sequence[object]) -> list[str]:
    """The command line for these actions."""
    words = ["/probe"]
    for action in actions:
        words += (["--"] if len(words) > 1 else []) + [str(word) for word in action]
    return words


class Report:
    """What the probe wrote: the facts of each action, in order. The lines of a program that was killed may be fewer."""

    def __init__(self, lines: Sequence[Facts]) -> None:
        self.lines = list(lines)

    def __getitem__(self, index: int) -> Facts:
        """The facts of the action at `index`; fails the case when the program has not come so far."""
        if not -len(self.lines) <= index < len(self.lines):
            raise Fails(f"the program has done {len(self.lines)} of its actions only", seen=self.lines[-1:])
        return self.lines[index]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def facts(self) -> Facts:
        """The facts of the first `report`; fails the case when the program has not come so far."""
        for line in self.lines:
            if line["action"] == "report":
                return line
        raise Fails("the program has not said what it sees", seen=self.lines)

    @property
    def mounts(self) -> dict[str, Facts]:
        """The mounts of the first `report`, by mount point, the uppermost of several; see proc_pid_mountinfo(5)."""
        found = {}
        for line in cast("str", self.facts["mountinfo"] or "").splitlines():
            left, _, right = line.partition(" - ")
            ident, parent, _device, root, point, options, *tags = left.split(" ")
            fstype, source, superblock = right.split(" ", 2)
            found[_unescaped(point)] = {
                "id": int(ident),
                "parent": int(parent),
                "root": _unescaped(root),
                "options": options.split(","),
                "propagation": tags,
                "type": fstype,
                "source": source,
                "superblock": superblock.split(","),
            }
        return found


def _unescaped(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
