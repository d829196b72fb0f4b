"""Whether limits of memory and processes could be had, before anybody asks for them. Cold, and only a guess: what
counts is what `making` is told.
"""

from __future__ import annotations

import os

from ocirun.linux.cgroup import groupfs, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy

_NEEDED: Final = {"memory", "pids"}


def may_limit(found: Hierarchies) -> bool:
    """Whether the runtime may make a cgroup beside its own, or below it on v1, that has both controllers."""
    if not found.v1:
        return found.unified is not None and _unified(found.unified)
    there = {name for each in found.v1 for name in each.controllers}
    if found.unified:
        there |= set(groupfs.controllers(found.unified.mount))
    return there >= _NEEDED and all(os.access(place.directory(each, "", False), os.W_OK) for each in found.v1)


def _unified(hierarchy: Hierarchy) -> bool:
    parent = os.path.dirname(place.directory(hierarchy, "new", True))
    if not os.access(parent, os.W_OK) or not place.may_enter(hierarchy, f"{parent}/new"):
        return False
    enabled = set(groupfs.read(f"{parent}/cgroup.subtree_control").decode().split())
    if enabled >= _NEEDED:
        return True
    inhabited = os.access(f"{parent}/cgroup.type", os.F_OK) and groupfs.processes(parent)
    return not inhabited and set(groupfs.controllers(parent)) >= _NEEDED
