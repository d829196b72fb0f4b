"""The part of a config that can be read further, although something in it is refused. Cold.

What reads on looks at no types: so what the schema refuses is taken out first, and lists with an item that a rule
refuses. What is then found near such a hole is not to be believed.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from . import rules
from .accept import accept
from .names import NAMESPACES


class Sound(NamedTuple):
    """A copy of the config without what is refused, and the JSON pointers of what was, or is missing, or is wrong."""

    config: dict[str, Any]
    holes: list[str]

    def near(self, pointer: str) -> bool:
        """Whether the pointer lies in a hole, or around one."""
        return any(pointer.startswith(hole) or hole.startswith(pointer) for hole in self.holes)

    def hides_namespaces(self) -> bool:
        """Whether it cannot be known which namespaces the container has."""
        return any("/linux/namespaces".startswith(hole) for hole in self.holes)

    def with_namespaces(self, kinds: list[str]) -> dict[str, Any]:
        """The config with new namespaces of these types instead of its own."""
        linux = {**self.config.get("linux", {}), "namespaces": [{"type": kind} for kind in kinds]}
        return {**self.config, "linux": linux}


def of_the_schema(config: object) -> Sound | None:
    """Without what the schema refuses; None when that is the whole document.

    For a missing member that is the object which lacks it; for an item the whole list, so that other items keep their
    index.
    """
    rest: Any = copy.deepcopy(config)
    holes: list[str] = []
    while (place := accept(rest)) is not None:
        hole = _take_out(rest, place)
        if not hole:
            return None
        holes.append(hole)
    return Sound(rest, holes)


def of_the_rules(config: object) -> Sound | None:
    """Without what the rules between fields refuse, too. Unknown namespaces count as new ones."""
    found = of_the_schema(config)
    if found is None:
        return None
    if found.hides_namespaces():
        found = Sound(found.with_namespaces([kind for kind in NAMESPACES if kind not in ("user", "time")]), found.holes)
    found.holes.extend([_take_list_out(found.config, pointer) for pointer, _ in rules.check(found.config)])
    return found


def _names(tokens: list[str]) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def _take_out(config: Any, place: str) -> str:
    """Remove the value, or what should have it, and return the pointer of that; "" if it is the whole document."""
    tokens = place.split("/")[1:]
    names = _names(tokens)
    while names:
        parent = config
        for name in names[:-1]:
            parent = parent[int(name)] if isinstance(parent, list) else parent[name]
        if isinstance(parent, dict) and names[-1] in parent:
            del parent[names[-1]]
            return "/" + "/".join(tokens[: len(names)])
        names.pop()
    return ""


def _take_list_out(config: Any, place: str) -> str:
    """Remove the list that has the place in one of its items, and return its pointer; else the place, which stays."""
    tokens = place.split("/")[1:]
    parent = config
    for depth, name in enumerate(_names(tokens)):
        value = parent.get(name) if isinstance(parent, dict) else None
        if isinstance(value, list):
            del parent[name]
            return "/" + "/".join(tokens[: depth + 1])
        parent = value
    return place
