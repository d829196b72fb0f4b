"""What the project wants of its own runtime, beside what was measured: `most` times the other's median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .many import KIND, LIST, PARALLEL, SEQUENTIAL
from .operations import TITLES
from .report import Table
from .runtimes import OWN
from .stats import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .rounds import PassResult, Samples

BOTH = ("minimal", "engine")


@dataclass(frozen=True)
class Goal:
    """One row: `unit` is a key of `PassResult`; no operation stands for the worst of all."""

    operation: str
    kinds: tuple[str, ...]
    most: float
    other: str = "runc"
    unit: str = "nanoseconds"


GOALS = (
    Goal("run", BOTH, 0.55),
    Goal("run", BOTH, 1.5, "crun"),
    Goal("lifecycle", BOTH, 0.8),
    Goal("exec", BOTH, 0.6),
    *(Goal(operation, BOTH, 1.3) for operation in ("state", "start", "kill")),
    Goal("delete --force", ("minimal",), 0.3),
    Goal("", BOTH, 0.8, unit="peak_kib"),
    Goal("rss", BOTH, 0.8, unit="init_kib"),
    Goal("foreground", BOTH, 0.8, unit="init_kib"),
    *(Goal(operation, (KIND,), 0.6) for operation in (SEQUENTIAL, PARALLEL, LIST)),
)
NAMES = {
    **TITLES, "": "peak RSS of the largest against the other's", "rss": "RSS of the waiting init",
    "foreground": "RSS of a foreground run",
}  # fmt: skip


def _ratio(samples: Samples, kind: str, goal: Goal) -> float | None:
    """The own median by the other's; None where one of them was not measured."""
    found = []
    for operation, by_name in samples.get(kind, {}).items():
        if operation == goal.operation or (not goal.operation and operation != "lifecycle"):
            if OWN not in by_name or goal.other not in by_name:
                return None
            found.append(summarize(by_name[OWN])["median"] / summarize(by_name[goal.other])["median"])
    return max(found, default=None)


def goals(results: Sequence[PassResult]) -> Table:
    """The table of goals, each from the first pass that measured both."""
    return Table("goals", ("", "bundle", "measured", "goal", ""), tuple(_rows(results)))


def _rows(results: Sequence[PassResult]) -> Iterator[tuple[str, ...]]:
    for goal in GOALS:
        for kind in goal.kinds:
            ratios = (_ratio(result[goal.unit], kind, goal) for result in results)  # type: ignore[literal-required]
            ratio = next((found for found in ratios if found is not None), None)
            name = NAMES.get(goal.operation, goal.operation)
            bound = f"<= {goal.most} x {goal.other}"
            if ratio is None:
                yield name, kind, "-", bound, "not measured"
            else:
                yield name, kind, f"{ratio:.2f} x", bound, "ok" if ratio <= goal.most else "not ok"
