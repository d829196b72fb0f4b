"""Many containers: what the calls of one runtime come to, one after the other, at once, and with many to tell of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .operations import Sample, Subject

KIND = "many containers"
RUNS, AT_ONCE, LISTED = 100, 32, 500


def names(runs: int, at_once: int, listed: int) -> tuple[str, str, str]:
    """What the three totals are called."""
    return f"{runs} runs", f"{at_once} runs at once", f"list of {listed}"


SEQUENTIAL, PARALLEL, LIST = names(RUNS, AT_ONCE, LISTED)


class Many:
    """A runtime with `LISTED` created containers, and the bundle that ends at once; of all counts `scale` is made."""

    def __init__(self, subject: Subject, bundles: Mapping[str, Path], scale: float) -> None:
        self.subject = subject
        self.bundles = bundles
        self.kind = KIND
        self._counts = [max(1, round(scale * count)) for count in (RUNS, AT_ONCE, LISTED)]
        self._made: list[str] = []

    @property
    def name(self) -> str:
        """The runtime's short name."""
        return self.subject.name

    def prepare(self) -> None:
        """Create what is listed; not measured."""
        for _ in range(self._counts[-1]):
            self._made.append(self.subject.create(self.bundles))

    def sample(self) -> Sample:
        """Nanoseconds of each; the two kinds of runs have the listed containers beside them."""
        spawner, (runs, at_once, listed) = self.subject.spawner, self._counts
        sequential = sum(spawner.nanoseconds(self.subject.run(self.bundles)) for _ in range(runs))
        parallel = spawner.at_once([self.subject.run(self.bundles) for _ in range(at_once)])
        told = spawner.nanoseconds(self.subject.argv("list"))
        return dict(zip(names(runs, at_once, listed), (sequential, parallel, told), strict=True))

    def clean(self) -> None:
        """Remove the containers."""
        for container in self._made:
            self.subject.remove(container)
        self._made.clear()
