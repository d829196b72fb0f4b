"""Cgroups below the container's: what `exec`, `kill`, `pause`, `delete` and `ps` do with them."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from resources.limited import has_ended, own_places, rows
from support.bundle import default_config, with_cgroup, with_shell, without_namespace
from support.runtime import process_alive, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from resources.limited import LimitedBox

COUNT = "i=0; while :; do i=$((i+1)); echo $i > /shared/{0}.new; mv /shared/{0}.new /shared/{0}; done"
LIVE = "trap : 1 2 15; echo > /shared/ready; while :; do sleep 1; done"


def counting(box: LimitedBox) -> list[Path]:
    """Two processes that count, one in the container's cgroup and one below; returns their files."""
    config = with_shell(box.with_shared(box.limited()), COUNT.format("one"))
    box.run(config, "--detach").ok()
    box.make_below("sub")
    box.runtime.exec(box.ident, "sh", "-c", COUNT.format("two"), options=("--detach", "--cgroup", "sub")).ok()
    files = [box.shared / "one", box.shared / "two"]
    wait_for(lambda: all(file.exists() for file in files), what="two processes that count")
    return files


def crowd(box: LimitedBox) -> list[int]:
    """A container with processes two cgroups below its own, one of which takes no polite signal; returns all pids."""
    box.run(with_shell(box.with_shared(box.limited()), "sleep 1000 & exec sleep 1000"), "--detach").ok()
    box.make_below("sub/deeper")
    for below in ("sub", "sub/deeper"):
        box.runtime.exec(box.ident, "sh", "-c", LIVE, options=("--detach", "--cgroup", below)).ok()
        wait_for((box.shared / "ready").exists, what=f"the process in {below}")
        (box.shared / "ready").unlink()
    return wait_for(lambda: pids if len(pids := box.pids()) >= 4 else [], what="four processes")


def test_with_a_cgroup_namespace_the_container_s_cgroup_is_the_root(box: LimitedBox) -> None:
    box.start_sleeper(box.limited())
    assert set(rows(box.exec("cat /proc/1/cgroup").ok().out).values()) == {"/"}
    assert set(rows(box.exec("cat /proc/self/cgroup").ok().out).values()) == {"/"}


def test_exec_is_where_the_container_is(box: LimitedBox) -> None:
    pid = box.start_sleeper(box.seeing())
    assert box.exec("cat /proc/self/cgroup").ok().out == own_places(pid)


def test_exec_can_be_below(box: LimitedBox) -> None:
    pid = box.start_sleeper(box.seeing())
    box.make_below("sub")
    found = rows(box.runtime.exec(box.ident, "cat", "/proc/self/cgroup", options=("--cgroup", "sub")).ok().out)
    above = rows(own_places(pid))
    assert {name: found[name] for name in box.groups()} == {name: f"{above[name]}/sub" for name in box.groups()}


@pytest.mark.parametrize("sub", ["..", "sub/../..", "absent"])
def test_exec_is_nowhere_else(box: LimitedBox, sub: str) -> None:
    """Not above, where there are cgroups too."""
    box.start_sleeper(box.limited())
    box.make_below("sub")
    before = box.pids()
    assert "--cgroup: " in box.runtime.exec(box.ident, "true", options=("--cgroup", sub)).expect(255).last_error
    assert box.pids() == before


def test_kill_all_reaches_every_process(box: LimitedBox) -> None:
    found = crowd(box)
    box.runtime.call("kill", "--all", box.ident, "KILL").ok()
    wait_for(lambda: has_ended(found), what="the end of all processes")
    assert box.pids() == []
    box.runtime.delete(box.ident).ok()


def test_kill_all_with_another_signal_leaves_nothing_frozen(box: LimitedBox) -> None:
    found = crowd(box)
    box.runtime.call("kill", "--all", box.ident, "WINCH").ok()
    assert box.runtime.status(box.ident) == "running"
    assert (box.read("frozen"), box.read("frozen", below="sub")) == (0, 0)
    assert set(box.pids()) & set(found)


def test_a_paused_container_stands_still_and_goes_on(box: LimitedBox) -> None:
    """All of it, until it is resumed."""
    files = counting(box)
    box.runtime.call("pause", box.ident).ok()
    assert box.runtime.status(box.ident) == "paused"
    assert (box.read("frozen"), box.read("frozen", below="sub")) == (1, 1)
    before = [file.read_text() for file in files]
    sentence = one_sentence(box.exec("true").expect(255))
    assert "cannot exec in a paused container" in sentence
    assert [file.read_text() for file in files] == before
    box.runtime.call("resume", box.ident).ok()
    assert box.runtime.status(box.ident) == "running"
    assert (box.read("frozen"), box.read("frozen", below="sub")) == (0, 0)
    wait_for(lambda: all(file.read_text() != was for file, was in zip(files, before, strict=True)), what="more counts")


def test_exec_into_a_paused_container_waits_for_its_end_when_that_is_wanted(box: LimitedBox) -> None:
    box.start_sleeper(box.limited())
    box.runtime.call("pause", box.ident).ok()
    there = len(box.pids())
    head = [str(box.runtime.path), "--root", str(box.runtime.root), *box.runtime.options]
    argv = [*head, "exec", "--ignore-paused", box.ident, "echo", "went on"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as waiting:
        wait_for(lambda: len(box.pids()) > there or waiting.poll() is not None, what="another process in the cgroup")
        assert waiting.poll() is None
        assert box.runtime.status(box.ident) == "paused"
        box.runtime.call("resume", box.ident).ok()
        out, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (0, "went on\n")


@pytest.mark.parametrize("words", [("kill",), ("kill", "--all"), ("delete", "--force")], ids=" ".join)
def test_a_paused_container_can_be_ended(box: LimitedBox, words: tuple[str, ...]) -> None:
    counting(box)
    found = box.pids()
    box.runtime.call("pause", box.ident).ok()
    directories = box.directories()
    if words[0] == "kill":
        box.runtime.call(*words, box.ident, "KILL").ok()
        wait_for(lambda: has_ended(found), what="the end of frozen processes")
        words = ("delete",)
    box.runtime.call(*words, box.ident).ok()
    assert has_ended(found)
    assert not any(each.exists() for each in directories)


def test_without_a_pid_namespace_nothing_survives_the_container(box: LimitedBox) -> None:
    """The program ends, and a process that it has left does not."""
    script = "sleep 1000 & echo $! > /shared/new; mv /shared/new /shared/pid"
    config = without_namespace(with_shell(box.with_shared(box.limited()), script), "pid")
    box.run(config, "--detach").ok()
    box.runtime.wait_status(box.ident, "stopped")
    pid = int((box.shared / "pid").read_text())
    assert process_alive(pid)
    box.runtime.delete(box.ident, force=True).ok()
    assert not process_alive(pid)


def test_delete_takes_the_cgroups_below_with_it(box: LimitedBox) -> None:
    """Empty ones of a container that has ended."""
    pid = box.start_sleeper(box.limited())
    box.make_below("sub/deeper")
    directories = box.directories()
    box.runtime.kill(box.ident).ok()
    wait_for(lambda: not process_alive(pid), what="the end of the program")
    box.runtime.delete(box.ident).ok()
    assert not any(each.exists() for each in directories)


def test_delete_force_takes_processes_and_cgroups_below(box: LimitedBox) -> None:
    found = crowd(box)
    directories = box.directories()
    box.runtime.delete(box.ident, force=True).ok()
    assert has_ended(found)
    assert not any(each.exists() for each in directories)


def test_ps_tells_the_processes_of_all_of_them(box: LimitedBox) -> None:
    """As ids, and as the host's table, which is asked for the columns that are wanted."""
    found = crowd(box)
    sleeping = [pid for pid in found if process_alive(pid)]
    pid = box.runtime.state(box.ident)["pid"]
    assert pid in sleeping
    heading, *lines = box.runtime.call("ps", "--format", "table", box.ident).ok().out.splitlines()
    column = heading.split().index("PID")
    assert {int(line.split()[column]) for line in lines} >= {pid}
    assert any("while :; do sleep 1" in line for line in lines)
    heading, *lines = box.runtime.call("ps", box.ident, "-o", "pid,comm", "-e").ok().out.splitlines()
    assert heading.split() == ["PID", "COMMAND"]
    assert f"{pid} sleep" in [" ".join(line.split()) for line in lines]
    again = json.loads(box.runtime.call("ps", "-f", "json", box.ident).ok().out)
    assert again == sorted(again)
    refused = one_sentence(box.runtime.call("ps", "--format", "xml", box.ident).expect(1))
    assert "--format takes table or json, not 'xml'" in refused


def test_a_cgroup_with_processes_is_refused(box: LimitedBox) -> None:
    """Those of another container, which goes on undisturbed."""
    pid = box.start_sleeper(box.limited({"pids": {"limit": 9}}))
    bundle = box.write(with_cgroup(default_config(), box.path(), {"pids": {"limit": 5}}))
    sentence = one_sentence(box.runtime.create(box.name("other"), bundle).expect(1))
    assert "/linux/cgroupsPath: " in sentence
    assert (box.runtime.status(box.ident), box.pids()) == ("running", [pid])
    assert box.read("pids limit") == 9


@pytest.mark.parametrize("name", ["../x", "a/../../x"])
def test_a_path_that_leaves_its_place_is_refused(box: LimitedBox, name: str) -> None:
    box.write(with_cgroup(default_config(), box.path(f"{box.ident}/{name}")))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert "/linux/cgroupsPath: " in sentence
    before.assert_unchanged()
