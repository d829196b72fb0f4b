"""pause, resume, kill and delete on cgroup v2: cgroup.freeze and cgroup.kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from process.box import one_sentence
from support.bundle import default_config, with_cgroup, with_shell
from support.runtime import process_alive, wait_for
from vm.groups import TOP, group_of, read

if TYPE_CHECKING:
    from process.box import Box

COUNT = "i=0; while :; do i=$((i+1)); echo $i > /shared/count; done"
CROWD = (
    "sleep 1000 & (setsid sleep 1000 &); sh -c 'trap : 1 2 15; while :; do sleep 1; done' & echo > /shared/ready; wait"
)


def counting(box: Box) -> int:
    config = with_cgroup(with_shell(box.with_shared(default_config()), COUNT), f"/{box.ident}")
    box.run(config, "--detach").ok()
    wait_for((box.shared / "count").exists)
    return int(box.runtime.state(box.ident)["pid"])


def crowd(box: Box) -> list[int]:
    config = with_cgroup(with_shell(box.with_shared(default_config()), CROWD), f"/{box.ident}")
    box.run(config, "--detach").ok()
    wait_for((box.shared / "ready").exists)
    pids = [int(word) for word in read(TOP / box.ident, "cgroup.procs").split()]
    assert len(pids) >= 4
    return pids


def test_a_paused_container_stands_still(box: Box) -> None:
    pid = counting(box)
    box.runtime.call("pause", box.ident).ok()
    assert box.runtime.status(box.ident) == "paused"
    assert "frozen 1" in read(group_of(pid), "cgroup.events")
    before = (box.shared / "count").read_text()
    assert "paused" in one_sentence(box.exec("true").expect(255))
    assert (box.shared / "count").read_text() == before
    box.runtime.call("resume", box.ident).ok()
    assert box.runtime.status(box.ident) == "running"
    wait_for(lambda: (box.shared / "count").read_text() not in ("", before))


def test_kill_ends_a_paused_container(box: Box) -> None:
    pid = counting(box)
    box.runtime.call("pause", box.ident).ok()
    box.runtime.kill(box.ident).ok()
    wait_for(lambda: not process_alive(pid), what="the end of a frozen process")
    box.runtime.delete(box.ident).ok()
    assert not (TOP / box.ident).exists()


def test_delete_force_of_a_paused_container(box: Box) -> None:
    pid = counting(box)
    box.runtime.call("pause", box.ident).ok()
    box.runtime.delete(box.ident, force=True).ok()
    assert not process_alive(pid)
    assert not (TOP / box.ident).exists()


def test_kill_all_reaches_every_process(box: Box) -> None:
    pids = crowd(box)
    box.runtime.call("kill", "--all", box.ident, "KILL").ok()
    assert not any(map(process_alive, pids))
    box.runtime.delete(box.ident).ok()


def test_kill_all_with_another_signal_leaves_nothing_frozen(box: Box) -> None:
    crowd(box)
    box.runtime.call("kill", "--all", box.ident, "WINCH").ok()
    assert box.runtime.status(box.ident) == "running"
    assert "frozen 0" in read(TOP / box.ident, "cgroup.events")


def test_delete_force_takes_processes_and_cgroups_below(box: Box) -> None:
    pids = crowd(box)
    below = TOP / box.ident / "sub" / "deeper"
    below.mkdir(parents=True)
    (below / "cgroup.procs").write_text(str(pids[-1]))
    box.runtime.delete(box.ident, force=True).ok()
    assert not any(map(process_alive, pids))
    assert not (TOP / box.ident).exists()


def test_without_a_pid_namespace_nothing_survives_the_container(box: Box) -> None:
    config = with_cgroup(with_shell(box.with_shared(default_config()), "sleep 1000 & echo $! > /shared/pid"), box.ident)
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "pid"]
    box.run(config, "--detach").ok()
    pid = int(wait_for(lambda: (box.shared / "pid").exists() and (box.shared / "pid").read_text()))
    box.runtime.wait_status(box.ident, "stopped")
    assert process_alive(pid)
    box.runtime.delete(box.ident, force=True).ok()
    assert not process_alive(pid)


def test_exec_is_born_in_the_container_s_cgroup(box: Box) -> None:
    box.start_sleeper(with_cgroup(default_config(), f"/{box.ident}"))
    assert box.exec("cat /proc/self/cgroup").ok().out == "0::/\n"
    (TOP / box.ident / "sub").mkdir()
    out = box.runtime.exec(box.ident, "cat", "/proc/self/cgroup", options=("--cgroup", "sub")).ok().out
    assert out == "0::/sub\n"
