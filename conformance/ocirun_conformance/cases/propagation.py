"""Which mounts made later cross between the host and the container: options of a mount, linux.rootfsPropagation.

A bind of a host's mount that is shared, with another one, `sub`, below it. The program mounts something into it and
waits; then the host does so, and the program tells what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance import facility, mounting
from ocirun_conformance.case import case, each, expect, expect_equal, row
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Bundle, Trial

MS_BIND = 4096
SIGUSR1 = 10
SHARED, SLAVE, PRIVATE, UNBINDABLE = "shared", "slave", "private", "unbindable"


@dataclass(frozen=True)
class Crossing:
    """What was tried at one place. tags: of its mount in mountinfo, without their numbers."""

    into_container: bool
    onto_host: bool
    bindable: bool
    tags: frozenset[str]

    @property
    def kind(self) -> str:
        """The type of propagation that this is; with neither, or with the host's tag alone, it is private."""
        if not self.bindable:
            return UNBINDABLE
        return SHARED if "shared" in self.tags else SLAVE if "master" in self.tags else PRIVATE


def _privileged(trial: Trial, *inside: str) -> Config:
    """A program that mounts into each of these folders, tries to bind each, waits, and tells what is mounted."""
    actions: list[list[object]] = []
    # a copy has a place of its own: what is mounted on a copy of a shared mount would lie on the host's, too
    for place, copy in zip(inside, ("/tmp", "/etc"), strict=False):
        actions += [["mount", "tmpfs", f"{place}/from-container", "tmpfs", 0]]
        actions += [["mount", place or "/", copy, "none", MS_BIND]]
    config = trial.config(*actions, ["await", SIGUSR1], ["report"])
    configs.add_capabilities(config, "CAP_SYS_ADMIN", "CAP_KILL")
    return config


def _prepare(*places: Path) -> None:
    for place in places:
        for name in ("from-host", "from-container"):
            (place / name).mkdir()


def _cross(trial: Trial, source: Config | Bundle, places: dict[str, Path]) -> dict[str, Crossing]:
    """Run it. places: a folder of the container to that of the host that it is."""
    made = trial.started(source)
    before = made.await_lines(2 * len(places) + 1)
    outside = mounting.mounts_of()
    for place in places.values():
        mounting.mount(trial, place / "from-host", "-t", "tmpfs", "tmpfs")
    ok(made.kill("USR1"), "kill")
    made.wait()
    inside = made.report.mounts
    found = {}
    for index, (point, place) in enumerate(places.items()):
        expect_equal(before[2 * index]["error"], None, f"the error of mounting something at {point}/from-container")
        tags = frozenset(tag.split(":")[0] for tag in inside.get(point or "/", {}).get("propagation", ()))
        arrived, left = f"{point}/from-host" in inside, str(place / "from-container") in outside
        found[point] = Crossing(arrived, left, before[2 * index + 1]["error"] is None, tags)
    return found


INTO = {SHARED: True, SLAVE: True, PRIVATE: False, UNBINDABLE: False}
"""Whether mounts of the host cross into the container."""


def _expect_kind(seen: Crossing, kind: str, where: str) -> None:
    expect_equal(seen.kind, kind, f"the propagation of {where}")
    expect_equal(seen.into_container, INTO[kind], f"whether a new mount of the host arrives in {where}")
    expect_equal(seen.onto_host, kind == SHARED, f"whether a new mount in {where} arrives on the host")


OPTIONS = [
    row("shared", "CFG-060", SHARED, False),
    row("slave", "CFG-062", SLAVE, False),
    row("private", "CFG-033", PRIVATE, False),
    row("unbindable", "CFG-067", UNBINDABLE, False),
    row("rshared", "CFG-053", SHARED, True),
    row("rslave", "CFG-054", SLAVE, True),
    row("rprivate", "CFG-049", PRIVATE, True),
    row("runbindable", "CFG-058", UNBINDABLE, True),
]


@each(*OPTIONS, needs=[facility.mounting])
def option(trial: Trial, kind: str, recursive: bool) -> None:
    """a bind of a shared mount of the host is {0}; with what is mounted below: {1}"""
    top = mounting.tree(trial, "--make-shared")
    _prepare(top, top / "sub")
    config = _privileged(trial, "/mnt", "/mnt/sub")
    # whatever the runtime would do with the root by itself, the source shall stay shared
    config["linux"]["rootfsPropagation"] = "shared"
    configs.add_mount(config, "/mnt", "none", str(top), "rbind", f"r{kind}" if recursive else kind)
    found = _cross(trial, config, {"/mnt": top, "/mnt/sub": top / "sub"})
    _expect_kind(found["/mnt"], kind, "the bind")
    if recursive:
        _expect_kind(found["/mnt/sub"], kind, "what is mounted below the bind")


@case("CFG-060")
def new_filesystem(trial: Trial) -> None:
    """a new filesystem with the option shared has a peer group"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", "shared")
    tags = trial.run(config).mounts.get("/mnt", {}).get("propagation", [])
    expect(any(tag.startswith("shared:") for tag in tags), "the new mount has no peer group", seen=tags)


@each(row("shared", "CFG-060", "shared", "/mnt"), row("rshared", "CFG-053", "rshared", "/mnt/sub"))
def shares_inside(trial: Trial, name: str, point: str) -> None:
    """a bind with {0} has a peer group for the container's own namespaces, though the root does not let it out"""
    top = mounting.tree(trial)
    config = trial.config()
    config["linux"]["rootfsPropagation"] = "private"
    configs.add_mount(config, "/mnt", "none", str(top), "rbind", name)
    tags = trial.run(config).mounts.get(point, {}).get("propagation", [])
    expect(any(tag.startswith("shared:") for tag in tags), f"{point} has no peer group", seen=tags)


@each(
    row("slave", "RT-039", SLAVE, True),
    row("private", "RT-039", PRIVATE, False),
    row("unbindable", "RT-039", UNBINDABLE, False),
    needs=[facility.mounting],
)
def root(trial: Trial, kind: str, arrives: bool) -> None:
    """rootfsPropagation {0}, with a root that is a shared mount of the host: mounts of the host arrive: {1}"""
    config = _privileged(trial, "")
    config["linux"]["rootfsPropagation"] = kind
    bundle = trial.bundle(config)
    mounting.mount(trial, bundle.rootfs, "--bind", "--make-shared", str(bundle.rootfs))
    _prepare(bundle.rootfs)
    seen = _cross(trial, bundle, {"": bundle.rootfs})[""]
    expect_equal(seen.bindable, kind != UNBINDABLE, "whether the root can be bound")
    expect_equal(seen.into_container, arrives, "whether a new mount of the host arrives in the root")
    expect(not seen.onto_host, "a new mount in the root arrives on the host")


@case("RT-039")
def shared_root(trial: Trial) -> None:
    """rootfsPropagation shared: the root has a peer group; what is mounted in it appears in a copy of it"""
    config = trial.config(["mount", "/", "/tmp", "none", MS_BIND], ["mount", "tmpfs", "/mnt", "tmpfs", 0], ["report"])
    configs.add_capabilities(config, "CAP_SYS_ADMIN")
    config["linux"]["rootfsPropagation"] = "shared"
    report = trial.run(config)
    tags = report.mounts["/"]["propagation"]
    expect(any(tag.startswith("shared:") for tag in tags), "the root has no peer group", seen=tags)
    expect("/tmp/mnt" in report.mounts, "a mount in the root is not in the root's copy", seen=sorted(report.mounts))


@case("CFG-181")
def unknown(trial: Trial) -> None:
    """a rootfsPropagation that does not exist is an error"""
    config = trial.config()
    config["linux"]["rootfsPropagation"] = "sharedish"
    trial.refused(config, "a rootfsPropagation that does not exist")
