"""Who owns a container's cgroup: config-linux.md, Cgroup ownership. What MAY be left undone is judged only if done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.cgroups import MIB, folder, limited, own_cgroup, set_file
from ocirun_conformance.config import add_mount, add_namespace, drop_namespace
from ocirun_conformance.facility import cgroup_mounts
from ocirun_conformance.holder import FIRST_ID, IDS, Holder
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Container, Trial

LIST = Path("/sys/kernel/cgroup/delegate")
FALLBACK = {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
USER = 1000
NEEDS = [facility.cgroup2, facility.namespace("cgroup")]


def own(trial: Trial, *options: str, source: str = "cgroup", destination: str = "/sys/fs/cgroup") -> Config:
    """A container of a plain user, with a cgroup namespace and a mount of the cgroups."""
    config = limited(trial, {"memory": {"limit": 64 * MIB}} if facility.has_controller("memory") else {})
    config["process"]["user"] = {"uid": USER, "gid": USER}
    config["process"]["capabilities"] = {}
    add_namespace(config, "cgroup")
    add_namespace(config, "network")  # the kernel lets only its owner mount sysfs
    add_mount(config, "/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
    add_mount(config, destination, "cgroup", source, "nosuid", "noexec", "nodev", *options)
    return config


def owned(place: Path, uid: int) -> set[str]:
    """The files of a cgroup that belong to a user; "." is the directory."""
    names = {entry.name: entry.stat().st_uid for entry in place.iterdir() if entry.is_file()}
    names["."] = place.stat().st_uid
    return {name for name, owner in names.items() if owner == uid}


def foreign(place: Path) -> set[str]:
    """The files of a cgroup that do not belong to root."""
    everything = {".", *(entry.name for entry in place.iterdir() if entry.is_file())}
    return everything - owned(place, 0)


def listed(place: Path) -> set[str]:
    """What the kernel's list has and this cgroup too, and the directory."""
    names = set(LIST.read_text().split()) if LIST.exists() else FALLBACK
    return {".", *(name for name in names if (place / name).exists())}


def given(made: Container, uid: int) -> Path:
    """The container's cgroup, if the runtime has given it to this user, which it MAY leave."""
    place = folder(made.pid, "unified")
    if place.stat().st_uid != uid:
        raise NotRun("the runtime gives no cgroup away, which it may leave; judged by delegation.the_directory")
    return place


@case("LNX-034", needs=[facility.cgroup1, facility.namespace("cgroup")])
def nothing_of_v1(trial: Trial) -> None:
    """with cgroup v1 no file of the container's cgroups changes its owner, however they are mounted"""
    made = trial.created(own(trial))
    names = [name for name in ("memory", "pids", "cpu", "devices", "freezer") if name in cgroup_mounts()]
    places = {folder(made.pid, name) for name in names}
    found = {str(place): sorted(foreign(place)) for place in places if foreign(place)}
    expect_equal(found, {}, "the table of files in cgroups of v1 that are not root's")


@case("LNX-036", needs=NEEDS)
def the_directory(trial: Trial) -> None:
    """a new cgroup namespace and a writable mount at /sys/fs/cgroup: the cgroup is the program's user's"""
    made = trial.created(own(trial))
    expect_equal(folder(made.pid, "unified").stat().st_uid, USER, "the owner of the container's cgroup")


@case("LNX-036", needs=[*NEEDS, facility.userns])
def the_mapped_user(trial: Trial) -> None:
    """with a user namespace the owner is the id of the host that process.user.uid is mapped to"""
    config = own(trial)
    add_namespace(config, "user")
    for member in ("uidMappings", "gidMappings"):
        config["linux"][member] = [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}]
    made = trial.created(config)
    expect_equal(folder(made.pid, "unified").stat().st_uid, FIRST_ID + USER, "the owner of the container's cgroup")


@case("LNX-038", "LNX-040", "LNX-042", needs=NEEDS)
def the_listed_files_alone(trial: Trial) -> None:
    """of the files, those of /sys/kernel/cgroup/delegate change their owner and no others"""
    place = given(trial.created(own(trial)), USER)
    expect_equal(sorted(foreign(place)), sorted(listed(place)), "the list of files that are not root's any more")


@case("LNX-042", needs=[*NEEDS, facility.controller("memory")])
def limits_stay_out_of_reach(trial: Trial) -> None:
    """the program cannot raise its own limit"""
    config = own(trial)
    actions = [["write", "/sys/fs/cgroup/memory.max", "max"], ["wait"]]
    config["process"]["args"] = trial.config(*actions)["process"]["args"]
    made = trial.started(config)
    error = made.await_lines(2)[0]["error"]
    expect_equal(error, "EACCES", "the error of writing to memory.max")


@case("LNX-039", needs=NEEDS)
def a_listed_file_that_is_missing(trial: Trial) -> None:
    """a listed file that this cgroup lacks, since it lacks a controller, is no error"""
    parent = own_cgroup(trial, "unified", "-inhabited")
    sleeper = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        # a cgroup with processes gives no controllers to those below
        set_file(parent / "cgroup.procs", str(sleeper.pid))
        config = own(trial)
        del config["linux"]["resources"]
        config["linux"]["cgroupsPath"] = f"/{parent.name}/x"
        control = trial.container({**config, "mounts": config["mounts"][:-1]})
        if control.create().code:
            raise NotRun("the runtime makes no container below a cgroup that has processes, whoever owns it")
        control.force()
        made = trial.container(config)
        ok(made.create(), "create in a cgroup without controllers")
        place = folder(made.pid, "unified")
        names = set(LIST.read_text().split()) if LIST.exists() else set()
        if names <= {entry.name for entry in place.iterdir()}:
            raise NotRun("every listed file is there")
    finally:
        sleeper.kill()
        sleeper.wait()


@case("LNX-041", needs=[*NEEDS, facility.unshare])
def a_kernel_without_the_list(trial: Trial) -> None:
    """where /sys/kernel/cgroup/delegate is missing, the files are the three of the specification"""
    holder = Holder(trial, "mount", script=f"mount -t tmpfs none {LIST.parent}")
    holder.put_runtime_in(trial, "mount")
    place = given(trial.created(own(trial)), USER)
    expect_equal(sorted(foreign(place)), sorted({".", *FALLBACK}), "the list of files that are not root's any more")


def without_the_mount(config: Config) -> None:
    """No view of the cgroups."""
    config["mounts"].pop()


def read_only(config: Config) -> None:
    """A view that cannot be written."""
    config["mounts"][-1]["options"].append("ro")


def elsewhere(config: Config) -> None:
    """A view at another place."""
    config["mounts"][-1]["destination"] = "/mnt"


def other_source(config: Config) -> None:
    """A mount whose source is not "cgroup"."""
    config["mounts"][-1]["source"] = "cgroup2"


OTHERWISE = {
    "without_the_mount": without_the_mount,
    "read_only": read_only,
    "elsewhere": elsewhere,
    "other_source": other_source,
}


@each(*(row(name, "LNX-037", name) for name in OTHERWISE), needs=NEEDS)
def otherwise(trial: Trial, name: str) -> None:
    """without a writable mount of cgroup at the usual place the owner stays: {0}"""
    config = own(trial)
    OTHERWISE[name](config)
    made = trial.created(config)
    expect_equal(sorted(foreign(folder(made.pid, "unified"))), [], "the list of files that are not root's any more")


@each(row("inherited", "LNX-035", ""), row("joined", "LNX-035", f"/proc/{os.getpid()}/ns/cgroup"), needs=NEEDS)
def without_a_new_cgroup_namespace(trial: Trial, path: str) -> None:
    """without a cgroup namespace of the container's own the owner stays"""
    config = own(trial)
    drop_namespace(config, "cgroup")
    if path:
        add_namespace(config, "cgroup", path)
    made = trial.created(config)
    found = sorted(foreign(folder(made.pid, "unified")))
    expect(not found, "files of the cgroup have changed their owner", expected=[], seen=found)
