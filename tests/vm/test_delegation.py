"""Cgroup ownership (config-linux.md): who owns the container's cgroup2, seen in the container and from the host."""

from __future__ import annotations

import os
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box, changed
from process.plain import config_of, plain_box
from support.bundle import (
    Config,
    default_config,
    with_cgroup,
    with_mount,
    with_namespace,
    with_shell,
    with_user_namespace,
    without_namespace,
)
from vm.groups import MIB, TOP, Group, group_of, inhabited
from vm.test_rootless import delegated

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["delegated"]

FIRST = 100000
NOBODY = 65534
KERNELS_LIST = "/sys/kernel/cgroup/delegate"
OWNERS = "cd /sys/fs/cgroup && stat -c '%u %n' . *"
MANAGE = (
    "cd /sys/fs/cgroup && mkdir init && echo 0 > init/cgroup.procs && cat /proc/self/cgroup"
    " && echo max > cgroup.max.depth || echo kept"
)


def own(box: Box, uid: int = 0, userns: bool = True, memory: bool = True) -> Config:
    """A container with a cgroup namespace and a writable cgroup, run by `uid`."""
    resources = {"memory": {"limit": 64 * MIB}} if memory else {}
    config = with_cgroup(default_config(), f"/{box.ident}", resources)
    config["process"]["user"]["uid"] = uid
    config["process"]["capabilities"] = {}
    (mount,) = [each for each in config["mounts"] if each["type"] == "cgroup"]
    mount["options"].remove("ro")
    box.rootfs.parent.parent.chmod(0o755)
    return with_user_namespace(config, FIRST) if userns else config


def listed() -> set[str]:
    return set(Path(KERNELS_LIST).read_text().split())


def owned_in(group: Path, uid: int) -> set[str]:
    """The directory (as ``.``) and the files of it that belong to `uid` on the host; all others are root's."""
    owners = {each.name: each.stat().st_uid for each in group.iterdir() if each.is_file()}
    owners["."] = group.stat().st_uid
    assert set(owners.values()) <= {0, uid}
    return {name for name, owner in owners.items() if owner == uid}


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_its_user_owns_the_directory_and_the_listed_files_alone(box: Box, uid: int, memory: bool) -> None:
    """Without the memory controller a listed file is not there, which is no error."""
    with Group(box.name("above")) as above, nullcontext() if memory else inhabited(above):
        config = own(box, uid, memory=memory)
        config["linux"]["cgroupsPath"] = f"{above.name}/box"
        out = box.shell(OWNERS, config)
    owners = {name: int(owner) for owner, name in (line.split() for line in out.splitlines())}
    assert listed().issubset(owners) == memory
    mine = listed().intersection(owners) | {"."}
    assert owners == {name: uid if name in mine else NOBODY for name in owners}
    assert {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} <= mine


@pytest.mark.parametrize("userns", [True, False])
def test_on_the_host_it_is_the_user_that_runs_the_program(box: Box, userns: bool) -> None:
    group = group_of(box.start_sleeper(own(box, 1000, userns)))
    assert owned_in(group, 1000 + FIRST * userns) == {".", *listed()}
    assert (group.stat().st_gid, (group / "cgroup.procs").stat().st_gid) == (0, 0)
    assert group.parent.stat().st_uid == 0


@pytest.mark.parametrize(("uid", "userns"), [(0, True), (1000, True), (1000, False)])
def test_it_manages_cgroups_but_not_its_limits(box: Box, uid: int, userns: bool) -> None:
    """A child cgroup, itself in it, and a file that is not in the list."""
    assert box.shell(MANAGE, own(box, uid, userns)).split() == ["0::/init", "kept"]
    assert not (TOP / box.ident).exists()


def read_only(config: Config) -> Config:
    return changed(config, "/mounts/6/options/-", "ro")


def recursively_read_only(config: Config) -> Config:
    return changed(config, "/mounts/6/options/-", "rro")


def without_the_mount(config: Config) -> Config:
    del config["mounts"][6]
    return config


def mounted_elsewhere(config: Config) -> Config:
    return changed(config, "/mounts/6/destination", "/mnt")


def of_another_source(config: Config) -> Config:
    return changed(config, "/mounts/6/source", "cgroup2")


def without_a_cgroup_namespace(config: Config) -> Config:
    return without_namespace(config, "cgroup")


@pytest.mark.parametrize(
    "otherwise",
    [
        read_only,
        recursively_read_only,
        without_the_mount,
        mounted_elsewhere,
        of_another_source,
        without_a_cgroup_namespace,
    ],
)
def test_otherwise_it_stays_root_s(box: Box, otherwise: Callable[[Config], Config]) -> None:
    config = own(box)
    assert config["mounts"][6]["type"] == "cgroup"
    group = group_of(box.start_sleeper(otherwise(config)))
    assert owned_in(group, FIRST) == set()


def test_with_a_joined_cgroup_namespace_it_stays_root_s(box: Box) -> None:
    """Here without a user namespace, whose root may not mount the cgroups of a namespace that is not its own."""
    config = with_namespace(own(box, 1000, userns=False), "cgroup", "/proc/1/ns/cgroup")
    assert owned_in(group_of(box.start_sleeper(config)), 1000) == set()


def test_a_kernel_without_the_list(box: Box) -> None:
    """An empty filesystem over the folder of the list, for the runtime alone."""
    bundle = box.write(with_shell(own(box, 1000, userns=False), OWNERS))
    argv = f"{box.runtime.path} --root {box.runtime.root} run --bundle {bundle} {box.ident}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {Path(KERNELS_LIST).parent} && exec {argv}"],
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    mine = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("1000 ")}
    assert mine == {".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}


@pytest.mark.parametrize("name", ["sleep", "nothing-of-this-name"])
def test_a_cgroup_that_was_there_gets_its_owners_back(box: Box, name: str) -> None:
    """When the container is deleted, and when it could not be started."""
    with Group(box.name("old")) as old:
        os.chown(old.path / "cgroup.threads", 4321, 0)
        config = own(box)
        config["linux"]["cgroupsPath"] = old.name
        config["process"]["args"] = [name, "1000"]
        result = box.run(config, "--detach")
        if result.code == 0:
            assert owned_in(old.path, FIRST) == {".", *listed()}
            box.runtime.delete(box.ident, force=True).ok()
        assert (result.code == 0) == (name == "sleep")
        assert (old.path / "cgroup.threads").stat().st_uid == 4321
        os.chown(old.path / "cgroup.threads", 0, 0)
        assert owned_in(old.path, FIRST) == set()


def test_a_runtime_that_may_not_give_it_away_warns(box: Box) -> None:
    """Whether a runtime does this at all is its own choice, so the container runs."""
    bundle, log = box.write(with_shell(own(box, 1000), OWNERS)), box.directory / "log"
    argv = [str(box.runtime.path), "--root", str(box.runtime.root), "--log", str(log), "run", "-b", str(bundle)]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown", *argv, box.ident],
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert {line.split()[0] for line in done.stdout.splitlines()} == {str(NOBODY)}
    assert f"{TOP / box.ident} does not become the container's: chown: operation not permitted" in log.read_text()


def test_a_plain_user_s_container_has_what_he_was_given(box: Box, delegated: Group) -> None:
    """The owner is right from the start: the container's root is he."""
    with plain_box(box.runtime.path, str(delegated.path / "caller")) as plain:
        config = with_namespace(config_of(plain, f"{OWNERS} && {MANAGE}"), "cgroup")
        config["linux"]["cgroupsPath"] = "box"
        with_mount(config, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev")
        result = plain.run(config).ok()
        assert "0 cgroup.procs" in result.out.splitlines()
        assert "0::/init" in result.out.splitlines()
        assert [line for line in result.log if "cgroup" in line["msg"]] == []
        assert not (delegated.path / "box").exists()
