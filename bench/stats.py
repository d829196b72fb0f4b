"""The few statistics that the report uses, over integers of one unit."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class Summary(TypedDict):
    """`mad` is the median absolute deviation from the median, unscaled."""

    n: int
    median: float
    mad: float
    min: float
    max: float


def summarize(samples: Sequence[int]) -> Summary:
    """Summary of at least one sample."""
    middle = statistics.median(samples)
    return {
        "n": len(samples),
        "median": middle,
        "mad": statistics.median([abs(sample - middle) for sample in samples]),
        "min": min(samples),
        "max": max(samples),
    }
