"""Measures what the hot commands cost, in numbers that do not depend on load; `./dev costs` writes the list.

The list has a command a line, with all processes that it makes and waits for (of `create` only its own, for the other
one stays):

- thousand instructions: outside the kernel, of each process until it executes the container's program
- page faults: that need no disk; the median of REPEATED calls, of commands that can be repeated. Most are pages that a
  process writes to first, and that the kernel copies then
- system calls
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .bundle import REPOSITORY, default_config, with_args, write_bundle
from .instructions import Counter

if TYPE_CHECKING:
    from collections.abc import Sequence

LIST = REPOSITORY / "tests" / "budget" / "costs.tsv"
PROGRAM = REPOSITORY / "build" / "bin" / "ocirun"
HEADS = ("command", "thousand instructions", "page faults", "system calls")
REPEATED = 7


class Cost(NamedTuple):
    """Of one command; no page faults where they are not measured."""

    thousands: int
    faults: int | None
    calls: int


class Costs:
    """Runs commands on containers of its own, with its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counter = Counter(folder)

    def call(self, *words: str, around: Sequence[str] = ()) -> None:
        """A command that has to succeed."""
        errors = self.folder / "errors"
        with errors.open("wb") as said:  # a file: the container's process has it too, and stays
            done = subprocess.run(
                [*around, str(PROGRAM), "--root", str(self.folder / "state"), *words],
                cwd=self.folder, env={"PATH": "/usr/sbin:/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=said, check=False, timeout=120,
            )  # fmt: skip
        assert done.returncode == 0, (words, errors.read_text())

    def instructions(self, *words: str) -> int:
        """In thousands."""
        self.call(*words, around=[str(self.counter.command)])
        return round(sum(self.counter.counts()) / 1000)

    def system_calls(self, *words: str) -> int:
        """As strace counts them."""
        summary = self.folder / "summary"
        follow = () if words[0] == "create" else ("-f",)
        self.call(*words, around=("strace", *follow, "-qq", "-c", "-o", str(summary)))
        return int(summary.read_text().split("\n")[-2].split()[3])

    def page_faults(self, *words: str) -> int:
        """The median of some calls: single ones differ by a hundredth."""
        found = []
        for _ in range(REPEATED):
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
            self.call(*words)
            found.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before)
        return statistics.median_low(found)


def measure() -> dict[str, Cost]:
    """By command, always in the same place, since the length of a path costs instructions."""
    with tempfile.TemporaryDirectory(prefix="ocirun-costs-", dir="/tmp") as name:
        return _measure(Path(name))


def _measure(folder: Path) -> dict[str, Cost]:
    costs = Costs(folder)
    bundle = str(write_bundle(folder / "bundle", with_args(default_config(), "/bin/true")))
    waiting = str(write_bundle(folder / "waiting", with_args(default_config(), "/bin/sleep", "600")))
    one, other, short = names = [f"costs-{os.getpid()}-{name}" for name in ("one", "other", "short")]
    run = "run", "--bundle", bundle, short
    found = {}
    try:
        costs.call(*run)  # fills the caches
        found["run"] = Cost(costs.instructions(*run), costs.page_faults(*run), costs.system_calls(*run))
        create = "create", "--bundle", waiting
        found["create"] = Cost(costs.instructions(*create, one), None, costs.system_calls(*create, other))
        for command, *words in (["state"], ["start"], ["exec", "/bin/true"], ["kill", "KILL"], ["delete"]):
            thousands = costs.instructions(command, one, *words)
            faults = costs.page_faults(command, other, *words) if command in ("state", "exec") else None
            found[command] = Cost(thousands, faults, costs.system_calls(command, other, *words))
    finally:
        for name in names:
            costs.call("delete", "--force", name)
    return found


def table(found: dict[str, Cost]) -> str:
    """The text of `costs.tsv`."""
    rows = [HEADS, *((command, *("-" if n is None else str(n) for n in cost)) for command, cost in found.items())]
    return "".join("\t".join(row) + "\n" for row in rows)


if __name__ == "__main__":
    LIST.write_text(table(measure()))
    print(LIST.read_text(), end="")
