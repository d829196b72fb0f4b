"""A plain user whom root has given cgroups of v1 has limits, statistics and the freezer there."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from process.plain import PLAIN, config_of, plain_box, plain_user_namespace
from support import facility
from support.facility import need
from support.host import cgroup_mountpoints

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

MIB = 1 << 20


@pytest.fixture
def box(program: Path) -> Iterator[Box]:
    """The plain user's box."""
    need(facility.root, facility.busybox, facility.cgroup_v1, plain_user_namespace)
    with plain_box(program) as box:
        yield box


@pytest.fixture(params=[True, False], ids=["with-cgroup2", "v1-alone"])
def given(box: Box, request: pytest.FixtureRequest) -> Iterator[list[Path]]:
    """A cgroup of the box's name in each hierarchy, which is the plain user's, with or without that of cgroup2."""
    points = [point for point in cgroup_mountpoints() if (point / "cgroup.procs").exists()]
    if not request.param:
        points = [point for point in points if not (point / "cgroup.controllers").exists()]
    groups = [point / f"given-{box.ident}" for point in points]
    try:
        for group in groups:
            group.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (group / name).exists():
                    (group / name).write_text((group.parent / name).read_text())
            for each in (group, *group.iterdir()):
                os.chown(each, PLAIN, PLAIN)
        yield groups
    finally:
        box.runtime.remove_all()
        for group in groups:
            if group.exists():
                group.rmdir()


def test_a_life(box: Box, given: list[Path]) -> None:
    """Device rules alone are root's on v1: a warning, since no device can be made in a user namespace."""
    config = config_of(box, "exec sleep 1000")
    config["linux"]["cgroupsPath"] = f"/{given[0].name}/box"
    config["linux"]["namespaces"].append({"type": "cgroup"})
    config["linux"]["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}}
    before = box.snapshot()
    result = box.run(config, "--detach").ok()
    (said,) = [line["msg"] for line in result.log if "cgroup" in line["msg"]]
    assert said.startswith("the container runs without device rules: /linux/resources/devices")
    where = {group.parent.name: group / "box" for group in given}
    assert (where["memory"] / "memory.limit_in_bytes").read_text() == f"{64 * MIB}\n"
    (document,) = map(json.loads, box.runtime.call("events", "--stats", box.ident).ok().out.splitlines())
    assert document["data"]["pids"]["limit"] == 20
    assert "sleep 1000" in box.runtime.call("ps", box.ident).ok().out
    lines = box.exec("cat /proc/self/cgroup").ok().out.splitlines()
    assert {line.split(":", 2)[2] for line in lines} == {"/"}, "exec is where the cgroup namespace begins"
    box.runtime.call("pause", box.ident).ok()
    assert [each["status"] for each in box.runtime.list()] == ["paused"]
    box.runtime.call("resume", box.ident).ok()
    box.runtime.call("update", "--pids-limit", "15", "--memory", str(32 * MIB), box.ident).ok()
    assert (where["pids"] / "pids.max").read_text() == "15\n"
    box.runtime.kill_and_delete(box.ident)
    before.assert_unchanged()


def test_a_life_without(box: Box) -> None:
    """What needs a cgroup says so, and all else works."""
    before = box.snapshot()
    box.run(config_of(box, "exec sleep 1000"), "--detach").ok()
    assert "sleep 1000" in box.runtime.call("ps", box.ident).ok().out
    for words in (("events", "--stats"), ("pause",), ("update", "--pids-limit", "5")):
        assert "the container has no cgroup of its own" in box.runtime.call(*words, box.ident).expect(1).err
    assert [each["status"] for each in box.runtime.list()] == ["running"]
    box.runtime.kill_and_delete(box.ident)
    before.assert_unchanged()
