"""A user without privileges on cgroup v2: without a cgroup of his own, and with one that root has given him."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from process.box import Box, one_sentence
from process.plain import PLAIN, config_of, plain_box
from vm.groups import MIB, TOP, Group, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def give(path: Path) -> None:
    """Delegation as the kernel's cgroup-v2.rst describes it: the directory and three of its files."""
    for each in (path, path / "cgroup.procs", path / "cgroup.subtree_control", path / "cgroup.threads"):
        os.chown(each, PLAIN, PLAIN)


@pytest.fixture
def delegated(box: Box) -> Iterator[Group]:
    """A cgroup of the plain user's with the controllers pids and memory; the caller lives in `caller` below it."""
    enabled = read(TOP, "cgroup.subtree_control").split()
    (TOP / "cgroup.subtree_control").write_text("+pids +memory")
    with Group(box.name("delegated")) as group:
        give(group.path)
        (group.path / "caller").mkdir()
        give(group.path / "caller")
        yield group
    for name in {"pids", "memory"} - set(enabled):
        (TOP / "cgroup.subtree_control").write_text(f"-{name}")


def test_without_a_cgroup_to_write_it_runs_and_warns(box: Box) -> None:
    with plain_box(box.runtime.path) as plain:
        result = plain.run(config_of(plain, "cat /proc/self/cgroup; id -u")).ok()
        assert result.out.split() == ["0::/", "0"]
        warnings = [line["msg"] for line in result.log if line["level"] == "warning"]
        assert len(warnings) == 1
        assert "without a cgroup of its own" in warnings[0]
        assert "permission denied" in warnings[0]


def test_without_a_cgroup_to_write_a_limit_is_an_error(box: Box) -> None:
    with plain_box(box.runtime.path) as plain:
        config = config_of(plain, "true")
        config["linux"]["resources"] = {"pids": {"limit": 10}}
        sentence = one_sentence(plain.run(config).expect(1))
        assert "/linux/cgroupsPath" in sentence
        assert "permission denied" in sentence


def test_a_delegated_cgroup_takes_limits(box: Box, delegated: Group) -> None:
    with plain_box(box.runtime.path, str(delegated.path / "caller")) as plain:
        config = config_of(plain, "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max; sleep 1000")
        config["linux"]["cgroupsPath"] = "box"
        config["linux"]["resources"] = {"pids": {"limit": 10}, "memory": {"limit": 64 * MIB}}
        result = plain.run(config, "--detach").ok()
        assert read(delegated.path / "box", "pids.max") == "10"
        assert read(delegated.path / "box", "memory.max") == str(64 * MIB)
        assert [line for line in result.log if "cgroup" in line["msg"]] == []
        assert plain.exec("cat /proc/self/cgroup").ok().out == "0::/\n"
        stats = json.loads(plain.runtime.call("events", "--stats", plain.ident).ok().out)
        assert stats["data"]["pids"]["limit"] == 10
        assert "sleep 1000" in plain.runtime.call("ps", plain.ident).ok().out
        plain.runtime.call("update", "--pids-limit", "15", "--memory", str(32 * MIB), plain.ident).ok()
        assert read(delegated.path / "box", "pids.max") == "15"
        assert read(delegated.path / "box", "memory.max") == str(32 * MIB)
        plain.runtime.call("pause", plain.ident).ok()
        assert "frozen 1" in read(delegated.path / "box", "cgroup.events")
        plain.runtime.call("resume", plain.ident).ok()
        plain.runtime.delete(plain.ident, force=True).ok()
        assert not (delegated.path / "box").exists()
