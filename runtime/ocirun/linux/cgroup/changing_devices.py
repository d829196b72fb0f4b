"""Changing the device rules of a running container on cgroup v1, whose kernel takes one exception at a time.

While the rest stays denied, or stays allowed, only the differences are written, first what becomes allowed: no process
sees a moment in which a device that is allowed before and after is denied. When the rest changes, the kernel first
forgets all exceptions; meanwhile the container is frozen.

SECURITY: the old state is the kernel's own list where that tells it, since an update that was killed may have left
more allowed than the configuration says.
"""

from __future__ import annotations

from ocirun.linux.cgroup import devices_v1, freezer, groupfs, v1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.journal import Journal
    from ocirun.linux.cgroup.devices_v1 import Entry

    Record = dict[str, Any]
    State = tuple[bool, dict[Entry, str]]


def change(record: Record, believed: State, wanted: State, journal: Journal) -> None:
    """Bring the container's cgroup from the state that the configuration gave it to the wanted one.

    Both are what `devices_v1.fold` gives.
    """
    path: str = record["paths"]["devices"]
    listed = parse(groupfs.read(f"{path}/devices.list").decode())
    before = believed if listed[0] and believed[0] else listed
    # before the first write: a change that stops half-way is to be taken back too
    journal.add(f"bring the device rules back (in {path})", _bring, record, wanted, before)
    _bring(record, before, wanted)


def _bring(record: Record, before: State, wanted: State) -> None:
    """`before` counts only when both states allow the rest, since devices.list does not tell exceptions from that."""
    path: str = record["paths"]["devices"]
    listed = parse(groupfs.read(f"{path}/devices.list").decode())
    if listed[0] != wanted[0] or (listed[0] and not before[0]):
        _rewrite(record, devices_v1.written(wanted), path)
    else:
        v1.allow_devices(transition(before if listed[0] else listed, wanted), path)


def _rewrite(record: Record, writes: list[tuple[str, str]], path: str) -> None:
    held = freezer.is_frozen(record)
    if not held:
        freezer.freeze(record)
    try:
        v1.allow_devices(writes, path)
    finally:
        if not held:
            freezer.thaw(record)


def parse(text: str) -> State:
    """devices.list: ``a *:* rwm`` when the rest is allowed, its exceptions not shown; else a line for each allowed."""
    exceptions: dict[Entry, str] = {}
    for line in text.splitlines():
        kind, numbers, access = line.split()
        if kind == "a":
            return True, {}
        major, _, minor = numbers.partition(":")
        exceptions[kind, _number(major), _number(minor)] = access
    return False, exceptions


def _number(text: str) -> int:
    return devices_v1.ANY if text == "*" else int(text)


def transition(before: State, after: State) -> list[tuple[str, str]]:
    """(file, value) in order, between two states with the same rest."""
    allowed = after[0]
    more, less = _beyond(after[1], before[1]), _beyond(before[1], after[1])
    freed, taken = (less, more) if allowed else (more, less)
    return [("devices.allow", each) for each in freed] + [("devices.deny", each) for each in taken]


def _beyond(one: dict[Entry, str], other: dict[Entry, str]) -> list[str]:
    """What the first has and the second has not, as the kernel reads it."""
    found = []
    for entry, access in one.items():
        letters = "".join(letter for letter in access if letter not in other.get(entry, ""))
        if letters:
            found.append(f"{devices_v1.text(entry)} {letters}")
    return found
