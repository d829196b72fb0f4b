"""Limits: is there a controller for each, and may the caller make the cgroup?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocirun.checks.subject import Finding, planned
from ocirun.errors import Failure
from ocirun.linux import cgroup, intelrdt
from ocirun.linux.cgroup import groupfs, making, place, v2
from ocirun.linux.cgroup.hierarchy import NONE, UNIFIED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks.subject import Subject
    from ocirun.linux.cgroup.hierarchy import Hierarchy
    from ocirun.linux.cgroup.limits import Setting
    from ocirun_spec.problem import Severity

_IDENT = "validate"
_BOOTED = "/run/systemd/system"
"""There when systemd is the system's manager (sd_booted(3))."""


def check(subject: Subject) -> Iterator[Finding]:
    """What the planner refuses; then, when the cgroup is not systemd's to make, the way to it."""
    if subject.systemd and not os.path.isdir(_BOOTED):
        hint = f"there is no {_BOOTED}: leave --systemd-cgroup out"
        yield Finding(place.POINTER, "systemd does not run on this host", hint)
        return
    refused = planned(lambda: cgroup.prepare(subject.config, subject.facts, _IDENT, subject.systemd))
    yield from refused
    if subject.linux.get("intelRdt") is not None:
        yield from planned(lambda: intelrdt.plan(subject.config, _IDENT, subject.facts.resctrl))
    if subject.systemd or any(each.severity == "error" for each in refused):
        return
    settings = making.settings_of(subject.linux.get("resources") or {}, subject.facts.cgroups)
    yield from _places(subject, [each for each in settings if each.controller and not each.optional])


def _places(subject: Subject, needed: list[Setting]) -> Iterator[Finding]:
    found, facts = subject.facts.cgroups, subject.facts
    severity: Severity = "error" if needed else "warning"
    if found.mode == NONE:
        yield Finding(place.POINTER, "no cgroup hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup", severity)
        return
    path = place.wanted(subject.config, _IDENT, facts.euid == 0 and facts.initial_userns)
    for hierarchy in found.v1:
        names = [each for each in needed if each.controller in hierarchy.controllers and not each.unified]
        if names or facts.euid == 0:
            yield from _way(hierarchy, place.directory(hierarchy, path, False), names)
    if found.unified and (found.mode == UNIFIED or facts.euid == 0):
        directory = place.directory(found.unified, path, found.mode == UNIFIED)
        yield from _way(found.unified, directory, [each for each in needed if found.mode == UNIFIED or each.unified])
        if found.mode == UNIFIED:
            yield from _enabled(found.unified, directory, needed)


def _way(hierarchy: Hierarchy, directory: str, needed: list[Setting]) -> Iterator[Finding]:
    """The cgroup is free, or can be made."""
    absent = groupfs.missing(hierarchy.mount, directory)
    if not absent:
        yield from planned(lambda: place.check_unused(directory))
        return
    above = os.path.dirname(absent[0])
    if os.access(above, os.W_OK):
        return
    if needed:
        message = f"{needed[0].file} needs a cgroup, and {above} is not the caller's: permission denied"
        yield Finding(needed[0].pointer, message, place.DELEGATE)
    else:
        message = f"the container runs without a cgroup of its own: {above} is not the caller's"
        yield Finding(place.POINTER, message, place.DELEGATE, "warning")


def _enabled(hierarchy: Hierarchy, directory: str, needed: list[Setting]) -> Iterator[Finding]:
    """On cgroup v2 a controller has to be handed down from the mount to the cgroup's parent."""
    told: set[str] = set()
    for parent in v2.parents(hierarchy, directory):
        try:
            enabled = groupfs.read(f"{parent}/cgroup.subtree_control").decode().split()
            lacking = [each for each in needed if each.controller not in (*enabled, *told)]
            busy = bool(lacking) and v2.is_inhabited(parent)
        except (OSError, Failure):
            return
        for each in lacking:
            told.add(each.controller)
            message = f"{each.file} needs the controller {each.controller}, which {parent} does not hand down"
            if busy:
                yield Finding(each.pointer, message, f"{parent} holds processes itself: move them to a cgroup below it")
            elif not os.access(f"{parent}/cgroup.subtree_control", os.W_OK):
                yield Finding(each.pointer, message, place.DELEGATE)
