"""Writing limits to a container's cgroups, of either version: for `create`, and for whatever changes them later."""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.linux.cgroup import groupfs, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.journal import Journal
    from ocirun.linux.cgroup.limits import Setting

    Record = dict[str, Any]


class _Group:
    """A cgroup's directory and an O_PATH descriptor of it."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = groupfs.open_group(path)

    def has(self, file: str) -> bool:
        """Whether this kernel's cgroups have the file."""
        return os.access(file, os.F_OK, dir_fd=self.fd)


def write(settings: list[Setting], record: Record, journal: Journal | None = None) -> None:
    """Write the limits in their order, with bounded ones again after the others as long as that helps.

    The usage is looked at before anything is written. Raises Failure for the first setting that is not taken. `journal`
    gets the way back of each write.
    """
    groups: dict[str, _Group] = {}
    try:
        left = [(group, each) for each in settings if (group := _group(groups, each, record))]
        for group, each in left:
            if each.usage:
                _refuse_below_usage(group, each)
        while left:
            left = _round(left, record, journal)
    finally:
        for group in groups.values():
            os.close(group.fd)


def _group(groups: dict[str, _Group], setting: Setting, record: Record) -> _Group | None:
    """The cgroup of a setting; None where the drivers' `check` has let a default pass without its controller."""
    path = record["paths"].get(place.UNIFIED if setting.unified else setting.controller)
    if path is not None and path not in groups:
        groups[path] = _Group(path)
    return groups[path] if path is not None else None


def _refuse_below_usage(group: _Group, setting: Setting) -> None:
    if not group.has(setting.usage):
        return
    used = int(groupfs.read(setting.usage, group.fd))
    if used > int(setting.value):
        what = f"{setting.file} would be {setting.value}, which is below the usage of {used} bytes (in {group.path})"
        raise Failure(f"checkBeforeUpdate: {what}", where=setting.pointer)


def _round(left: list[tuple[_Group, Setting]], record: Record, journal: Journal | None) -> list[tuple[_Group, Setting]]:
    """Write each once; returns the bounded ones that were refused, to be tried again now that others are written."""
    refused: list[tuple[_Group, Setting]] = []
    first: Failure | None = None
    for group, setting in left:
        file, value = _choose(group, setting)
        if not file:
            continue
        try:
            _put(group, setting, file, value, record, journal)
        except OSError as problem:
            failure = _refusal(problem, group, file, value, setting.pointer)
            if not setting.bounded or problem.errno != groupfs.EINVAL:
                raise failure from None
            refused.append((group, setting))
            first = first or failure
    if first and len(refused) == len(left):
        raise first
    return refused


def _refusal(problem: OSError, group: _Group, file: str, value: str, pointer: str) -> Failure:
    """EBUSY on cgroup v1 means that so much is used already; nobody would guess that."""
    if problem.errno == groupfs.EBUSY and file.startswith("memory.") and file.endswith(".limit_in_bytes"):
        used = groupfs.read(file.replace(".limit_", ".usage_"), group.fd).strip().decode()
        what = f"{file} would be {value}, which is below the usage of {used} bytes (in {group.path})"
        return Failure(what, where=pointer, call="write", errno=groupfs.EBUSY)
    return groupfs.refusal(problem, group.path, file, value, pointer)


def _choose(group: _Group, setting: Setting) -> tuple[str, str]:
    """(file, value) by what this kernel has; an empty file for what need not be written."""
    if group.has(setting.file):
        return setting.file, setting.value
    if setting.instead:
        return setting.instead
    return ("", "") if setting.optional else (setting.file, setting.value)


def _put(group: _Group, setting: Setting, file: str, value: str, record: Record, journal: Journal | None) -> None:
    if setting.parents:
        for parent in record["made"]:
            if group.path.startswith(f"{parent}/"):
                _send(parent, file, value, None, journal)
    _send(group.path, file, value, group.fd, journal)
    if setting.kept and int(groupfs.read(file, group.fd)) > int(value):
        what = f"this kernel takes {value} for {file} (in {group.path}) and does not apply it"
        raise Failure(f"{what}: Linux has no such limit since 5.16", where=setting.pointer)


def _send(directory: str, file: str, value: str, group: int | None, journal: Journal | None) -> None:
    if journal is not None:
        from ocirun.linux.cgroup import restoring

        restoring.write(directory, file, value, journal)
    elif group is None:
        groupfs.write(f"{directory}/{file}", value.encode())
    else:
        groupfs.write(file, value.encode(), group)
