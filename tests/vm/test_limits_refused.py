"""linux.resources on cgroup v2: `unified`, and what has no counterpart there and is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_cgroup
from vm.groups import COUNTING, MIB, TOP, Group, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config


def limited(box: Box, resources: dict[str, Any]) -> Config:
    return with_cgroup(default_config(), f"/{box.ident}", resources)


def refusal(box: Box, resources: dict[str, Any]) -> str:
    """The sentence of a `create` that is refused and leaves no cgroup."""
    sentence = one_sentence(box.create(limited(box, resources)).expect(1))
    assert not (TOP / box.ident).exists()
    return sentence


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"kernel": 8 * MIB}}, "memory/kernel"),
        ({"memory": {"kernelTCP": 8 * MIB}}, "memory/kernelTCP"),
        ({"memory": {"swappiness": 10}}, "memory/swappiness"),
        ({"memory": {"swappiness": 0}}, "memory/swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "memory/disableOOMKiller"),
        ({"memory": {"useHierarchy": False}}, "memory/useHierarchy"),
        ({"cpu": {"realtimeRuntime": 1000}}, "cpu/realtimeRuntime"),
        ({"cpu": {"realtimePeriod": 500_000}}, "cpu/realtimePeriod"),
        ({"blockIO": {"leafWeight": 100}}, "blockIO/leafWeight"),
        (
            {"blockIO": {"weightDevice": [{"major": 7, "minor": 0, "leafWeight": 9}]}},
            "blockIO/weightDevice/0/leafWeight",
        ),
        ({"network": {"classID": 5}}, "network/classID"),
        ({"network": {"priorities": [{"name": "lo", "priority": 5}]}}, "network/priorities/0"),
    ],
    ids=json.dumps,
)
def test_what_cgroup_v2_has_no_file_for_is_refused(box: Box, resources: dict[str, Any], pointer: str) -> None:
    assert f"/linux/resources/{pointer}: it cannot be converted to cgroup v2: " in refusal(box, resources)


def test_what_asks_for_nothing_else_than_cgroup_v2_does_is_taken(box: Box) -> None:
    memory = {"kernel": -1, "kernelTCP": -1, "disableOOMKiller": False, "useHierarchy": True}
    network = {"classID": 0, "priorities": [{"name": "lo", "priority": 0}]}
    box.shell("true", limited(box, {"memory": memory, "cpu": {"idle": 0}, "network": network}))


UNIFIED: list[tuple[dict[str, str], dict[str, str]]] = [
    (
        {"memory.max": str(64 * MIB), "memory.high": str(48 * MIB), "memory.low": str(8 * MIB), "memory.min": "4096"},
        {
            "memory.max": str(64 * MIB),
            "memory.high": str(48 * MIB),
            "memory.low": str(8 * MIB),
            "memory.min": "4096",
        },
    ),
    ({"pids.max": "7", "cpu.weight": "33"}, {"pids.max": "7", "cpu.weight": "33"}),
    ({"memory.oom.group": "1"}, {"memory.oom.group": "1"}),
    ({"cpuset.cpus": "1", "cpuset.mems": ""}, {"cpuset.cpus": "1", "cpuset.mems": ""}),
    ({"cgroup.max.depth": "3"}, {"cgroup.max.depth": "3"}),
    ({"hugetlb.2MB.max": str(4 * MIB)}, {"hugetlb.2MB.max": str(4 * MIB)}),
    ({"cgroup.max.descendants": "1\n2\n"}, {"cgroup.max.descendants": "2"}),
]


@pytest.mark.parametrize(("written", "shown"), UNIFIED, ids=[json.dumps(each[0]) for each in UNIFIED])
def test_unified_files_are_written_with_their_controllers_enabled(
    box: Box, written: dict[str, str], shown: dict[str, str]
) -> None:
    """Below a cgroup that has no controller yet: none of these names is in the runtime."""
    with Group(box.name("top")) as top:
        script = "cd /sys/fs/cgroup; " + "; ".join(f"echo {name}=$(cat {name})" for name in shown)
        out = box.shell(script, with_cgroup(default_config(), f"{top.name}/box", {"unified": written}))
        assert dict(line.split("=") for line in out.splitlines()) == shown
        needed = {name.split(".")[0] for name in written} - {"cgroup"}
        assert set(read(top.path, "cgroup.subtree_control").split()) == needed | COUNTING


def test_unified_has_the_last_word(box: Box) -> None:
    resources = {"unified": {"memory.max": str(32 * MIB)}, "memory": {"limit": 64 * MIB}, "pids": {"limit": 9}}
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
    assert box.shell(script, limited(box, resources)).split() == [str(32 * MIB), "9"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"net_cls.classid": "5"}, "/net_cls.classid: net_cls.classid needs the cgroup v2 controller net_cls, which "),
        ({"imagined.max": "5"}, "/imagined.max: imagined.max needs the cgroup v2 controller imagined, which "),
        ({"memory.imagined": "5"}, "/memory.imagined: this kernel's cgroups have no file memory.imagined"),
        ({"memory.max": "much"}, "/memory.max: write much to memory.max "),
        ({"memory.current": "5"}, "/memory.current: "),
        ({"cgroup.procs": "0"}, "/cgroup.procs: cgroup.procs is the runtime's to write"),
        ({"cgroup.subtree_control": "+memory"}, "/cgroup.subtree_control: cgroup.subtree_control is the runtime's"),
    ],
    ids=json.dumps,
)
def test_what_unified_cannot_write_is_refused(box: Box, written: dict[str, str], words: str) -> None:
    assert f"/linux/resources/unified{words}" in refusal(box, {"unified": written})


def test_a_controller_that_cannot_be_enabled_for_unified_is_an_error(box: Box) -> None:
    with Group(box.name("inhabited")) as parent:
        sleeper = subprocess.Popen(["sleep", "1000"])
        try:
            (parent.path / "cgroup.procs").write_text(str(sleeper.pid))
            config = with_cgroup(default_config(), f"{parent.name}/box", {"unified": {"memory.high": "8388608"}})
            sentence = one_sentence(box.create(config).expect(1))
            assert "/linux/resources/unified/memory.high: memory.high needs the controller memory" in sentence
        finally:
            sleeper.kill()
            sleeper.wait()


@pytest.fixture
def used(box: Box) -> Iterator[Group]:
    """A cgroup named like the container in which 8 MiB are in use, by a file in memory, and no process is."""
    file = Path("/dev/shm", box.ident)
    before = read(TOP, "cgroup.subtree_control").split()
    (TOP / "cgroup.subtree_control").write_text("+memory")
    with Group(box.ident) as group:
        script = f"echo $$ > {group.path}/cgroup.procs && dd if=/dev/zero of={file} bs=1M count=8 2>&1"
        subprocess.run(["sh", "-c", script], check=True, timeout=60, stdout=subprocess.DEVNULL)
        yield group
        file.unlink()
        box.runtime.remove_all()
    if "memory" not in before:
        (TOP / "cgroup.subtree_control").write_text("-memory")


def test_a_limit_below_what_is_used_is_refused_when_that_is_asked_for(box: Box, used: Group) -> None:
    memory = {"limit": 4 * MIB, "swap": 4 * MIB, "checkBeforeUpdate": True}
    sentence = one_sentence(box.create(limited(box, {"memory": memory})).expect(1))
    words = f"/linux/resources/memory/limit: checkBeforeUpdate: memory.max would be {4 * MIB}, which is below the usage"
    assert words in sentence
    assert (read(used.path, "memory.max"), read(used.path, "memory.swap.max")) == ("max", "max")
    box.shell("true", limited(box, {"memory": {**memory, "limit": 64 * MIB, "swap": 64 * MIB}}))
    assert read(used.path, "memory.max") == str(64 * MIB)


def test_without_the_check_the_limit_is_set_as_the_kernel_does(box: Box, used: Group) -> None:
    """It sets the limit and then looks for something to kill, first of all the container's own process."""
    box.create(limited(box, {"memory": {"limit": 4 * MIB, "swap": 4 * MIB}}))
    assert read(used.path, "memory.max") == str(4 * MIB)
