"""linux.intelRdt: config-linux.md, IntelRdt. The tree of resctrl is the host's own, so the cases run alone."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from ocirun_conformance import facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.holder import Holder
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Container, Trial

NEEDS = [facility.resctrl]
L3, MB = "L3", "MB"


def tree() -> Path:
    """Where resctrl is mounted."""
    found = facility.resctrl_mount()
    if found is None:
        raise NotRun("needs a mounted resctrl")
    return found


def with_rdt(trial: Trial, **members: Any) -> Config:
    """A container with intelRdt."""
    config = trial.config(["wait"])
    config["linux"]["intelRdt"] = members
    return config


def schemata(group: Path) -> dict[str, dict[str, str]]:
    """The values of a class by resource and domain, as the kernel shows them, without blanks and leading zeros."""
    found: dict[str, dict[str, str]] = {}
    for line in (group / "schemata").read_text().splitlines():
        resource, _, rest = line.strip().partition(":")
        pairs = [part.split("=") for part in rest.split(";")]
        found[resource] = {domain.strip(): value.strip().lstrip("0") for domain, value in pairs}
    return found


def line_for(resource: str, quarter: bool = False) -> str:
    """A line that narrows each domain of a resource: to half of the bits or percent, or to a quarter."""
    whole = schemata(tree()).get(resource)
    if whole is None:
        raise NotRun(f"this processor has no {resource} in its schemata")
    bits, percent = (2, "20") if quarter else (1, "50")
    parts = [
        f"{domain}={f'{int(value, 16) >> bits:x}' if resource == L3 else percent}" for domain, value in whole.items()
    ]
    return f"{resource}:{';'.join(parts)}"


def values(line: str) -> dict[str, str]:
    """The values of a line, by domain."""
    return dict(part.split("=") for part in line.partition(":")[2].split(";"))


def tasks(group: Path) -> list[int]:
    """The processes of a class or a monitoring group."""
    return [int(word) for word in (group / "tasks").read_text().split()]


def groups() -> set[str]:
    """All classes and monitoring groups below the root."""
    return {str(path.parent.relative_to(tree())) for path in tree().rglob("tasks")} - {"."}


def remove(group: Path) -> None:
    """Remove a class that a case has brought about."""
    with contextlib.suppress(FileNotFoundError):
        group.rmdir()


def named(trial: Trial) -> str:
    """A closID that no other has; its class is removed with the case."""
    name = f"oc-{trial.token}"[:60]
    trial.defer(lambda: remove(tree() / name))
    return name


def existing(trial: Trial, *lines: str) -> Path:
    """A class that is there before the container."""
    group = tree() / named(trial)
    group.mkdir()
    for line in lines:
        (group / "schemata").write_text(f"{line}\n")
    return group


def ended(made: Container) -> None:
    """Kill and delete a container."""
    ok(made.kill("KILL"), "kill")
    made.wait()
    ok(made.delete(), "delete")


@each(
    row("schema", "LNX-065", {"l3CacheSchema": f"{L3}:0=1"}),
    row("class", "LNX-065", {"closID": "oc-class"}),
    row("default", "LNX-065", {"closID": "/"}),
    row("empty", "LNX-065", {}),
    needs=[facility.unshare],
)
def not_mounted(trial: Trial, members: dict[str, str]) -> None:
    """intelRdt {0} without a mounted resctrl is an error"""
    if place := facility.resctrl_mount():
        Holder(trial, "mount", script=f"umount -l {place}").put_runtime_in(trial, "mount")
    trial.refused(with_rdt(trial, **members), f"intelRdt {members} without a mounted resctrl")


@case("LNX-066", needs=NEEDS, alone=True)
def not_asked_for(trial: Trial) -> None:
    """without intelRdt nothing of resctrl changes"""
    before = (groups(), schemata(tree()))
    made = trial.started(trial.config(["wait"]))
    expect_equal((groups(), schemata(tree())), before, "the tree of resctrl while the container runs")
    ended(made)
    expect_equal((groups(), schemata(tree())), before, "the tree of resctrl when the container is gone")


@case("LNX-064", "LNX-073", "LNX-079", needs=NEEDS, alone=True)
def without_a_name(trial: Trial) -> None:
    """without closID the container is in a class with its id as name"""
    made = trial.created(with_rdt(trial))
    group = tree() / made.ident
    expect(group.is_dir(), f"there is no class {made.ident}", seen=sorted(groups()))
    expect_equal(tasks(group), [made.pid], "the list of processes in the class")


@case("LNX-073", "LNX-084", needs=NEEDS, alone=True)
def without_a_name_it_goes(trial: Trial) -> None:
    """a class that was made without closID is removed with the container"""
    made = trial.started(with_rdt(trial))
    expect((tree() / made.ident).is_dir(), f"there is no class {made.ident}")
    ended(made)
    expect(not (tree() / made.ident).exists(), f"the class {made.ident} is there after delete")


@case("LNX-067", needs=NEEDS, alone=True)
def the_default_class(trial: Trial) -> None:
    """closID / is the root of resctrl"""
    before = groups()
    made = trial.created(with_rdt(trial, closID="/"))
    expect(made.pid in tasks(tree()), "the container is not in the default class")
    expect_equal(groups(), before, "the set of classes")


@each(
    row("both", "LNX-073 LNX-074", (L3, MB)),
    row("l3CacheSchema", "LNX-073 LNX-076", (L3,)),
    row("memBwSchema", "LNX-073 LNX-076", (MB,)),
    needs=NEEDS,
    alone=True,
)
def old_schemas(trial: Trial, resources: tuple[str, ...]) -> None:
    """the values of {0} are in the schemata of the container's class"""
    members = {"l3CacheSchema": L3, "memBwSchema": MB}
    given = {member: line_for(resource) for member, resource in members.items() if resource in resources}
    made = trial.created(with_rdt(trial, **given))
    found = schemata(tree() / made.ident)
    wanted = {line.partition(":")[0]: values(line) for line in given.values()}
    expect_equal({name: found.get(name) for name in wanted}, wanted, "the schemata of the class")


@case("LNX-073", "LNX-077", needs=NEEDS, alone=True)
def lines_come_last(trial: Trial) -> None:
    """the lines of schemata are written after l3CacheSchema, so that they win"""
    first, last = line_for(L3), line_for(L3, quarter=True)
    made = trial.created(with_rdt(trial, l3CacheSchema=first, schemata=[last]))
    expect_equal(schemata(tree() / made.ident).get(L3), values(last), "the L3 line of the class")


@case("LNX-073", "LNX-080", needs=NEEDS, alone=True)
def a_named_class_is_made(trial: Trial) -> None:
    """closID with schemata: a class that there is not is made"""
    name, line = named(trial), line_for(L3)
    made = trial.created(with_rdt(trial, closID=name, schemata=[line]))
    expect((tree() / name).is_dir(), f"there is no class {name}")
    expect_equal(tasks(tree() / name), [made.pid], "the list of processes in the class")
    expect_equal(schemata(tree() / name).get(L3), values(line), "the L3 line of the class")


@case("LNX-073", "LNX-085", needs=NEEDS, alone=True)
def a_named_class_stays(trial: Trial) -> None:
    """a class that was made for a closID stays when the container is deleted"""
    name = named(trial)
    made = trial.started(with_rdt(trial, closID=name, schemata=[line_for(L3)]))
    expect((tree() / name).is_dir(), f"there is no class {name}")
    ended(made)
    expect((tree() / name).is_dir(), f"the class {name} is gone after delete")


@case("LNX-073", "LNX-081", needs=NEEDS, alone=True)
def an_existing_class_that_differs(trial: Trial) -> None:
    """closID with l3CacheSchema: an existing class with another value is an error, and keeps its value"""
    line = line_for(L3, quarter=True)
    group = existing(trial, line)
    trial.refused(with_rdt(trial, closID=group.name, l3CacheSchema=line_for(L3)), "a class of another L3 schema")
    expect_equal(schemata(group).get(L3), values(line), "the L3 line of the class that was there before")


@case("LNX-073", "LNX-078", "LNX-083", "LNX-085", needs=NEEDS, alone=True)
def an_existing_class_is_joined(trial: Trial) -> None:
    """closID alone: the container joins the class that is there, which keeps its schemata and stays"""
    group = existing(trial, line_for(L3))
    before = schemata(group)
    made = trial.started(with_rdt(trial, closID=group.name))
    expect_equal(tasks(group), [made.pid], "the list of processes in the class")
    expect_equal(schemata(group), before, "the schemata of the class")
    ended(made)
    expect(group.is_dir(), "the class that was there before is gone after delete")


@case("LNX-073", "LNX-082", "LNX-083", needs=NEEDS, alone=True)
def a_class_that_there_is_not(trial: Trial) -> None:
    """closID alone: a class that there is not is an error"""
    name = named(trial)
    trial.refused(with_rdt(trial, closID=name), "a class that there is not, without a schema to make it of")
    expect(not (tree() / name).exists(), "the refused class has been made")


@case("LNX-073", "LNX-086", "LNX-087", "LNX-088", needs=NEEDS, alone=True)
def monitoring(trial: Trial) -> None:
    """enableMonitoring: a monitoring group with the container's id in its class, which goes with the container"""
    if not (tree() / "mon_groups").is_dir():
        raise NotRun("this processor cannot monitor")
    group = existing(trial)
    made = trial.started(with_rdt(trial, closID=group.name, enableMonitoring=True))
    monitor = group / "mon_groups" / made.ident
    expect(monitor.is_dir(), f"there is no monitoring group {made.ident}", seen=sorted(groups()))
    expect_equal(tasks(monitor), [made.pid], "the list of processes in the monitoring group")
    ended(made)
    expect(not monitor.exists(), "the monitoring group is there after delete")


@case("LNX-073", "LNX-089", needs=NEEDS, alone=True)
def monitoring_that_cannot_be_had(trial: Trial) -> None:
    """a monitoring group that there is no room for is an error"""
    place, count = tree() / "mon_groups", tree() / "info/L3_MON/num_rmids"
    if not place.is_dir() or not count.exists():
        raise NotRun("this processor cannot monitor")
    for index in range(int(count.read_text()) + 1):
        made = place / f"oc-{trial.token}-{index}"
        try:
            made.mkdir()
        except OSError:
            break
        trial.defer(partial(remove, made))
    else:
        raise NotRun("monitoring groups can be had without end here")
    trial.refused(with_rdt(trial, closID="/", enableMonitoring=True), "a monitoring group that there is no room for")
