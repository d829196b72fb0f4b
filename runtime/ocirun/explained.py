"""All problems of a refused configuration. Cold.

The validator of schemas needs a library, so a process that can load one is asked.
"""

from __future__ import annotations

from ocirun import answering, cold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun_spec.problem import Problem


def problems(text: str, source: str) -> list[Problem]:
    """Those of a configuration's text; `source` is its name for people. Empty when they cannot be found."""
    found = answering.ask(__name__, text, source) or ()
    cold.enable()
    from ocirun_spec.problem import Problem

    return [Problem(*each) for each in found]


def answer(text: str, source: str) -> list[tuple[str | int, ...]]:
    """The same, each as its fields."""
    cold.enable()
    from dataclasses import astuple

    from ocirun_spec import problems

    return [astuple(each) for each in problems.explain(text, source)]
