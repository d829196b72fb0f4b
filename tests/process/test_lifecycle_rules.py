"""What each operation of the lifecycle must and must not do, looked at from outside (runtime.md, State, Lifecycle,
Errors, Operations)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, namespaces_of, one_sentence, read_json, status_lines
from support.bundle import default_config, mount, with_bind, with_cgroup, with_hook, with_namespace, with_shell
from support.facility import cgroup_v1, cgroup_v2
from support.host import all_cgroups
from support.runtime import Runtime, process_alive, wait_for

from ocirun_spec.version import OCI_VERSION_MAX

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SHARED = Path(os.environ.get("OCIRUN_SHARED", Path(__file__).parents[3] / "shared"))


def record(box: Box) -> dict[str, bytes]:
    """What the runtime keeps of the container."""
    folder = box.runtime.root / box.ident
    return {name: (folder / name).read_bytes() for name in ("state.json", "config.json")}


def test_create_makes_everything_but_the_program(box: Box) -> None:
    """From the host one sees the environment of the waiting process; nothing has run in it."""
    config = with_cgroup(with_shell(box.with_shared(default_config()), "echo > /shared/ran"), f"/{box.ident}")
    config["domainname"] = "example.test"
    config["mounts"].append(mount("/data", "tmpfs", "tmpfs", "size=4096"))
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    config["linux"]["devices"] = [{"path": "/dev/second", "type": "c", "major": 1, "minor": 5}]
    box.create(config).ok()
    state = box.runtime.state(box.ident)
    pid = state["pid"]
    root = Path(f"/proc/{pid}/root")
    assert state["status"] == "created"
    assert status_lines(Path(f"/proc/{pid}/status").read_text())["NSpid"].split() == [str(pid), "1"]
    inside, outside = namespaces_of(pid), namespaces_of()
    assert {name for name in inside if inside[name] != outside[name]} == set(inside) - {"user"}
    assert (root / "bin/busybox").exists()
    assert not (root / str(box.bundle).lstrip("/")).exists()
    places = {line.split()[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}
    assert {each["destination"] for each in config["mounts"]} <= places
    assert os.major((root / "dev/second").stat().st_rdev) == 1
    files = ["hostname", "domainname"]
    command = ["nsenter", "--target", str(pid), "--uts", "--net", "cat"]
    paths = [*(f"/proc/sys/kernel/{name}" for name in files), "/proc/sys/net/ipv4/ip_forward"]
    assert subprocess.check_output([*command, *paths], timeout=20) == b"unit\nexample.test\n1\n"
    assert [path for path in all_cgroups() if path.endswith(f"/{box.ident}")]
    assert f"/{box.ident}\n" in Path(f"/proc/{pid}/cgroup").read_text()
    assert not (box.shared / "ran").exists()
    box.runtime.start(box.ident).ok()
    wait_for((box.shared / "ran").exists, what="the program")


def test_the_process_of_the_state_is_the_program(box: Box) -> None:
    box.create(default_config("sleep", "1000")).ok()
    waiting = box.runtime.state(box.ident)["pid"]
    box.runtime.start(box.ident).ok()
    assert box.runtime.state(box.ident)["pid"] == waiting
    assert Path(f"/proc/{waiting}/cmdline").read_bytes() == b"sleep\x001000\0"


def test_states_fit_the_published_schema(box: Box) -> None:
    """In every status, and what a hook gets of them; the version is that of the state, not the configuration's."""
    folder = SHARED / "runtime-spec" / "schema"
    if not folder.exists():
        pytest.skip(f"needs {folder}")
    from jsonschema import Draft4Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    def retrieve(uri: str) -> Resource[Any]:
        return DRAFT4.create_resource(json.loads((folder / uri).read_bytes()))

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    validator = Draft4Validator(json.loads((folder / "state-schema.json").read_bytes()), registry=registry)
    config = default_config("sleep", "1000")
    config["annotations"] = {"com.example.key": "value"}
    box.create(with_hook(config, "createRuntime", "/bin/sh", "-c", f"cat > {box.shared}/state")).ok()
    found = [read_json(box.shared / "state"), box.runtime.state(box.ident)]
    box.runtime.start(box.ident).ok()
    found.append(box.runtime.state(box.ident))
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    found.append(box.runtime.state(box.ident))
    assert [state["status"] for state in found] == ["creating", "created", "running", "stopped"]
    for state in found:
        assert list(validator.iter_errors(state)) == []
        assert state["ociVersion"] == OCI_VERSION_MAX != config["ociVersion"]
        assert Path(state["bundle"]).is_absolute()
    assert not validator.is_valid(found[0] | {"id": 5}), "the schema is looked into"


def test_a_paused_container_has_a_status_of_its_own(box: Box) -> None:
    """None of the four of the specification says it; all operations take it for what it is: not stopped."""
    if cgroup_v1() and cgroup_v2():
        pytest.skip("not this lane: there is no freezer")
    pid = box.start_sleeper(with_cgroup(default_config(), f"/{box.ident}"))
    box.runtime.call("pause", box.ident).ok()
    assert box.runtime.status(box.ident) == "paused"
    for command in ("start", "delete"):
        assert "paused" in one_sentence(box.runtime.call(command, box.ident).expect(1))
    assert process_alive(pid)
    box.runtime.call("resume", box.ident).ok()
    assert box.runtime.status(box.ident) == "running"


@pytest.mark.parametrize("command", ["state", "create", "start", "kill", "delete", "run"])
def test_operations_want_an_id(box: Box, command: str) -> None:
    box.write(default_config())
    before = box.snapshot()
    result = box.runtime.call(command, cwd=box.bundle).expect(1)
    assert f"{command} takes ID" in one_sentence(result)
    before.assert_unchanged()


@pytest.mark.parametrize("command", ["create", "run"])
def test_a_bundle_is_wanted(box: Box, command: str) -> None:
    """Without --bundle it is the working directory; where that is none, there is no container."""
    before = box.snapshot()
    sentence = one_sentence(box.runtime.call(command, box.ident, cwd=box.directory).expect(1))
    assert f"{box.directory}/config.json: read the configuration" in sentence
    assert "--bundle needs a value" in one_sentence(box.runtime.call(command, box.ident, "--bundle").expect(1))
    before.assert_unchanged()


def test_a_relative_bundle_is_absolute_in_the_state(box: Box) -> None:
    box.write(with_hook(default_config(), "createRuntime", "/bin/sh", "-c", f"cat > {box.shared}/state"))
    box.runtime.call("create", "--bundle", "bundle/../bundle", box.ident, cwd=box.directory).ok()
    assert box.runtime.state(box.ident)["bundle"] == str(box.bundle)
    assert read_json(box.shared / "state")["bundle"] == str(box.bundle)


def test_a_used_id_leaves_its_container_alone(box: Box) -> None:
    box.create(with_shell(box.with_shared(default_config()), "echo first > /shared/said")).ok()
    before, kept, state = box.snapshot(), record(box), box.runtime.state(box.ident)
    other = with_shell(box.with_shared(default_config()), "echo second > /shared/said")
    for command in (box.runtime.create, box.runtime.run):
        box.write(other)
        assert "already in use" in one_sentence(command(box.ident, box.bundle).expect(1))
    before.assert_unchanged()
    assert (record(box), box.runtime.state(box.ident)) == (kept, state)
    box.runtime.start(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert (box.shared / "said").read_text() == "first\n"


def test_an_id_is_told_apart_across_state_directories(box: Box) -> None:
    """Another --root does not know the id, but the cgroup of that name has its container already."""
    pid = box.start_sleeper()
    other = Runtime(box.runtime.path, box.directory / "other", box.directory / "others-calls")
    before = box.snapshot()
    sentence = one_sentence(other.run(box.ident, box.bundle).expect(1))
    assert "/linux/cgroupsPath" in sentence
    assert f"/{box.ident}" in sentence
    assert other.list() == []
    assert process_alive(pid)
    before.assert_unchanged()


def test_edits_after_create_add_no_hooks(box: Box) -> None:
    box.create(default_config()).ok()
    edited = default_config()
    for stage in ("startContainer", "poststart", "poststop"):
        with_hook(edited, stage, "/bin/sh", "-c", f"echo {stage} >> {box.shared}/ran")
    box.write(edited | {"annotations": {"late": "x"}})
    box.runtime.start(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert "annotations" not in box.runtime.state(box.ident)
    box.runtime.delete(box.ident).ok()
    assert not (box.shared / "ran").exists()


def test_a_refused_start_has_no_effect(box: Box) -> None:
    """On a running container and on a stopped one."""
    config = with_shell(box.with_shared(default_config()), "echo >> /shared/ran; exec sleep 1000")
    box.run(config, "--detach").ok()
    wait_for((box.shared / "ran").exists, what="the program")
    kept, state = record(box), box.runtime.state(box.ident)
    assert "running" in one_sentence(box.runtime.start(box.ident).expect(1))
    assert (record(box), box.runtime.state(box.ident)) == (kept, state)
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert "stopped" in one_sentence(box.runtime.start(box.ident).expect(1))
    assert (record(box), box.runtime.status(box.ident)) == (kept, "stopped")
    assert (box.shared / "ran").read_text() == "\n"


def test_a_refused_start_without_a_process_has_no_effect(box: Box) -> None:
    config = changed(default_config(), "/process", None)
    del config["process"]
    box.create(config).ok()
    kept, state = record(box), box.runtime.state(box.ident)
    assert "no process" in one_sentence(box.runtime.start(box.ident).expect(1))
    assert (record(box), box.runtime.state(box.ident)) == (kept, state)


def test_a_refused_kill_has_no_effect(box: Box) -> None:
    """A stopped container; whoever has its pid by now must not be hit (test_lifecycle has such a pid)."""
    box.start_sleeper()
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    kept = record(box)
    for signal in ("TERM", "KILL", "0"):
        assert "container not running" in one_sentence(box.runtime.call("kill", box.ident, signal).expect(1))
    assert (record(box), box.runtime.status(box.ident)) == (kept, "stopped")


def test_a_refused_delete_has_no_effect(box: Box) -> None:
    """A running container keeps its process, its record and its cgroups, and no hook runs."""
    config = with_cgroup(with_shell(default_config(), "exec sleep 1000"), f"/{box.ident}")
    with_hook(config, "poststop", "/bin/sh", "-c", f"echo > {box.shared}/poststop")
    box.run(config, "--detach").ok()
    before, kept, state = box.snapshot(), record(box), box.runtime.state(box.ident)
    assert "not stopped: running" in one_sentence(box.runtime.delete(box.ident).expect(1))
    assert (record(box), box.runtime.state(box.ident)) == (kept, state)
    assert box.exec("echo alive").ok().out == "alive\n"
    assert not (box.shared / "poststop").exists()
    before.assert_unchanged()


def a_controller() -> Path:
    """A hierarchy in which anybody may make a group without setting it up."""
    v1 = Path("/sys/fs/cgroup/pids")
    return v1 if v1.exists() else Path("/sys/fs/cgroup")


def test_delete_leaves_what_create_did_not_make(box: Box) -> None:
    """A cgroup that was there, a namespace that was joined, what was mounted, the bundle."""
    outside = box.directory / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept\n")
    group = a_controller() / box.ident
    holder = subprocess.Popen(["unshare", "--uts", "sleep", "1000"])
    try:
        wait_for(lambda: namespaces_of(holder.pid)["uts"] != namespaces_of()["uts"], what="the namespace")
        group.mkdir()
        config = with_cgroup(default_config("sleep", "1000"), f"/{box.ident}")
        with_namespace(with_bind(config, outside, "/mnt"), "uts", f"/proc/{holder.pid}/ns/uts")
        box.start_sleeper(config)
        box.runtime.kill_and_delete(box.ident)
        assert [path for path in all_cgroups() if path.endswith(f"/{box.ident}")] == [str(group)]
        assert process_alive(holder.pid)
        assert (outside / "file").read_text() == "kept\n"
        assert (box.bundle / "config.json").exists()
        assert (box.rootfs / "bin/busybox").exists()
    finally:
        holder.kill()
        holder.wait()
        group.rmdir()


def test_delete_removes_what_create_made(box: Box) -> None:
    config = with_cgroup(default_config("sleep", "1000"), f"/{box.ident}/below")
    box.write(config)
    before = box.snapshot()
    box.create(config).ok()
    assert [path for path in all_cgroups() if path.endswith(f"/{box.ident}/below")]
    assert before.difference(before.again()) != []
    box.runtime.kill_and_delete(box.ident)
    before.assert_unchanged()
