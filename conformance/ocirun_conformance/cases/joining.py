"""Namespaces given by a path: config-linux.md, Namespaces."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from ocirun_conformance import facility
from ocirun_conformance.case import case, each, expect_equal, row
from ocirun_conformance.config import add_namespace
from ocirun_conformance.holder import FILES, Holder, link, require_type
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial

TYPES = tuple(sorted(FILES))


def needs_type(kind: str) -> list[facility.Need]:
    """What the host has to have for it."""
    found = [facility.unshare, facility.namespace(FILES[kind])]
    return [*found, facility.userns] if kind == "user" else found


def joining(trial: Trial, kind: str, path: str) -> Config:
    """A container with this namespace by its path; without a hostname, which would be set there."""
    config = trial.config(["report"], ["wait"])
    add_namespace(config, kind, path)
    if kind == "uts":
        del config["hostname"]
    return config


@each(*(row(kind, "LNX-005", kind, needs=needs_type(kind)) for kind in TYPES))
def by_path(trial: Trial, kind: str) -> None:
    """the program is in the namespace of type {0} that the path names"""
    require_type(trial, kind)
    holder = Holder(trial, kind)
    made = trial.started(joining(trial, kind, holder.path(kind)))
    inside = made.await_lines(2).facts["namespaces"][FILES[kind]]
    expect_equal(link(made.pid, kind), holder.link(kind), f"the {kind} namespace of the container's process")
    expect_equal(inside, holder.link(kind), f"the {kind} namespace of the program")


@case("LNX-005", needs=[facility.unshare])
def several_at_once(trial: Trial) -> None:
    """ipc, network and uts namespaces of one other process can be joined at once, as a pod does"""
    kinds = ("ipc", "network", "uts")
    holder = Holder(trial, *kinds)
    config = joining(trial, "uts", holder.path("uts"))
    for kind in kinds:
        add_namespace(config, kind, holder.path(kind))
    inside = trial.started(config).await_lines(2).facts["namespaces"]
    wanted = {kind: holder.link(kind) for kind in kinds}
    expect_equal({kind: inside[FILES[kind]] for kind in kinds}, wanted, "the set of joined namespaces")


@case("LNX-005", needs=[facility.unshare])
def by_a_bind_mount(trial: Trial) -> None:
    """a namespace that only a file keeps, as ip-netns(8) makes them, can be joined"""
    holder = Holder(trial, "network")
    file = trial.path / "netns"
    file.touch()
    subprocess.run(["mount", "--bind", holder.path("network"), str(file)], check=True)
    wanted = holder.link("network")
    holder.close()
    inside = trial.started(joining(trial, "network", str(file))).await_lines(2).facts["namespaces"]
    expect_equal(inside["net"], wanted, "the network namespace of the program")


@case("LNX-005", needs=needs_type("network"))
def of_another_container(trial: Trial) -> None:
    """a second container joins the network namespace of the first, which outlives the first"""
    config = trial.config(["wait"])
    add_namespace(config, "network")
    first = trial.created(config)
    second = trial.started(joining(trial, "network", f"/proc/{first.pid}/ns/net"))
    wanted = link(first.pid, "network")
    expect_equal(second.await_lines(2).facts["namespaces"]["net"], wanted, "the network namespace of the program")
    ok(first.force(), "delete")
    expect_equal(link(second.pid, "network"), wanted, "the network namespace when the first container is gone")


@each(*(row(kind, "LNX-006", kind) for kind in TYPES), needs=[facility.root])
def of_another_type(trial: Trial, kind: str) -> None:
    """a path to a namespace of another type than {0} is refused"""
    other = "uts" if kind == "network" else "network"
    config = joining(trial, kind, f"/proc/{os.getpid()}/ns/{FILES[other]}")
    trial.refused(config, f"the path of a {other} namespace for one of type {kind}")


@case("LNX-006", needs=[facility.root])
def of_a_plain_file(trial: Trial) -> None:
    """a path to a file that is no namespace is refused"""
    file = trial.path / "plain"
    file.touch()
    trial.refused(joining(trial, "network", str(file)), "a plain file for a network namespace")


@case("LNX-006", needs=[facility.root])
def of_nothing(trial: Trial) -> None:
    """a path to nothing is refused"""
    trial.refused(joining(trial, "ipc", str(trial.path / "nothing")), "a path where there is nothing")
