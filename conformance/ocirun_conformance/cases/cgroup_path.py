"""Where a container's cgroup is, and in which it does not go: config-linux.md, Control groups and Cgroups Path."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import cgroups, facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.cgroups import enable, folder, generation, mount_of, own_cgroup, set_file
from ocirun_conformance.host import remove_cgroups
from ocirun_conformance.runtime import Hung
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Container, Trial

LIMITS = {"pids": {"limit": 100}, "memory": {"limit": 512 * cgroups.MIB}}
"""These make a runtime use the two controllers, where the host has them: it needs a cgroup in their hierarchies."""

NEEDS = [facility.controller("pids"), facility.controller("memory")]


def at(trial: Trial, path: str) -> Config:
    """A container with this cgroupsPath and limits."""
    config = cgroups.limited(trial, {name: value for name, value in LIMITS.items() if facility.has_controller(name)})
    config["linux"]["cgroupsPath"] = path
    return config


def places(made: Container) -> dict[str, str]:
    """The paths of the container's cgroups below the mounts of the two controllers."""
    found = {name: folder(made.pid, name).relative_to(mount_of(name)) for name in ("memory", "pids")}
    return {name: f"/{path}" for name, path in found.items()}


@each(
    row("short", "LNX-031", "{}"),
    row("deep", "LNX-031", "{}/deep/below"),
    row("with_blanks", "LNX-031", "{}/a b é"),
    needs=NEEDS,
)
def an_absolute_path(trial: Trial, form: str) -> None:
    """an absolute cgroupsPath, {0}, counts from the hierarchy's mount"""
    path = form.format(f"{trial.cgroup}/x")
    expect_equal(places(trial.created(at(trial, path))), dict.fromkeys(("memory", "pids"), path), "the cgroup")


@case("LNX-031", needs=NEEDS)
def an_existing_cgroup(trial: Trial) -> None:
    """a cgroup that is there already is the one that is used, and without resources its limits stay"""
    place = own_cgroup(trial, "pids")
    set_file(place / "pids.max", "77")
    config = trial.config(["wait"])
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    made = trial.created(config)
    expect_equal(str(folder(made.pid, "pids")), str(place), "the cgroup")
    expect_equal((place / "pids.max").read_text().strip(), "77", "the limit that was there before")


def from_another_cgroup(trial: Trial, name: str) -> None:
    """From now on the case's runtime is called by somebody in another cgroup."""
    script = 'for each in $OTHERS; do echo $$ > "$each/cgroup.procs"; done; exec "$@"'
    others = {own_cgroup(trial, controller, f"-{name}") for controller in ("memory", "pids")}
    words = " ".join(str(each) for each in sorted(others))
    trial.runtime.program = ("env", f"OTHERS={words}", "sh", "-c", script, "sh", *trial.runtime.program)


def own_folders(trial: Trial, pid: int) -> set[str]:
    """The paths that the case has named, in whatever place of a hierarchy the runtime has put them."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    paths = [Path(line.split(":", 2)[2]) for line in lines]
    return {str(each) for path in paths for each in (path, *path.parents) if trial.token in each.name}


def placed(trial: Trial, path: str) -> dict[str, str]:
    """Where a container with this path is while it lives; its cgroup is removed."""
    made = trial.created(at(trial, path))
    found, folders = places(made), own_folders(trial, made.pid)
    trial.defer(lambda: [remove_cgroups(one) for one in sorted(folders, reverse=True)])
    ok(made.force(), "delete")
    for one in sorted(folders, reverse=True):
        remove_cgroups(one)
    return found


def expect_same(second: dict[str, str], first: dict[str, str], whose: str) -> None:
    """The two places are one."""
    expect(second == first, f"one cgroupsPath leads to two places, {whose}", expected=first, seen=second)


@each(
    row("absolute", "LNX-032", "{folder}/x"),
    row("relative", "LNX-032", "{token}"),
    row("relative_and_deep", "LNX-032", "{token}/below"),
    needs=NEEDS,
)
def the_same_place_for_each_container(trial: Trial, form: str) -> None:
    """two containers, one after the other, with the same cgroupsPath, {0}, are in the same place"""
    path = form.format(folder=trial.cgroup, token=f"oc-{trial.token}")
    first, second = placed(trial, path), placed(trial, path)
    expect_same(second, first, "for two containers")


@each(
    row("absolute", "LNX-032", "{folder}/x"),
    row("relative", "LNX-032", "{token}"),
    needs=NEEDS,
)
def the_same_place_for_each_caller(trial: Trial, form: str) -> None:
    """the same cgroupsPath, {0}, is the same place when the runtime's caller is in another cgroup"""
    path = form.format(folder=trial.cgroup, token=f"oc-{trial.token}")
    first = placed(trial, path)
    from_another_cgroup(trial, "caller")
    expect_same(placed(trial, path), first, "for two callers")


@each(
    row("below_a_file", "LNX-033", "/cgroup.procs/x", "a path below a file of the hierarchy's root"),
    row("line_feed", "LNX-033", "{}/a\nb", "a line feed in a name, which the kernel refuses"),
    needs=NEEDS,
)
def that_cannot_be(trial: Trial, form: str, what: str) -> None:
    """a cgroupsPath that no cgroup can have is refused: {1}"""
    trial.refused(at(trial, form.format(trial.cgroup)), f"{what} in cgroupsPath")


CHECKED_OR_NOT = "the runtime takes it without a look, which config-linux.md allows (MAY check)"


@case("LNX-029", needs=NEEDS)
def an_inhabited_cgroup(trial: Trial) -> None:
    """a runtime that looks refuses the cgroup of another container, which goes on"""
    path = f"{trial.cgroup}/x"
    first = trial.started(at(trial, path))
    first.await_lines(1)
    second = trial.container(at(trial, path))
    call = second.create()
    if not call.code:
        raise NotRun(CHECKED_OR_NOT)
    expect(second.query().code != 0, "create refused an inhabited cgroup, but state knows a container")
    expect_equal(first.status, "running", "the status of the container that was there before")
    expect_equal(places(first), dict.fromkeys(("memory", "pids"), path), "the cgroup of the container that was there")


def frozen(trial: Trial) -> tuple[Path, str, str]:
    """A frozen cgroup: the file that thaws it and what to write there, and its cgroupsPath."""
    if generation("freezer") == 1:
        place = own_cgroup(trial, "freezer")
        set_file(place / "freezer.state", "FROZEN")
        return place / "freezer.state", "THAWED", f"/{place.name}"
    place = own_cgroup(trial, "unified")
    if not (place / "cgroup.freeze").exists():
        raise NotRun("this kernel cannot freeze a cgroup")
    set_file(place / "cgroup.freeze", "1")
    return place / "cgroup.freeze", "0", f"/{place.name}"


@case("LNX-029", needs=NEEDS)
def a_frozen_cgroup(trial: Trial) -> None:
    """a runtime that looks refuses a frozen cgroup"""
    file, thaw, path = frozen(trial)
    trial.defer(lambda: set_file(file, thaw))
    config = at(trial, path)
    made = trial.container(config)
    trial.runtime.seconds = min(trial.runtime.seconds, 10)
    try:
        call = made.create()
    except Hung:
        raise NotRun("the runtime does not look, and waits in the frozen cgroup until it is killed") from None
    finally:
        set_file(file, thaw)
    if not call.code:
        raise NotRun(CHECKED_OR_NOT)
    expect(made.query().code != 0, "create refused a frozen cgroup, but state knows a container")


@case("RT-041", "RT-042", needs=NEEDS)
def controllers_that_cannot_be_had(trial: Trial) -> None:
    """on cgroup2, a limit below a cgroup that has processes, and so cannot give controllers, is an error"""
    if generation("memory") != 2:
        raise NotRun("needs the memory controller on cgroup2")
    place = own_cgroup(trial, "memory")
    sleeper = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        set_file(place / "cgroup.procs", str(sleeper.pid))
        try:
            enable(place, "memory")
        except OSError:
            trial.refused(at(trial, f"/{place.name}/x"), "a memory limit where that controller cannot be had")
        else:
            raise NotRun("this kernel enables controllers in a cgroup that has processes")
    finally:
        sleeper.kill()
        sleeper.wait()


@case("LNX-031", needs=NEEDS)
def the_program_is_there_too(trial: Trial) -> None:
    """the program itself is in the cgroup when it runs, and what it forks"""
    path = f"{trial.cgroup}/x"
    config = at(trial, path)
    config["process"]["args"] = trial.config(["report"], ["wait"])["process"]["args"]
    made = trial.started(config)
    made.await_lines(2)
    expect_equal(places(made), dict.fromkeys(("memory", "pids"), path), "the cgroup of the running program")
    listed = {name: (mount_of(name) / path.lstrip("/") / "cgroup.procs").read_text().split() for name in places(made)}
    wanted = {name: [str(made.pid)] for name in listed}
    expect_equal(listed, wanted, "the list of processes in the container's cgroup")


@case("LNX-031", needs=[facility.root])
def every_hierarchy_has_the_same_path(trial: Trial) -> None:
    """where the container has a cgroup of its own, its path is the same in each hierarchy"""
    path = f"{trial.cgroup}/x"
    made = trial.created(at(trial, path))
    lines = [line.split(":", 2) for line in Path(f"/proc/{made.pid}/cgroup").read_text().splitlines()]
    own = {names: where for _number, names, where in lines if trial.cgroup in where}
    expect_equal(set(own.values()), {path}, "the set of paths")
