"""Changing the limits of a container that exists: everything is judged first, then written, each write with a way back.

The caller takes back what the journal has when anything fails, also something of its own that comes later. Controllers
that a cgroup2 gets for it stay enabled: a container that began meanwhile may count on them, and would lose its limits
without a word.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.linux.cgroup import making, merging, place, writing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirun.facts import Facts
    from ocirun.journal import Journal
    from ocirun.linux.cgroup.hierarchy import Hierarchies
    from ocirun.linux.cgroup.limits import Setting

    Record = dict[str, Any]
    Resources = dict[str, Any]


def update(record: Record | None, current: Resources, asked: Resources, facts: Facts, journal: Journal) -> Resources:
    """See `cgroup.update`."""
    asked = merging.effective(asked)
    if not asked:
        return current
    if not record:
        raise Failure("the container has no cgroup of its own, so that its limits cannot be changed")
    merged = merging.merge(current, asked)
    merging.check(merged, asked)
    settings = _settings(merged, asked, facts.cgroups, record)
    change_devices = _device_change(current, merged, record) if "devices" in asked else None
    merging.without_replaced(merged, asked, settings)
    _enable(facts.cgroups, settings, record)
    if record.get("unit"):  # before the files, which have the last word
        _tell_systemd(current, merged, asked, settings, facts.cgroups, record, journal)
    writing.write(settings, record, journal)
    if change_devices:
        change_devices(journal)
    return merged


def _tell_systemd(
    current: Resources,
    merged: Resources,
    asked: Resources,
    settings: list[Setting],
    found: Hierarchies,
    record: Record,
    journal: Journal,
) -> None:
    """systemd writes some of the files for its properties, and rounds: what they say now comes back the last."""
    from ocirun.linux.cgroup import devices_v1, restoring, systemd

    for each in settings:
        path = record["paths"].get(place.UNIFIED if each.unified else each.controller)
        if path is not None:
            restoring.remember(path, each.file, each.value, journal)
    legacy = "devices" in asked and "devices" in record["paths"]
    rules = (devices_v1.rules(current), devices_v1.rules(merged)) if legacy else None
    systemd.change(record, making.settings_of(current, found), settings, rules, journal)


def _settings(merged: Resources, asked: Resources, found: Hierarchies, record: Record) -> list[Setting]:
    """What has to be written, and can be on this host."""
    concerned = {name: merged[name] for name in asked}
    if "unified" in asked:
        concerned["unified"] = asked["unified"]
    settings = [each for each in making.settings_of(concerned, found) if merging.is_asked(each, asked)]
    making.check(found, settings)
    for each in settings:
        controller = place.UNIFIED if each.unified else each.controller
        if controller not in record["paths"] and not each.optional:
            what = f"{each.file} needs a cgroup of {controller}, which the container does not have"
            raise Failure(what, where=each.pointer)
    return settings


def _device_change(current: Resources, merged: Resources, record: Record) -> Callable[[Journal], None]:
    """Refuses rules that cannot be; the rest is done by calling the result."""
    from ocirun.linux.cgroup import devices_v1

    rules = devices_v1.rules(merged)
    if "devices" in record["paths"]:
        from ocirun.linux.cgroup import changing_devices

        believed, wanted = devices_v1.fold(devices_v1.rules(current)), devices_v1.fold(rules)
        return lambda journal: changing_devices.change(record, believed, wanted, journal)
    if place.UNIFIED not in record["paths"]:
        what = "device rules need the cgroup v1 controller devices, which is not mounted"
        raise Failure(what, where=devices_v1.POINTER)
    from ocirun.linux.cgroup import attached_bpf, devices_bpf

    content = devices_bpf.program(rules)
    return lambda journal: attached_bpf.replace(content, record["paths"][place.UNIFIED], journal)


def _enable(found: Hierarchies, settings: list[Setting], record: Record) -> None:
    """Nothing may have asked for the controller when the container was created."""
    needed = [each for each in settings if each.unified]
    if needed and found.unified:
        from ocirun.linux.cgroup import v2

        v2.enable(found.unified, record["paths"][place.UNIFIED], needed)
