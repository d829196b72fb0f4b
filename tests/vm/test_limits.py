"""linux.resources on cgroup v2: each limit as the container reads it in its own cgroup, and what it does to it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_cgroup, without_namespace
from support.runtime import wait_for
from vm.groups import COUNTING, MIB, TOP, Group, group_of, inhabited, numbers, read

from ocirun.linux.cgroup.limits.blockio import io_weight
from ocirun.linux.cgroup.limits.cpu import weight as cpu_weight

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box

LIMITS: list[tuple[dict[str, Any], dict[str, str]]] = [
    (
        {"memory": {"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB}},
        {"memory.max": str(64 * MIB), "memory.low": str(32 * MIB), "memory.swap.max": str(32 * MIB)},
    ),
    ({"memory": {"limit": 64 * MIB}}, {"memory.max": str(64 * MIB), "memory.low": "0", "memory.swap.max": "max"}),
    ({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}, {"memory.swap.max": "0"}),
    ({"memory": {"limit": -1, "swap": -1}}, {"memory.max": "max", "memory.swap.max": "max"}),
    ({"memory": {"limit": 64 * MIB, "swap": -1}}, {"memory.swap.max": "max"}),
    ({"memory": {"reservation": -1}}, {"memory.low": "max"}),
    (
        {"cpu": {"shares": 2048, "quota": 50000, "period": 200000, "burst": 10000}},
        {"cpu.weight": str(cpu_weight(2048)), "cpu.max": "50000 200000", "cpu.max.burst": "10000"},
    ),
    ({"cpu": {"shares": 1024}}, {"cpu.weight": "100", "cpu.max": "max 100000"}),
    ({"cpu": {"shares": 2}}, {"cpu.weight": "1"}),
    ({"cpu": {"shares": 512}}, {"cpu.weight": "59"}),
    ({"cpu": {"shares": 262144}}, {"cpu.weight": "10000"}),
    ({"cpu": {"quota": -1}}, {"cpu.max": "max 100000"}),
    ({"cpu": {"period": 50000}}, {"cpu.max": "max 50000"}),
    ({"cpu": {"idle": 1}}, {"cpu.idle": "1"}),
    ({"cpu": {"cpus": "1", "mems": "0"}}, {"cpuset.cpus": "1", "cpuset.cpus.effective": "1", "cpuset.mems": "0"}),
    ({"pids": {"limit": 20}}, {"pids.max": "20"}),
    ({"pids": {"limit": -1}, "memory": {"limit": 64 * MIB}}, {"memory.max": str(64 * MIB)}),
    ({"blockIO": {"weight": 500}}, {"io.weight": f"default {io_weight(500)}"}),
]


@pytest.mark.parametrize(("resources", "files"), LIMITS, ids=[json.dumps(each[0]) for each in LIMITS])
def test_a_limit_is_in_the_container_s_cgroup(box: Box, resources: dict[str, Any], files: dict[str, str]) -> None:
    config = with_cgroup(default_config(), f"/{box.ident}", resources)
    out = box.shell(f"cd /sys/fs/cgroup && tail -n 1 {' '.join(files)} | cat", config)
    seen = [line for line in out.splitlines() if line and not line.startswith("==>")]
    assert dict(zip(files, seen, strict=True)) == files


def test_no_pids_limit_needs_no_controller(box: Box) -> None:
    """Below a cgroup with a process, which cannot give any."""
    with Group(box.name("plain")) as parent, inhabited(parent):
        config = with_cgroup(default_config(), f"{parent.name}/box", {"pids": {"limit": -1}})
        assert box.shell("ls /sys/fs/cgroup | grep pids.max; echo .", config) == ".\n"


def test_the_needed_controllers_and_those_that_count_are_enabled_on_the_way_down(box: Box) -> None:
    before = set(read(TOP, "cgroup.subtree_control").split())
    with Group(box.name("top")) as top:
        path = f"{top.name}/a/b/c"
        box.start_sleeper(with_cgroup(default_config(), path, {"memory": {"limit": 64 * MIB}, "cpu": {"cpus": "0"}}))
        assert group_of(box.runtime.state(box.ident)["pid"]) == TOP / path[1:]
        for parent in (top.path, top.path / "a", top.path / "a/b"):
            assert set(read(parent, "cgroup.subtree_control").split()) == {*COUNTING, "cpuset"}
        assert read(top.path / "a/b/c", "cgroup.subtree_control") == ""
        assert set(read(TOP, "cgroup.subtree_control").split()) == before | {*COUNTING, "cpuset"}
        box.runtime.delete(box.ident, force=True).ok()
        assert [entry for entry in top.path.iterdir() if entry.is_dir()] == []


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"pids": {"limit": 9}}, "/linux/resources/pids/limit: pids.max needs the controller pids"),
        ({"memory": {"limit": 64 * MIB}}, "/linux/resources/memory/limit: memory.max needs the controller memory"),
    ],
)
def test_a_parent_with_processes_cannot_give_controllers(box: Box, resources: dict[str, Any], words: str) -> None:
    """The kernel itself would enable pids, and make a threaded domain of the parent in which nothing can be born."""
    with Group(box.name("inhabited")) as parent:
        sleeper = subprocess.Popen(["sleep", "1000"])
        try:
            (parent.path / "cgroup.procs").write_text(str(sleeper.pid))
            config = with_cgroup(default_config(), f"{parent.name}/box", resources)
            result = box.create(config).expect(1)
            sentence = one_sentence(result)
            assert words in sentence
            assert str(parent.path) in sentence
            assert "holds processes itself" in result.err
            assert not (parent.path / "box").exists()
            assert (read(parent.path, "cgroup.type"), read(parent.path, "cgroup.subtree_control")) == ("domain", "")
        finally:
            sleeper.kill()
            sleeper.wait()


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"memory": {"swappiness": 10}}, "/linux/resources/memory/swappiness"),
        ({"memory": {"limit": MIB, "disableOOMKiller": True}}, "/linux/resources/memory/disableOOMKiller"),
        ({"memory": {"limit": 2 * MIB, "swap": MIB}}, "/linux/resources/memory/swap"),
        ({"cpu": {"cpus": "77"}}, "/linux/resources/cpu/cpus"),
        ({"cpu": {"quota": 1}}, "/linux/resources/cpu/quota"),
    ],
)
def test_what_cannot_be_applied_is_refused_with_its_pointer(box: Box, resources: dict[str, Any], words: str) -> None:
    config = with_cgroup(default_config(), f"/{box.ident}", resources)
    assert words in one_sentence(box.create(config).expect(1))
    assert not (TOP / box.ident).exists()


def test_the_process_is_born_in_its_cgroup(box: Box) -> None:
    """The kernel charges from the first page on, and the runtime never writes cgroup.procs."""
    config = with_cgroup(without_namespace(default_config("cat", "/proc/self/cgroup"), "cgroup"), f"/{box.ident}")
    trace = box.directory / "trace"
    argv = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-b", str(box.write(config)), box.ident]
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=clone3,openat", "-o", str(trace), *argv],
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout == f"0::/{box.ident}\n"
    lines = trace.read_text().splitlines()
    assert any("clone3(" in line and "CLONE_INTO_CGROUP" in line for line in lines), "\n".join(lines)
    assert not any("cgroup.procs" in line and "O_WRONLY" in line for line in lines)


def test_memory_of_the_set_up_is_charged(box: Box) -> None:
    config = with_cgroup(default_config("sleep", "1000"), f"/{box.ident}", {"memory": {"limit": 64 * MIB}})
    box.create(config).ok()
    stat = numbers(group_of(box.runtime.state(box.ident)["pid"]), "memory.stat")
    assert stat["anon"] > 0
    assert stat["pagetables"] > 0


def test_a_cgroup_that_was_there_is_used_and_kept(box: Box) -> None:
    with Group(box.name("old")) as old:
        assert box.shell("cat /proc/self/cgroup", with_cgroup(default_config(), old.name)) == "0::/\n"
        assert old.path.is_dir()
        pid = box.start_sleeper(with_cgroup(default_config(), old.name, {"pids": {"limit": 9}}))
        assert read(old.path, "cgroup.procs").split() == [str(pid)]
        assert read(old.path, "pids.max") == "9"
        box.exec("sleep 1000 & sleep 1000", "--detach").ok()
        wait_for(lambda: len(read(old.path, "cgroup.procs").split()) >= 3)
        other = box.runtime.create(box.name("other"), box.bundle).expect(1)
        assert "not empty" in one_sentence(other)


def test_a_frozen_cgroup_is_refused(box: Box) -> None:
    with Group(box.name("cold")) as old:
        (old.path / "cgroup.freeze").write_text("1")
        sentence = one_sentence(box.create(with_cgroup(default_config(), old.name)).expect(1))
        assert f"/linux/cgroupsPath: the container's cgroup unexpectedly frozen: {old.path}" in sentence


def test_a_relative_path_is_the_same_place_wherever_the_runtime_is_called(box: Box) -> None:
    with Group(box.name("slice")) as parent:
        bundle = box.write(with_cgroup(default_config("sleep", "1000"), f"{box.ident}/x"))
        for caller in ("one", "one/two"):
            (parent.path / caller).mkdir()
            run = f"{box.runtime.path} --root {box.runtime.root} run -d -b {bundle} {box.ident}"
            enter = f"echo $$ > {parent.path / caller}/cgroup.procs && exec {run}"
            subprocess.run(["sh", "-c", enter], check=True, timeout=60, stdin=subprocess.DEVNULL)
            assert group_of(box.runtime.state(box.ident)["pid"]) == TOP / box.ident / "x"
            box.runtime.delete(box.ident, force=True).ok()


def test_without_a_path_the_cgroup_has_the_container_s_name(box: Box, tmp_path: Path) -> None:
    """Beside the runtime's own cgroup, and with what its own has: here both lie in one made by the test."""
    with Group(box.name("slice")) as parent:
        own = parent.path / "caller"
        own.mkdir()
        bundle = box.write(default_config("cat", "/proc/1/cgroup"))
        argv = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-d", "-b", str(bundle), box.ident]
        box.write(default_config("sleep", "1000"))
        enter = f"echo $$ > {own}/cgroup.procs && exec {' '.join(argv)}"
        subprocess.run(["sh", "-c", enter], check=True, timeout=60, stdin=subprocess.DEVNULL)
        pid = box.runtime.state(box.ident)["pid"]
        assert group_of(pid) == parent.path / box.ident
        box.runtime.delete(box.ident, force=True).ok()
