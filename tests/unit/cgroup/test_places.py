"""Hierarchies out of /proc, where a cgroupsPath leads, what is planned, and what a cgroup mount consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.linux import cgroup
from ocirun.linux.cgroup import chance, mounts, place
from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy, parse

if TYPE_CHECKING:
    from pathlib import Path

MOUNTINFO = rb"""31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
50 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
32 31 0:29 / /srv/jail/cpu\040time rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
34 31 0:37 /docker/abc /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
35 31 0:39 / /sys/fs/cgroup/other rw,relatime - cgroup cgroup rw,name=other
36 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
OWN = b"9:name=systemd:/docker/abc/inner\n8:pids:/a/b\n2:cpu,cpuacct:/\n5:name=other:/\n0::/user.slice\n"


class Facts:
    """What the planners ask."""

    def __init__(self, cgroups: Hierarchies, euid: int = 0, initial: bool = True) -> None:
        self.cgroups = cgroups
        self.euid = euid
        self.initial_userns = initial


CPU = Hierarchy(("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "/own")
SYSTEMD = Hierarchy(("name=systemd",), "/sys/fs/cgroup/systemd", "/")
DEVICES = Hierarchy(("devices",), "/sys/fs/cgroup/devices", "/")
V1 = Hierarchies([CPU, SYSTEMD, DEVICES], None)
V2 = Hierarchies([], Hierarchy((), "/sys/fs/cgroup", "/user.slice/shell"))


def test_parse() -> None:
    found = parse(MOUNTINFO, OWN, lambda _point, _device: True)
    assert found.mode == "hybrid"
    assert [(each.controllers, each.mount, each.own) for each in found.v1] == [
        (("pids",), "/sys/fs/cgroup/pids", "/a/b"),
        (("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "/"),
        (("name=systemd",), "/sys/fs/cgroup/systemd", "/inner"),
    ]
    assert found.unified
    assert (found.unified.mount, found.unified.own) == ("/sys/fs/cgroup/unified", "/user.slice")


def test_a_mount_that_another_hides_does_not_count() -> None:
    found = parse(MOUNTINFO, OWN, lambda point, device: (point, device) == ("/sys/fs/cgroup/unified", b"0:38"))
    assert found.mode == "unified"
    elsewhere = parse(MOUNTINFO, OWN, lambda point, _device: point.startswith("/srv"))
    assert [each.mount for each in elsewhere.v1] == ["/srv/jail/cpu time"]
    assert parse(b"", OWN, lambda _point, _device: True).mode == "none"


def test_a_process_outside_of_the_mount_starts_at_its_root() -> None:
    found = parse(MOUNTINFO, b"9:name=systemd:/elsewhere\n8:pids:/../..\n", lambda _point, _device: True)
    assert [each.own for each in found.v1] == ["/", "/"]


@pytest.mark.parametrize(
    ("path", "v1", "v2"),
    [
        ("/a//b/", "/sys/fs/cgroup/cpu,cpuacct/a/b", "/sys/fs/cgroup/a/b"),
        ("a/b", "/sys/fs/cgroup/cpu,cpuacct/own/a/b", "/sys/fs/cgroup/user.slice/a/b"),
        (None, "/sys/fs/cgroup/cpu,cpuacct/own/box", "/sys/fs/cgroup/user.slice/box"),
    ],
)
def test_where_a_path_leads(path: str | None, v1: str, v2: str) -> None:
    config = {"linux": {"cgroupsPath": path}} if path else {}
    wanted = place.wanted(config, "box", False)
    assert place.directory(V1.v1[0], wanted, False) == v1
    assert V2.unified
    assert place.directory(V2.unified, wanted, True) == v2


@pytest.mark.parametrize(
    "path", ["/a/../b", "..", "system.slice:docker:box", "/", "//", ".", "/a\nb", "/" + "y/" * 2000]
)
def test_refused_paths(path: str) -> None:
    with pytest.raises(Failure) as caught:
        place.wanted({"linux": {"cgroupsPath": path}}, "box", True)
    assert caught.value.where == "/linux/cgroupsPath"


def test_a_relative_path_of_root_s_does_not_depend_on_the_caller_s_cgroup() -> None:
    assert place.wanted({"linux": {"cgroupsPath": "a/b"}}, "box", True) == "/a/b"
    assert place.wanted({}, "box", True) == "box"


def test_a_limit_needs_a_mounted_controller() -> None:
    config = {"linux": {"resources": {"memory": {"limit": 5}}}}
    with pytest.raises(Failure, match=r"^/linux/resources/memory/limit: .* controller memory, which is not mounted"):
        cgroup.prepare(config, Facts(V1), "box", False)  # type: ignore[arg-type]


def test_device_rules_need_their_controller() -> None:
    bare = Facts(Hierarchies([CPU], None))
    with pytest.raises(Failure, match=r"^/linux/resources/devices: .* controller devices, which is not mounted"):
        cgroup.prepare({}, bare, "box", False)  # type: ignore[arg-type]
    everything = {"linux": {"resources": {"devices": [{"allow": True, "access": "rwm"}]}}}
    assert [step.deed for step in cgroup.prepare(everything, bare, "box", False)] == ["create"]  # type: ignore[arg-type]


def test_the_plan_on_v1_and_v2() -> None:
    config = {"linux": {"resources": {"cpu": {"shares": 5}}, "namespaces": [{"type": "cgroup"}]}}
    steps = cgroup.prepare(config, Facts(V1), "box", False)  # type: ignore[arg-type]
    assert [step.deed for step in steps] == ["create", "limit", "allow_devices"]
    assert {step.room for step in steps} == {"cgroup"}
    assert [step.deed for step in cgroup.inside(config, steps)] == ["enter"]
    assert [step.deed for step in cgroup.adopt(config, Facts(V1))] == ["move_in"]  # type: ignore[arg-type]
    assert [step.deed for step in cgroup.adopt(config, Facts(V1), steps)] == ["close_doors"]  # type: ignore[arg-type]
    steps = cgroup.prepare({}, Facts(V2), "box", False)  # type: ignore[arg-type]
    assert [step.deed for step in steps] == ["create", "allow_devices"]
    assert [step.deed for step in cgroup.inside({}, steps)] == ["enter"]


def test_the_oom_killer_is_disabled_when_the_set_up_is_done() -> None:
    """Else a set-up for which the memory is too little would stand still for ever."""
    memory = Hierarchies([Hierarchy(("memory",), "/sys/fs/cgroup/memory", "/"), DEVICES], None)
    config = {"linux": {"resources": {"memory": {"limit": 5, "disableOOMKiller": True}}}}
    steps = cgroup.prepare(config, Facts(memory), "box", False)  # type: ignore[arg-type]
    assert [each.file for each in steps[1].args[0]] == ["memory.limit_in_bytes"]
    (last,) = cgroup.ready(steps)
    assert [(each.file, each.value) for each in last.args[0]] == [("memory.oom_control", "1")]
    assert cgroup.ready(cgroup.prepare({}, Facts(memory), "box", False)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("private", [True, False])
def test_mount_of_v1(private: bool) -> None:
    config: dict[str, Any] = {"linux": {"namespaces": [{"type": "cgroup"}] if private else []}}
    record = {"paths": dict.fromkeys(("cpu", "cpuacct"), "/c/box")}
    deeds = mounts.describe(Facts(V1), config, record)  # type: ignore[arg-type]
    assert deeds[0] == ("fs", "", "tmpfs", ("mode=755",), False)
    if private:
        assert deeds[1] == ("fs", "cpu,cpuacct", "cgroup", ("cpu", "cpuacct"), False)
        assert deeds[4] == ("fs", "systemd", "cgroup", ("none", "name=systemd"), False)
    else:
        assert deeds[1] == ("bind", "cpu,cpuacct", "/c/box", (), False)
        assert deeds[4] == ("bind", "systemd", "/sys/fs/cgroup/systemd", (), True), "not its own: read-only"
    assert deeds[2:4] == [("symlink", name, "cpu,cpuacct", (), False) for name in ("cpu", "cpuacct")]


@pytest.mark.parametrize(
    ("private", "euid", "initial", "expected"),
    [
        (True, 0, True, ("fs", "", "cgroup2", (), False)),
        (False, 0, True, ("bind", "", "/sys/fs/cgroup/box", (), False)),
        (False, 1000, True, ("bind", "", "/sys/fs/cgroup/box", (), True)),
        (False, 0, False, ("bind", "", "/sys/fs/cgroup/box", (), True)),
    ],
)
def test_mount_of_v2(private: bool, euid: int, initial: bool, expected: tuple[Any, ...]) -> None:
    config: dict[str, Any] = {"linux": {"namespaces": [{"type": "cgroup"}] if private else []}}
    record = {"paths": {"unified": "/sys/fs/cgroup/box"}}
    assert mounts.describe(Facts(V2, euid, initial), config, record) == [expected]  # type: ignore[arg-type]


def test_mount_without_a_cgroup_of_its_own_is_read_only() -> None:
    assert mounts.describe(Facts(V2), {}, None) == [("bind", "", "/sys/fs/cgroup", (), True)]  # type: ignore[arg-type]
    assert mounts.describe(Facts(Hierarchies([], None)), {}, None) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"user/cgroup.subtree_control": "cpu memory pids"}, True),
        ({"user/cgroup.subtree_control": "memory", "user/cgroup.controllers": "memory cpu"}, False),
        ({"user/cgroup.procs": "1234\n"}, False),
        ({"user/cgroup.subtree_control": "memory pids", "user/cgroup.procs": "1234\n"}, True),
        ({"user/cgroup.type": ""}, True),
        ({"user/cgroup.procs": None}, False),
    ],
)
def test_whether_a_cgroup_with_limits_can_be_made(
    tmp_path: Path, changed: dict[str, str | None], expected: bool
) -> None:
    """Beside the runtime's own, on cgroup v2 alone: controllers are enabled, or can be as nothing is in the parent."""
    files: dict[str, str | None] = {
        "user/cgroup.controllers": "cpu memory pids",
        "user/cgroup.subtree_control": "",
        "user/cgroup.procs": "",
        "user/cgroup.type": "domain",
        "user/shell/cgroup.procs": "1",
    }
    (tmp_path / "user" / "shell").mkdir(parents=True)
    for name, content in (files | changed).items():
        if content is not None:
            (tmp_path / name).write_text(content)
    found = Hierarchies([], Hierarchy((), str(tmp_path), "/user/shell"))
    assert chance.may_limit(found) == expected
