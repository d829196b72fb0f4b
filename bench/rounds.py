"""One pass: every subject, every bundle, round by round, within a time limit."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from support.host import cgroup_mountpoints

from .bundles import write_bundles
from .operations import Sample, Subject, lifecycle
from .timing import CommandFailedError, become_subreaper, reap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .runtimes import Candidate

WARM_UP_ROUNDS = 2
MEMORY_ROUNDS = 5

# bundle → operation → runtime → samples
Samples = dict[str, dict[str, dict[str, list[int]]]]


class PassResult(TypedDict):
    """Raw samples of one pass. `nanoseconds` are wall times, `peak_kib` and `init_kib` memory."""

    title: str
    rounds: int
    nanoseconds: Samples
    peak_kib: Samples
    init_kib: Samples
    remarks: list[str]


class Pass:
    """Owns the subjects, the bundles and the temporary directory of one pass; use as `Pass(...).run()`."""

    def __init__(self, title: str, candidates: Sequence[Candidate], limits: bool, runs: int, seconds: float) -> None:
        self.result: PassResult = {
            "title": title,
            "rounds": 0,
            "nanoseconds": {},
            "peak_kib": {},
            "init_kib": {},
            "remarks": [],
        }
        self._candidates = candidates
        self._limits = limits
        self._runs = runs
        self._end = time.monotonic() + seconds
        self._prefix = f"ocirun-bench-{os.getpid()}"
        # A fixed seed: two runs of the bench differ by the machine's doing only.
        self._random = random.Random(1)

    def run(self) -> PassResult:
        """Measure; whatever was made is removed on every way out."""
        become_subreaper()
        directory = Path(tempfile.mkdtemp(prefix="ocirun-bench-"))
        subjects: list[Subject] = []
        try:
            bundles = write_bundles(directory / "bundles", self._prefix, self._limits)
            subjects += [Subject(one, directory / one.name, self._prefix) for one in self._candidates]
            pairs = self._warm_up(subjects, bundles)
            if pairs:
                self._memory(pairs, bundles)
                self._time(pairs, bundles)
        finally:
            for subject in subjects:
                subject.clean()
            reap()
            remove_cgroups(self._prefix)
            shutil.rmtree(directory, ignore_errors=True)
        return self.result

    def _warm_up(
        self, subjects: Sequence[Subject], bundles: Mapping[str, Mapping[str, Path]]
    ) -> list[tuple[Subject, str]]:
        """Fill caches, and find out which subject can do which bundle; the others are named in the remarks."""
        able = []
        for kind, pair in bundles.items():
            for subject in subjects:
                try:
                    for _ in range(WARM_UP_ROUNDS):
                        subject.sequence(pair, subject.spawner.nanoseconds)
                    able.append((subject, kind))
                except (CommandFailedError, OSError) as error:
                    self.result["remarks"].append(f"{subject.name} is left out of {kind}: {error}")
                    subject.clean()
        return able

    def _memory(self, pairs: list[tuple[Subject, str]], bundles: Mapping[str, Mapping[str, Path]]) -> None:
        for _ in range(MEMORY_ROUNDS):
            for subject, kind in list(pairs):
                if time.monotonic() > self._end:
                    return
                try:
                    peaks = subject.sequence(bundles[kind], subject.spawner.peak_kib)
                    init = subject.init_memory(bundles[kind])
                except (CommandFailedError, OSError) as error:
                    self._drop(pairs, subject, kind, error)
                    continue
                _add(self.result["peak_kib"], kind, subject.name, peaks)
                _add(self.result["init_kib"], kind, subject.name, {"rss": init.rss, "pss": init.pss})

    def _time(self, pairs: list[tuple[Subject, str]], bundles: Mapping[str, Mapping[str, Path]]) -> None:
        """Interleaved rounds: in each one every pair comes once, in a new random order."""
        longest = 0.0
        while self.result["rounds"] < self._runs and pairs:
            began = time.monotonic()
            if began + longest > self._end:
                self.result["remarks"].append(f"stopped by the time limit after {self.result['rounds']} rounds")
                return
            order = list(pairs)
            self._random.shuffle(order)
            for subject, kind in order:
                try:
                    sample = subject.sequence(bundles[kind], subject.spawner.nanoseconds)
                except (CommandFailedError, OSError) as error:
                    self._drop(pairs, subject, kind, error)
                    continue
                _add(self.result["nanoseconds"], kind, subject.name, {**sample, "lifecycle": lifecycle(sample)})
            self.result["rounds"] += 1
            longest = max(longest, time.monotonic() - began)
            _progress(f"{self.result['title']}: round {self.result['rounds']}/{self._runs}")

    def _drop(self, pairs: list[tuple[Subject, str]], subject: Subject, kind: str, error: Exception) -> None:
        """A subject that fails in the middle keeps the samples it has and takes no further part in that bundle."""
        pairs.remove((subject, kind))
        self.result["remarks"].append(f"{subject.name} dropped out of {kind}: {error}")
        subject.clean()


def _add(samples: Samples, kind: str, name: str, sample: Sample) -> None:
    for operation, value in sample.items():
        samples.setdefault(kind, {}).setdefault(operation, {}).setdefault(name, []).append(value)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)


def remove_cgroups(prefix: str) -> None:
    """Remove the cgroups named after `prefix` that a runtime left in any hierarchy, deepest first."""
    for point in cgroup_mountpoints():
        left = [path for path in point.rglob(f"{prefix}*") if path.is_dir()]
        for path in sorted(left, key=lambda found: len(found.parts), reverse=True):
            try:
                path.rmdir()
            except OSError as error:
                print(f"{path} could not be removed: {error.strerror}", file=sys.stderr)
