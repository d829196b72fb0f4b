"""Runs the targets in a box, and prints a line for each: how many cases, and how many a minute.

    python -m fuzz.run                                a few fixed cases of each, as the tests do
    python -m fuzz.run --minutes 10                   new cases, then the coverage-guided ones, in equal shares
    python -m fuzz.run --minutes 1 --only create --seed 7

A failure prints the smallest case that shows it, and the seed, with which it comes again.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from fuzz import raw
from fuzz.box import enclosed
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, Phase, given, seed, settings
from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOUND = REPOSITORY / "build" / "fuzz"
SECONDS = 60
"""For one case."""
ROUND = 200
"""Cases with one seed."""
FEW = {"config": 30, "validate": 15, "create": 8, "words": 40, "record": 20, "channel": 25}
"""Cases of the tests."""


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def _too_long(_number: int, _frame: object) -> None:
    raise AssertionError(f"a case takes longer than {SECONDS} s")


class Tally:
    """Counts the cases of a target."""

    def __init__(self, name: str, base: Path) -> None:
        self.name = name
        self.given, self.hold = TARGETS[name](base)
        self.cases = 0
        signal.signal(signal.SIGALRM, _too_long)
        self.began = time.monotonic()

    def go(self, how: settings, number: int = 0) -> None:
        """As many cases as `how` says; `number` is their seed."""

        def counted(case: object) -> None:
            self.cases += 1
            signal.alarm(SECONDS)
            self.hold(case)
            signal.alarm(0)

        seed(number)(how(given(self.given)(counted)))()

    def tell(self) -> None:
        """The line."""
        minute = self.cases / max(time.monotonic() - self.began, 0.001) * 60
        print(f"{self.name}: {self.cases} cases, {minute:.0f} a minute", flush=True)


def few(name: str, base: Path) -> None:
    """The fixed cases of a target."""
    tally = Tally(name, base)
    tally.go(_settings(FEW[name]))
    tally.tell()


def many(name: str, seconds: float, first: int, base: Path) -> None:
    """New cases until the time is over: seed after seed, from `first` on."""
    tally = Tally(name, base)
    number = first
    while time.monotonic() < tally.began + seconds:
        print(f"{name}: seed {number}", file=sys.stderr, flush=True)
        tally.go(_settings(ROUND), number)
        number += 1
    tally.tell()


def guided(name: str, seconds: float, first: int) -> int:
    """A raw target under atheris; 0 when nothing was found."""
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.guided", name, str(FOUND / name), str(int(seconds)), str(first % (1 << 31))],
        check=False, capture_output=True, text=True, timeout=seconds + 120,
    )  # fmt: skip
    if done.returncode:
        print(f"{name}, guided, with seed {first}: see {FOUND / name}\n{done.stderr[-6000:]}", flush=True)
        return done.returncode
    cases = next(int(line.split()[-1]) for line in done.stderr.splitlines() if "number_of_executed_units" in line)
    print(f"{name}, guided: {cases} cases, {cases / seconds * 60:.0f} a minute", flush=True)
    return 0


def main(words: Sequence[str]) -> int:
    """0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="./dev fuzz")
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--only", action="append", choices=[*TARGETS, *(f"raw-{name}" for name in raw.TARGETS)])
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    asked = parser.parse_args(words)
    chosen = asked.only or [*TARGETS, *(f"raw-{name}" for name in raw.TARGETS)]
    share = asked.minutes * 60 / len(chosen)
    code = 0
    for name in chosen:
        if name in TARGETS:
            code |= enclosed(partial(many, name, share, asked.seed) if share else partial(few, name))
            continue
        kept = raw.replay(name.removeprefix("raw-"), FOUND / name.removeprefix("raw-"))
        print(f"{name}: {kept} kept", flush=True)
        if share and importlib.util.find_spec("atheris"):
            code |= guided(name.removeprefix("raw-"), share, asked.seed)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
