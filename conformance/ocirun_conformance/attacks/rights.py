"""Rights that a container shall not have: devices, capabilities, cgroups."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance import facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

CAP_SYS_ADMIN = 21


def _block_device() -> tuple[str, str]:
    """The numbers of a disk of the host."""
    for entry in sorted(Path("/sys/class/block").iterdir()):
        major, _, minor = (entry / "dev").read_text().strip().partition(":")
        return major, minor
    raise NotRun("needs a block device")


@each(row("none", "GHSA-g54h-m393-cpwq", None), row("empty", "GHSA-g54h-m393-cpwq", []), needs=[facility.root])
def devices_without_rules(trial: Trial, rules: list[object] | None) -> None:
    """a disk of the host and /dev/mem, made by a program with CAP_MKNOD when the rules are {0}, cannot be opened"""
    config = trial.config(
        ["mknod", "/disk", "b", *_block_device()],
        ["open", "/disk", "r"],
        ["mknod", "/memory", "c", "1", "1"],
        ["open", "/memory", "r"],
    )
    if rules is not None:
        config["linux"]["resources"] = {"devices": rules}
    configs.add_capabilities(config, "CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYS_RAWIO")
    report = trial.run(config)
    for index in (1, 3):
        expect_equal(report[index]["error"], "EPERM", "the error of opening a device that no rule allows")


def _sets(status: str) -> dict[str, int]:
    """CapInh, CapPrm, … of proc_pid_status(5)."""
    pairs = (line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    return {name: int(value, 16) for name, value in pairs}


@each(
    row("root", "CVE-2022-27650 CVE-2022-29162", "0"),
    row("user", "CVE-2022-27650 CVE-2022-29162", "1000"),
    needs=[facility.root],
)
def added_capabilities(trial: Trial, user: str) -> None:
    """exec --cap CAP_SYS_ADMIN of user {0} leaves the inheritable set empty, and the next exec is without"""
    made = trial.started(trial.config(["wait"]))
    options = ["--cap", "CAP_SYS_ADMIN", "--user", user]
    done = ok(made.execute("/probe", "report", options=options), "exec --cap")
    sets = _sets(json.loads(done.out)["status"])
    expect(sets["CapBnd"] >> CAP_SYS_ADMIN & 1, "the added capability is not there", seen=done.out)
    expect_equal(sets["CapInh"], 0, "the inheritable set")
    later = ok(made.execute("/probe", "report"), "exec")
    expect(not _sets(json.loads(later.out)["status"])["CapBnd"] >> CAP_SYS_ADMIN & 1, "the capability stays")


@case("CVE-2022-29162")
def the_usual_inheritable_set(trial: Trial) -> None:
    """the program's inheritable set is empty when the configuration has none"""
    expect_equal(_sets(trial.run().facts["status"])["CapInh"], 0, "the inheritable set")


@case("CVE-2023-25809")
def cgroups_of_a_plain_user(trial: Trial) -> None:
    """a plain user's container that mounts the host's cgroups cannot make one"""
    if not trial.rootless:
        raise NotRun("is about containers of a plain user: give --rootless")
    name = f"made-{os.getpid()}"
    top = Path("/sys/fs/cgroup")
    config = trial.config(*(["mkdir", f"{each}/{name}"] for each in (top, *top.iterdir()) if each.is_dir()))
    configs.add_mount(config, "/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
    configs.add_mount(config, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "nodev", "noexec")
    trial.run_unless_refused(config)
    made = {found for mount in set(facility.cgroup_mounts().values()) for found in mount.rglob(name)}
    for found in made:
        found.rmdir()
    expect(not made, "the container made a cgroup of the host", seen=sorted(map(str, made)))
