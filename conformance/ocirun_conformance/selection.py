"""Which cases a command line asks for, and what to say when there are none."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from . import case as case_module
from . import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .case import Case


class Unusable(Exception):
    """The suite cannot begin; the argument is a sentence that says why and what to do."""


def chosen(
    filters: Sequence[str] = (), requirements: Sequence[str] = (), level: str = "", *, security: bool = False
) -> list[Case]:
    """The cases that match one of `filters`, cite one of `requirements` and have the level; an empty choice is all.

    security: of the attacks.

    Raises Unusable for a word that matches nothing, and when nothing is left.
    """
    cases = case_module.all_cases(security=security)
    wanted = [case_filter.strip() for case_filter in filters]
    for text in wanted:
        if not any(matches(text, name, cases) for name in cases):
            raise Unusable(f"--filter {text}: no case has this in its name{_close(text, cases)}; --list prints them")
    for ident in requirements:
        _check_requirement(ident, cases.values(), catalogue.known(security=security))
    found = [
        case
        for case in cases.values()
        if (not wanted or any(matches(text, case.name, cases) for text in wanted))
        and (not requirements or set(requirements) & set(case.requirements))
        and (not level or case.level == level)
    ]
    if not found:
        raise Unusable("no case is left: each option matches some, but no case matches all; --list prints them")
    return found


def matches(text: str, name: str, names: Iterable[str]) -> bool:
    """Whether the name has the text; a text that is a whole name means that one only."""
    return name == text if text in names else text in name


def _check_requirement(ident: str, cases: Iterable[Case], known: Iterable[str]) -> None:
    if ident not in known:
        raise Unusable(f"--requirement {ident}: there is no such duty{_close(ident.upper(), known)}")
    if not any(ident in case.requirements for case in cases):
        reason = catalogue.unjudged().get(ident, "no case cites it")
        raise Unusable(f"--requirement {ident}: is not judged: {reason}")


def _close(text: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(text, list(names), 3, 0.5)
    return f" (did you mean {' or '.join(found)}?)" if found else ""
