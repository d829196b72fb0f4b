"""create, start, state, kill, delete: what each does, refuses, and leaves (runtime.md, Lifecycle and Operations)."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from process.box import changed, one_sentence, read_json
from support.bundle import default_config, with_args, with_cgroup, with_hook, with_shell
from support.host import cgroup_mountpoints
from support.runtime import process_alive, wait_for

from ocirun_spec.schema import state_schema, validator

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

WAITING = "while :; do sleep 0.05; done"


def test_the_states_of_a_life(box: Box) -> None:
    config = with_shell(box.with_shared(default_config()), "echo here > /shared/ran; exec sleep 1000")
    config["annotations"] = {"org.example.note": "ä\u2028😀", "empty": ""}
    box.create(config).ok()
    created = box.runtime.state(box.ident)
    assert (created["status"], created["id"], created["bundle"]) == ("created", box.ident, str(box.bundle))
    assert created["annotations"] == config["annotations"]
    assert process_alive(created["pid"])
    assert not (box.shared / "ran").exists()
    box.runtime.start(box.ident).ok()
    running = box.runtime.state(box.ident)
    assert running == created | {"status": "running"}
    wait_for((box.shared / "ran").exists)
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    stopped = box.runtime.state(box.ident)
    assert stopped == created | {"status": "stopped", "pid": 0}
    for document in (created, running, stopped):
        validator(state_schema()).validate(document)
    box.runtime.delete(box.ident).ok()
    assert "container does not exist" in one_sentence(box.runtime.call("state", box.ident).expect(1))


def test_a_life_leaves_nothing(box: Box) -> None:
    box.write(default_config())
    before = box.snapshot()
    box.create(default_config()).ok()
    box.runtime.start(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    box.runtime.delete(box.ident).ok()
    before.assert_unchanged()
    box.run(default_config()).ok()
    before.assert_unchanged()


def test_state_says_creating_while_a_hook_runs(box: Box) -> None:
    out = box.shared / "state"
    look = f"exec {box.runtime.path} --root {box.runtime.root} state {box.ident} > {out}"
    box.create(with_hook(default_config(), "createRuntime", "/bin/sh", "-c", look)).ok()
    document = read_json(out)
    assert document["status"] == "creating"
    validator(state_schema()).validate(document)


def test_edits_of_the_bundle_after_create_do_not_matter(box: Box) -> None:
    config = with_shell(box.with_shared(default_config()), "echo old > /shared/said")
    box.create(config).ok()
    (box.bundle / "config.json").write_text("{")
    box.runtime.start(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert (box.shared / "said").read_text() == "old\n"


def test_start_wants_a_created_container(box: Box) -> None:
    box.start_sleeper()
    assert "running" in one_sentence(box.runtime.start(box.ident).expect(1))
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert "stopped" in one_sentence(box.runtime.start(box.ident).expect(1))


@pytest.mark.parametrize("command", [("start",), ("state",), ("kill",), ("kill", "--all"), ("delete",), ("ps",)])
def test_a_container_that_does_not_exist(box: Box, command: tuple[str, ...]) -> None:
    sentence = one_sentence(box.runtime.call(*command, "nobody").expect(1))
    assert sentence == f"{command[0]} nobody: container does not exist"


def test_a_process_that_cannot_be_killed_twice(box: Box) -> None:
    box.start_sleeper()
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert "container not running" in one_sentence(box.runtime.kill(box.ident).expect(1))
    box.runtime.call("kill", "--all", box.ident, "KILL").ok()
    box.runtime.call("kill", box.ident, "KILL", "--all").ok()


@pytest.mark.parametrize(
    ("name", "number"),
    [("TERM", 15), ("SIGTERM", 15), ("sigusr1", 10), ("12", 12), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), (None, 15)],
)
def test_kill_by_name_and_number(box: Box, name: str | None, number: int) -> None:
    script = f"trap 'echo {number} > /shared/got' {number}; echo > /shared/ready; {WAITING}"
    box.run(with_shell(box.with_shared(default_config()), script), "--detach").ok()
    wait_for((box.shared / "ready").exists)
    box.runtime.call("kill", box.ident, *([name] if name else [])).ok()
    wait_for((box.shared / "got").exists)
    assert box.runtime.status(box.ident) == "running"


@pytest.mark.parametrize("name", ["SIGNOPE", "65", "-1", "RTMIN+40", "", "1.0"])
def test_kill_refuses_an_unknown_signal(box: Box, name: str) -> None:
    box.start_sleeper()
    assert "unknown signal" in one_sentence(box.runtime.call("kill", "--", box.ident, name).expect(1))
    assert box.runtime.status(box.ident) == "running"


def test_kill_reaches_a_created_container(box: Box) -> None:
    box.create(default_config("sleep", "1000")).ok()
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")


def test_kill_all_reaches_every_process(box: Box) -> None:
    script = "sleep 1000 & sleep 1000 & echo > /shared/ready; wait; exec sleep 1000"
    config = with_shell(box.with_shared(default_config()), script)
    box.run(config, "--detach").ok()
    wait_for((box.shared / "ready").exists)
    pids = json.loads(box.runtime.call("ps", "--format", "json", box.ident).ok().out)
    assert len(pids) == 3
    box.runtime.call("kill", "--all", box.ident, "KILL").ok()
    wait_for(lambda: not any(map(process_alive, pids)))


def test_delete_of_each_state(box: Box) -> None:
    pid = box.start_sleeper()
    assert "not stopped: running" in one_sentence(box.runtime.delete(box.ident).expect(1))
    assert process_alive(pid)
    box.runtime.delete(box.ident, force=True).ok()
    assert not process_alive(pid)
    box.runtime.delete(box.ident, force=True).ok()
    box.create(default_config("sleep", "1000")).ok()
    pid = box.runtime.state(box.ident)["pid"]
    box.runtime.delete(box.ident).ok()
    assert not process_alive(pid)


def test_an_id_is_taken_until_delete(box: Box) -> None:
    pid = box.start_sleeper()
    for command in (box.runtime.create, box.runtime.run):
        assert "already in use" in one_sentence(command(box.ident, box.bundle).expect(1))
    assert box.runtime.state(box.ident)["pid"] == pid
    box.runtime.kill_and_delete(box.ident)
    box.create(default_config()).ok()
    assert box.runtime.state(box.ident)["pid"] != pid


@pytest.mark.parametrize("ident", ["", ".", "..", "a/b", "../x", "a b", "ä", "x" * 1025, "a\nb", "@cache"])
def test_invalid_ids(box: Box, ident: str) -> None:
    box.write(default_config())
    before = box.snapshot()
    for command in (("create", "--bundle", str(box.bundle)), ("state",), ("delete", "--force"), ("kill",)):
        assert "invalid container id" in one_sentence(box.runtime.call(*command, "--", ident).expect(1))
    before.assert_unchanged()


@pytest.mark.parametrize("ident", ["a", "A0_+.-z", "-dash", ".hidden", "...", "x" * 200])
def test_valid_ids(box: Box, ident: str) -> None:
    box.write(default_config())
    config = box.write(default_config())
    box.runtime.call("run", "--bundle", str(config), "--", ident).ok()
    assert box.runtime.list() == []


def forge(box: Box, **members: object) -> None:
    """Change the record behind the runtime's back."""
    path = box.runtime.root / box.ident / "state.json"
    path.write_text(json.dumps(read_json(path) | members))


def test_a_reused_pid_is_not_the_container(box: Box) -> None:
    pid = box.start_sleeper()
    start = read_json(box.runtime.root / box.ident / "state.json")["start"]
    forge(box, start=start - 1)
    state = box.runtime.state(box.ident)
    assert (state["status"], state["pid"]) == ("stopped", 0)
    assert "container not running" in one_sentence(box.runtime.kill(box.ident).expect(1))
    assert "container not running" in one_sentence(box.exec("true").expect(255))
    assert "stopped" in one_sentence(box.runtime.start(box.ident).expect(1))
    assert process_alive(pid)
    forge(box, start=start)
    assert box.runtime.status(box.ident) == "running"


def test_delete_leaves_the_owner_of_a_reused_pid_alone(box: Box) -> None:
    box.start_sleeper()
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    forge(box, pid=os.getpid())
    box.runtime.delete(box.ident, force=True).ok()
    assert box.runtime.list() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "other"}', "\0"])
def test_a_damaged_record_is_said_and_never_a_crash(box: Box, text: str) -> None:
    box.create(default_config()).ok()
    path = box.runtime.root / box.ident / "state.json"
    whole = path.read_text()
    path.write_text(text)
    for command in ("state", "start", "kill", "delete"):
        assert str(path) in one_sentence(box.runtime.call(command, box.ident).expect(1))
    assert box.runtime.list() == []
    path.write_text(whole)


@pytest.mark.parametrize("damage", ["", '{"id": "x"}', {"creator": 5}, {"pid": "1", "cgroup": []}, {"phase": "new"}])
def test_a_damaged_container_is_deleted_by_force(box: Box, damage: str | dict[str, object]) -> None:
    """What is whole of the record counts; the cgroup is known from the configuration too."""
    before = box.snapshot()
    pid = box.start_sleeper()
    if isinstance(damage, dict):
        forge(box, **damage)
    else:
        (box.runtime.root / box.ident / "state.json").write_text(damage)
    said = box.runtime.delete(box.ident, force=True).ok()
    assert [line["level"] for line in said.log] == ["warning"]
    wait_for(lambda: not process_alive(pid), what="the end of the container")
    assert box.runtime.list() == []
    before.assert_unchanged()


def test_a_damaged_container_of_systemd_names_its_unit(box: Box) -> None:
    (box.runtime.root / box.ident).mkdir(parents=True)
    (box.runtime.root / box.ident / "state.json").write_text("")
    config = with_cgroup(default_config(), f"some.slice:made:{box.ident}")
    (box.runtime.root / box.ident / "config.json").write_text(json.dumps(config))
    said = box.runtime.delete(box.ident, force=True).ok().log
    unit = f"made-{box.ident}.scope"
    assert said[-1]["msg"] == f"a unit of systemd is left with its processes: systemctl stop {unit}"
    assert box.runtime.list() == []


def test_a_damaged_container_does_not_hide_the_others(box: Box) -> None:
    box.create(default_config()).ok()
    (box.runtime.root / "damaged").mkdir()
    (box.runtime.root / "damaged" / "state.json").write_text("{")
    said = box.runtime.call("list", "--quiet").ok()
    assert said.out == f"{box.ident}\n"
    assert "damaged/state.json: the state cannot be read" in said.log[0]["msg"]


def test_what_a_configuration_says_is_one_line_on_the_terminal(box: Box) -> None:
    result = box.create(changed(default_config(), "/process/args/0", "/no\n\x1b[2Jsuch")).expect(1)
    assert "\\x0a\\x1b[2J" in one_sentence(result)
    assert "\x1b" not in result.err


def test_a_container_without_a_process(box: Box) -> None:
    config = changed(default_config(), "/process", {})
    del config["process"]
    box.create(config).ok()
    assert box.runtime.status(box.ident) == "created"
    assert "/process" in one_sentence(box.runtime.start(box.ident).expect(1))
    box.runtime.delete(box.ident, force=True).ok()
    assert "/process" in one_sentence(box.run(config).expect(1))


def test_a_killed_create_can_be_deleted(box: Box, tmp_path: Path) -> None:
    """The runtime dies in the middle of `create`: the record is there, and delete undoes what was made."""
    box.write(default_config())
    before = box.snapshot()
    config = with_hook(default_config(), "createRuntime", "/bin/sh", "-c", "kill -9 $PPID")
    assert box.create(config).code == -9
    assert box.runtime.status(box.ident) == "stopped"
    box.runtime.delete(box.ident).ok()
    before.assert_unchanged()


def test_list_shows_every_container(box: Box) -> None:
    assert box.runtime.list() == []
    assert box.runtime.call("list", "--quiet").ok().out == ""
    box.start_sleeper()
    other = box.name("other")
    box.runtime.create(other, box.bundle).ok()
    found = {each["id"]: each for each in box.runtime.list()}
    assert {name: each["status"] for name, each in found.items()} == {box.ident: "running", other: "created"}
    assert list(found[other]) == ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"]
    assert found[other]["owner"] == "root"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", found[other]["created"])
    assert sorted(box.runtime.call("list", "-q").ok().out.split()) == sorted([box.ident, other])
    table = box.runtime.call("list").ok().out.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert len(table) == 3


def test_ps_shows_the_processes(box: Box) -> None:
    pid = box.start_sleeper()
    table = box.runtime.call("ps", box.ident).ok().out.splitlines()
    assert "PID" in table[0].split()
    assert [line.split()[1] for line in table[1:]] == [str(pid)]
    table = box.runtime.call("ps", box.ident, "-o", "pid,comm").ok().out.splitlines()
    assert [line.split() for line in table[1:]] == [[str(pid), "sleep"]]
    assert json.loads(box.runtime.call("ps", "-f", "json", box.ident).ok().out) == [pid]


def test_keep_keeps_a_container_that_ended(box: Box) -> None:
    box.run(with_args(default_config(), "true"), "--keep").ok()
    assert box.runtime.status(box.ident) == "stopped"


def test_a_cgroup_that_has_seen_cgroup_kill_can_be_used(box: Box) -> None:
    """A directory that was there before is entered, not cloned into: a written cgroup.kill would end the clone."""
    unified = [each for each in cgroup_mountpoints() if (each / "cgroup.subtree_control").exists()]
    if not unified:
        pytest.skip("not this lane: there is no cgroup2 mount")
    group = unified[0] / box.ident
    group.mkdir()
    try:
        (group / "cgroup.kill").write_text("1")
        assert box.shell("echo in", with_cgroup(default_config(), f"/{box.ident}")) == "in\n"
    finally:
        group.rmdir()
