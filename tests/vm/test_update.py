"""`update` on cgroup v2: controllers that nobody had asked for, swap by itself, and replacing the device program."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from process.updating import KEPT, MIB, Resources, config_of, kept, refused, settable, started, update
from support.bundle import DEFAULT_CAPABILITIES, default_config, with_capabilities, with_cgroup, with_shell
from support.runtime import wait_for
from vm.groups import COUNTING, Group, group_of, read

from ocirun.linux.cgroup import attached_bpf, devices_bpf, devices_v1

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box

DENY = {"allow": False, "access": "rwm"}
ALL = {"allow": True, "access": "rwm"}
KMSG = {"type": "c", "major": 1, "minor": 11}


def programs(directory: Path) -> list[bytes]:
    """The names of the device programs of a cgroup."""
    group = os.open(directory, os.O_RDONLY)
    try:
        names = []
        for number in attached_bpf._attached(group, str(directory)):
            fd = attached_bpf._bpf(attached_bpf.BPF_PROG_GET_FD_BY_ID, "", "", number)
            names.append(attached_bpf._name(fd, ""))
            os.close(fd)
        return names
    finally:
        os.close(group)


def test_controllers_are_enabled_on_the_way_down(box: Box) -> None:
    with Group(box.name("top")) as top:
        box.start_sleeper(with_cgroup(default_config(), f"{top.name}/a/b", {}))
        assert set(read(top.path, "cgroup.subtree_control").split()) == COUNTING
        asked: Resources = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 33}, "cpu": {"shares": 512, "cpus": "0"}}
        update(box, resources=asked).ok()
        for parent in (top.path, top.path / "a"):
            assert set(read(parent, "cgroup.subtree_control").split()) == COUNTING | {"cpuset"}
        group = top.path / "a/b"
        files = ("memory.max", "pids.max", "cpu.weight", "cpuset.cpus.effective")
        assert [read(group, file) for file in files] == [str(64 * MIB), "33", "59", "0"]
        box.runtime.delete(box.ident, force=True).ok()


def test_a_parent_with_processes_cannot_give_controllers(box: Box) -> None:
    with Group(box.name("inhabited")) as parent:
        sleeper = subprocess.Popen(["sleep", "1000"])
        try:
            (parent.path / "cgroup.procs").write_text(str(sleeper.pid))
            box.start_sleeper(with_cgroup(default_config(), f"{parent.name}/box", {}))
            before = settable(box)
            result = update(box, "--pids-limit", "5")
            sentence = refused(box, result, before, kept(box))
            assert sentence.startswith("--pids-limit: pids.max needs the controller pids: enable it below")
            assert "holds processes itself" in result.err
            assert read(parent.path, "cgroup.subtree_control") == ""
            box.runtime.delete(box.ident, force=True).ok()
        finally:
            sleeper.kill()
            sleeper.wait()


SWAP: list[tuple[list[str], str, str]] = [
    (["--memory", "48m"], str(48 * MIB), str(48 * MIB)),
    (["--memory", "96m"], str(96 * MIB), "0"),
    (["--memory-swap", "200m"], str(64 * MIB), str(136 * MIB)),
    (["--memory-swap", "-1"], str(64 * MIB), "max"),
    (["--memory", "80m", "--memory-swap", "120m"], str(80 * MIB), str(40 * MIB)),
    (["--memory", "-1"], "max", "max"),
]


@pytest.mark.parametrize(("options", "memory", "swap"), SWAP, ids=[" ".join(each[0]) for each in SWAP])
def test_swap_is_the_difference(box: Box, options: list[str], memory: str, swap: str) -> None:
    """The container has 64 MiB of memory, and 96 MiB of memory plus swap."""
    started(box)
    update(box, *options).ok()
    group = group_of(box.runtime.state(box.ident)["pid"])
    assert (read(group, "memory.max"), read(group, "memory.swap.max")) == (memory, swap)


def test_a_limit_below_the_use_kills_when_no_check_is_asked_for(box: Box) -> None:
    script = "dd if=/dev/zero of=/dev/shm/held bs=1M count=16 2>/dev/null && touch /shared/held && exec sleep 1000"
    box.run(box.with_shared(config_of(box, KEPT, script)), "--detach").ok()
    wait_for((box.shared / "held").exists, what="the memory to be used")
    update(box, "--memory", "1m", "--memory-swap", "1m")
    box.runtime.wait_status(box.ident, "stopped")


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": {"swappiness": 5}},
        {"memory": {"disableOOMKiller": True}},
        {"memory": {"kernel": 5}},
        {"memory": {"useHierarchy": False}},
        {"cpu": {"realtimeRuntime": 5}},
        {"network": {"classID": 5}},
        {"blockIO": {"leafWeight": 500}},
    ],
)
def test_what_cgroup_v2_does_not_have(box: Box, resources: Resources) -> None:
    started(box)
    before, kept_before = settable(box), kept(box)
    sentence = refused(box, update(box, resources={"pids": {"limit": 9}, **resources}), before, kept_before)
    ((member, members),) = resources.items()
    assert sentence.startswith(f"standard input: /{member}/{next(iter(members))}: it cannot be converted to cgroup v2")


def test_one_program_is_replaced_by_the_next(box: Box) -> None:
    """None while everything is allowed; programs of others stay."""
    pid = box.start_sleeper(with_cgroup(default_config(), f"/{box.ident}", {"devices": [DENY]}))
    group = group_of(pid)
    assert programs(group) == [devices_bpf.NAME]
    for rules in ([DENY, {"allow": True, "access": "r", **KMSG}], [DENY]):
        update(box, resources={"devices": rules}).ok()
        assert programs(group) == [devices_bpf.NAME]
    update(box, resources={"devices": [ALL]}).ok()
    assert programs(group) == []
    update(box, resources={"devices": [ALL]}).ok()
    assert programs(group) == []
    update(box, resources={"devices": [DENY]}).ok()
    assert programs(group) == [devices_bpf.NAME]


def test_programs_of_others_stay(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = box.start_sleeper(with_cgroup(default_config(), f"/{box.ident}", {"devices": [DENY]}))
    group = group_of(pid)
    with monkeypatch.context() as patch:
        patch.setattr(devices_bpf, "NAME", b"foreign")
        rules = devices_v1.rules(
            {"devices": [ALL, {"allow": False, "access": "w", "type": "c", "major": 1, "minor": 7}]}
        )
        devices_bpf.apply(devices_bpf.program(rules), str(group))
    for rules_asked, ours in (([DENY], 1), ([ALL], 0), ([DENY], 1)):
        update(box, resources={"devices": rules_asked}).ok()
        assert sorted(programs(group)) == sorted([b"foreign", *[devices_bpf.NAME] * ours])
        assert "ermitted" in box.exec("echo x >/dev/full").err


@pytest.mark.parametrize("before", [[DENY], [ALL]])
@pytest.mark.parametrize("asked", [[DENY, {"allow": True, "access": "r", **KMSG}], [ALL]])
def test_the_old_program_comes_back(box: Box, before: list[Resources], asked: list[Resources]) -> None:
    """The configuration cannot be kept, which is the last step."""
    config = with_shell(with_cgroup(default_config(), f"/{box.ident}", {"devices": before}), "exec sleep 1000")
    with_capabilities(config, (*DEFAULT_CAPABILITIES, "CAP_MKNOD", "CAP_SYSLOG"))
    box.run(config, "--detach").ok()
    group = group_of(box.runtime.state(box.ident)["pid"])
    names, limits, kept_before = programs(group), settable(box), kept(box)
    blocker = box.runtime.root / box.ident / "config.json.new"
    blocker.mkdir()
    result = update(box, resources={"devices": asked, "pids": {"limit": 50}})
    blocker.rmdir()
    left = refused(box, result, limits, kept_before)
    assert left.startswith("write ")
    assert programs(group) == names
    works = box.exec("mknod /tmp/k c 1 11 && true </tmp/k && echo opened").out
    assert works == ("opened\n" if before == [ALL] else "")
