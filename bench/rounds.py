"""Rounds within a time limit, and the pass that measures every runtime with every bundle."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar

from support.host import cgroup_mountpoints
from support.instructions import Counter, countable

from .bundles import write_bundles
from .many import Many
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
    """Raw samples of one pass.

    `nanoseconds` are wall times, `peak_kib` and `init_kib` memory, `instructions` those outside the kernel. Through an
    engine, `calls` are the calls of the runtime and `within` their nanoseconds in all.
    """

    title: str
    rounds: int
    nanoseconds: Samples
    peak_kib: Samples
    init_kib: Samples
    instructions: Samples
    calls: Samples
    within: Samples
    remarks: list[str]


def empty_result(title: str, *remarks: str) -> PassResult:
    """A pass without samples."""
    return {
        "title": title,
        "rounds": 0,
        "nanoseconds": {},
        "peak_kib": {},
        "init_kib": {},
        "instructions": {},
        "calls": {},
        "within": {},
        "remarks": list(remarks),
    }


class Measured(Protocol):
    """A runtime with something that it is measured by: a bundle or an engine, named by `kind`."""

    @property
    def name(self) -> str:
        """The runtime's short name."""

    @property
    def kind(self) -> str:
        """The bundle or the engine."""

    def sample(self) -> Sample:
        """Nanoseconds of each operation, in the order of the tables."""

    def clean(self) -> None:
        """Remove what a failed operation left."""


Subjects = TypeVar("Subjects", bound=Measured)


class Rounds:
    """Interleaved rounds within a time limit: in each one every subject comes once, in a new random order."""

    def __init__(self, title: str, runs: int, seconds: float) -> None:
        self.result = empty_result(title)
        self._runs = runs
        self.end = time.monotonic() + seconds
        # A fixed seed: two runs of the bench differ by the machine's doing only.
        self._random = random.Random(1)

    def warm_up(self, subjects: Sequence[Subjects]) -> list[Subjects]:
        """Fill caches, and find out which subjects can do it; the others are named in the remarks."""
        able = []
        for one in subjects:
            try:
                for _ in range(WARM_UP_ROUNDS):
                    one.sample()
                able.append(one)
            except (CommandFailedError, OSError) as error:
                self.result["remarks"].append(f"{one.name} is left out of {one.kind}: {error}")
                one.clean()
        return able

    def time(self, subjects: list[Subjects]) -> None:
        """Take the samples; the order of `subjects` is that of the tables."""
        for one in subjects:
            self.result["nanoseconds"].setdefault(one.kind, {})
        longest = 0.0
        while self.result["rounds"] < self._runs and subjects:
            began = time.monotonic()
            if began + longest > self.end:
                self.result["remarks"].append(f"stopped by the time limit after {self.result['rounds']} rounds")
                return
            order = list(subjects)
            self._random.shuffle(order)
            for one in order:
                try:
                    sample = one.sample()
                except (CommandFailedError, OSError) as error:
                    self.drop(subjects, one, error)
                    continue
                add(self.result["nanoseconds"], one.kind, one.name, sample)
            self.result["rounds"] += 1
            longest = max(longest, time.monotonic() - began)
            _progress(f"{self.result['title']}: round {self.result['rounds']}/{self._runs}")

    def drop(self, subjects: list[Subjects], one: Subjects, error: Exception) -> None:
        """A subject that fails in the middle keeps the samples it has and takes no further part."""
        subjects.remove(one)
        self.result["remarks"].append(f"{one.name} dropped out of {one.kind}: {error}")
        one.clean()


@dataclass
class BundlePair:
    """A runtime with a bundle."""

    subject: Subject
    kind: str
    bundles: Mapping[str, Path]

    @property
    def name(self) -> str:
        """The runtime's short name."""
        return self.subject.name

    def sample(self) -> Sample:
        """Wall times, with the sum of a container's life."""
        sample = self.subject.sequence(self.bundles, self.subject.spawner.nanoseconds)
        return {**sample, "lifecycle": lifecycle(sample)}

    def clean(self) -> None:
        """Remove the runtime's containers."""
        self.subject.clean()


class Pass(Rounds):
    """Owns the subjects, the bundles and the temporary directory of one pass; use as `Pass(...).run()`."""

    def __init__(
        self, title: str, candidates: Sequence[Candidate], limits: bool, runs: int, seconds: float, many: float
    ) -> None:
        super().__init__(title, runs, seconds)
        self._candidates = candidates
        self._limits = limits
        self._scale = many
        self._prefix = f"ocirun-bench-{os.getpid()}"

    def run(self) -> PassResult:
        """Measure; whatever was made is removed on every way out."""
        become_subreaper()
        directory = Path(tempfile.mkdtemp(prefix="ocirun-bench-"))
        # A tmpfs mostly, as the places are where runtimes keep their state by themselves.
        state = Path(tempfile.mkdtemp(prefix="ocirun-bench-", dir=os.environ.get("TMPDIR", "/run")))
        subjects: list[Subject] = []
        try:
            bundles = write_bundles(directory / "bundles", self._prefix, self._limits)
            subjects += [Subject(one, directory / one.name, state, self._prefix) for one in self._candidates]
            pairs = [BundlePair(one, kind, bundles[kind]) for kind in bundles for one in subjects]
            able = self.warm_up(pairs)
            self._memory(able)
            self._instructions(able, directory)
            self.time(able)
            self._many([Many(one.subject, one.bundles, self._scale) for one in able if one.kind == "minimal"])
        finally:
            for subject in subjects:
                subject.clean()
            reap()
            remove_cgroups(self._prefix)
            for folder in (state, directory):
                shutil.rmtree(folder, ignore_errors=True)
        return self.result

    def _memory(self, pairs: list[BundlePair]) -> None:
        for _ in range(MEMORY_ROUNDS):
            for one in list(pairs):
                if time.monotonic() > self.end:
                    return
                try:
                    peaks = one.subject.sequence(one.bundles, one.subject.spawner.peak_kib)
                    waiting = one.subject.waiting(one.bundles)
                except (CommandFailedError, OSError) as error:
                    self.drop(pairs, one, error)
                    continue
                add(self.result["peak_kib"], one.kind, one.name, peaks)
                add(self.result["init_kib"], one.kind, one.name, asdict(waiting))

    def _instructions(self, pairs: Sequence[BundlePair], directory: Path) -> None:
        """Once, since they hardly differ; who cannot be counted still takes part in the rest."""
        reason = countable()
        if reason:
            self.result["remarks"].append(f"instructions are not counted: {reason}")
            return
        counter = Counter(directory)
        refused = set()
        for one in pairs:
            if time.monotonic() > self.end or one.name in refused:
                continue
            spawner = one.subject.spawner
            try:
                counts = one.subject.sequence(one.bundles, partial(spawner.instructions, counter))
            except (CommandFailedError, OSError) as error:
                reason = str(error).partition(": ")[2]
                self.result["remarks"].append(f"{one.name} does not run in valgrind, so nothing is counted: {reason}")
                refused.add(one.name)
                one.clean()
                continue
            add(self.result["instructions"], one.kind, one.name, counts)

    def _many(self, subjects: list[Many]) -> None:
        """The totals of many containers: fewer rounds, since each has hundreds of calls."""
        rounds = Rounds(self.result["title"], max(1, self._runs // 10), self.end - time.monotonic())
        rounds.result["remarks"] = self.result["remarks"]
        for one in list(subjects):
            try:
                one.prepare()
            except (CommandFailedError, OSError) as error:
                rounds.drop(subjects, one, error)
        rounds.time(subjects)
        for one in subjects:
            one.clean()
        self.result["nanoseconds"].update(rounds.result["nanoseconds"])


def add(samples: Samples, kind: str, name: str, sample: Sample) -> None:
    """Append one sample."""
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
