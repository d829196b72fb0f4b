"""When each kind of hook runs, looked at from outside while the hook waits, and where its `path` leads (config.md,
POSIX-platform Hooks; runtime.md, Lifecycle)."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import namespaces_of, one_sentence, read_json
from support.bundle import default_config, with_cgroup, with_hook
from support.host import all_cgroups
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

AT_CREATE = ("prestart", "createRuntime", "createContainer")
STAGES = (*AT_CREATE, "startContainer", "poststart", "poststop")
COMMANDS = dict.fromkeys(AT_CREATE, "create") | {"startContainer": "start", "poststart": "start", "poststop": "delete"}


def waiting(box: Box, config: Config, stage: str) -> Config:
    """A hook that says that it has begun and ends when it is let go; the program is `sleep`."""
    folder = "/shared" if stage == "startContainer" else str(box.shared)
    script = f"echo > {folder}/begun; while ! test -e {folder}/release; do sleep 0.01; done; echo > {folder}/ended"
    config["process"]["args"] = ["sleep", "1000"]
    return with_hook(box.with_shared(config), stage, "/bin/sh", "-c", script)


def reach(box: Box, stage: str) -> list[str]:
    """Bring the container to where the command of this stage is due; returns that command."""
    command = COMMANDS[stage]
    if command == "create":
        return ["create", "--bundle", str(box.bundle), box.ident]
    box.runtime.create(box.ident, box.bundle).ok()
    if command == "delete":
        box.runtime.kill(box.ident).ok()
        box.runtime.wait_status(box.ident, "stopped")
    return [command, box.ident]


@contextmanager
def held(box: Box, config: Config, stage: str) -> Iterator[None]:
    """While the hook waits its command does not return; afterwards it has, and the hook has come to its end."""
    box.write(waiting(box, config, stage))
    line = reach(box, stage)
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(box.runtime.call, *line)
        try:
            wait_for((box.shared / "begun").exists, what="the hook")
            yield
            assert not going.done(), "the command has not waited for the hook"
        finally:
            (box.shared / "release").touch()
        result: Result = going.result()
    result.ok()
    assert (box.shared / "ended").exists()


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.mark.parametrize("stage", AT_CREATE)
def test_hooks_of_create_run_in_the_made_environment_before_the_pivot(box: Box, stage: str) -> None:
    config = with_cgroup(default_config(), f"/{box.ident}")
    config["domainname"] = "example.test"
    with held(box, config, stage):
        state = box.runtime.state(box.ident)
        pid = state["pid"]
        assert state["status"] == "creating"
        # Everything that the configuration names is there ...
        inside, outside = namespaces_of(pid), namespaces_of()
        assert {name for name in inside if inside[name] != outside[name]} == set(inside) - {"user"}
        places = {line.split()[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}
        rootfs = box.bundle / "rootfs"
        assert {f"{rootfs}{mount['destination']}" for mount in config["mounts"]} <= places
        assert Path(f"/proc/{pid}/root{rootfs}/dev/null").is_char_device()
        names = ["nsenter", "--target", str(pid), "--uts", "cat"]
        files = ["/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"]
        assert subprocess.check_output([*names, *files], timeout=20) == b"unit\nexample.test\n"
        assert any(path.endswith(f"/{box.ident}") for path in all_cgroups())
        # ... but the root is still the host's, and nothing of the program runs.
        assert Path(f"/proc/{pid}/root{box.bundle}/config.json").exists()
        assert comm(pid) != "sleep"
    assert box.runtime.status(box.ident) == "created"


def test_start_container_hooks_run_after_start_in_the_container_before_the_program(box: Box) -> None:
    with held(box, default_config(), "startContainer"):
        state = box.runtime.state(box.ident)
        pid = state["pid"]
        assert not Path(f"/proc/{pid}/root{box.bundle}").exists()
        assert Path(f"/proc/{pid}/root/bin/busybox").exists()
        assert comm(pid) != "sleep"
    wait_for(lambda: comm(pid) == "sleep", what="the program")


def test_create_runs_no_hook_of_a_later_moment(box: Box) -> None:
    config = box.with_shared(default_config())
    for stage in ("startContainer", "poststart", "poststop"):
        folder = "/shared" if stage == "startContainer" else str(box.shared)
        with_hook(config, stage, "/bin/sh", "-c", f"echo > {folder}/{stage}")
    box.create(config).ok()
    assert list(box.shared.iterdir()) == []
    box.runtime.start(box.ident).ok()
    assert {path.name for path in box.shared.iterdir()} == {"startContainer", "poststart"}


def test_poststart_hooks_run_after_the_program_is_executed_and_before_start_returns(box: Box) -> None:
    with held(box, default_config(), "poststart"):
        state = box.runtime.state(box.ident)
        assert state["status"] == "running"
        assert comm(state["pid"]) == "sleep"


def test_poststart_hooks_never_win_against_the_program(box: Box) -> None:
    """What they see is the program, at once and every time: it may even have ended."""
    said = box.directory / "said"
    script = 'pid=$(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/"); cat /proc/$pid/comm'
    config = with_hook(default_config("true"), "poststart", "/bin/sh", "-c", script)
    box.write(config | {"annotations": {"run.oci.hooks.stdout": str(said)}})
    for _ in range(10):
        box.runtime.create(box.ident, box.bundle).ok()
        box.runtime.start(box.ident).ok()
        box.runtime.delete(box.ident, force=True).ok()
    assert said.read_text() == "true\n" * 10


def test_poststop_hooks_run_when_the_container_is_gone_and_before_delete_returns(box: Box) -> None:
    config = with_cgroup(default_config(), f"/{box.ident}")
    with held(box, config, "poststop"):
        assert "container does not exist" in one_sentence(box.runtime.call("state", box.ident).expect(1))
        assert box.runtime.list() == []
        assert [path for path in all_cgroups() if path.endswith(f"/{box.ident}")] == []


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "poststop"])
def test_poststop_hooks_after_a_failed_hook_run_when_the_container_is_gone(box: Box, stage: str) -> None:
    """The lifecycle goes on with the end: destroyed first, then these hooks."""
    config = with_hook(with_cgroup(default_config("sleep", "1000"), f"/{box.ident}"), stage, "/bin/sh", "-c", "exit 1")
    look = f"{box.runtime.path} --root {box.runtime.root} state {box.ident} 2>&1; find /sys/fs/cgroup -name {box.ident}"
    with_hook(config, "poststop", "/bin/sh", "-c", f"({look}) > {box.shared}/found; cat > {box.shared}/state")
    box.write(config)
    created = box.runtime.create(box.ident, box.bundle)
    assert (created if created.code else box.runtime.start(box.ident)).code == 1
    lines = (box.shared / "found").read_text().splitlines()
    assert lines[0] == f"ocirun state {box.ident}: container does not exist"
    assert [line for line in lines[1:] if not line.startswith("hint: ")] == []
    assert read_json(box.shared / "state")["status"] == "stopped"


@pytest.mark.parametrize("command", ["start", "kill", "delete"])
def test_what_is_being_created_is_left_alone(box: Box, command: str) -> None:
    """Neither created, running nor stopped: these are refused and change nothing; create goes on."""
    with held(box, default_config(), "createRuntime"):
        pid = box.runtime.state(box.ident)["pid"]
        if command == "kill":
            for words in (("kill", box.ident, "KILL"), ("kill", "--all", box.ident, "KILL")):
                assert "it is creating" in one_sentence(box.runtime.call(*words).expect(1))
        else:
            # These wait for the container's lock, which `create` holds.
            with pytest.raises(subprocess.TimeoutExpired):
                subprocess.run(
                    [box.runtime.path, "--root", box.runtime.root, command, box.ident],
                    timeout=0.3, check=False, stdin=subprocess.DEVNULL, capture_output=True,
                )  # fmt: skip
        assert box.runtime.state(box.ident)["pid"] == pid
    assert box.runtime.status(box.ident) == "created"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("entry", ["=x", ""])
def test_a_variable_has_a_name(box: Box, stage: str, entry: str) -> None:
    config = with_hook(default_config(), stage, "/bin/true")
    config["hooks"][stage][0]["env"] = ["A=1", entry]
    box.write(config)
    before = box.snapshot()
    assert f"/hooks/{stage}/0/env/1: " in one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    before.assert_unchanged()


def tool(folder: Path, said: Path) -> Path:
    """A program that is in one place only."""
    path = folder / "only-here"
    path.write_text(f'#!/bin/sh\necho "$0" > {said}\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "startContainer"])
def test_a_path_is_looked_up_where_the_runtime_runs(box: Box, stage: str) -> None:
    path = tool(box.directory, box.shared / "said")
    box.run(with_hook(default_config(), stage, str(path))).ok()
    assert (box.shared / "said").read_text() == f"{path}\n"


def test_a_path_of_start_container_is_looked_up_in_the_container(box: Box) -> None:
    tool(box.rootfs / "bin", Path("/shared/said"))
    config = box.with_shared(default_config())
    box.run(with_hook(config, "startContainer", "/bin/only-here")).ok()
    assert (box.shared / "said").read_text() == "/bin/only-here\n"
    outer = tool(box.directory, box.shared / "outer")
    sentence = one_sentence(box.run(with_hook(default_config(), "startContainer", str(outer))).expect(1))
    assert "/hooks/startContainer/0" in sentence
    assert "no such file or directory" in sentence
    assert not (box.shared / "outer").exists()


@pytest.mark.parametrize("stage", STAGES)
def test_a_timeout_that_is_kept_changes_nothing(box: Box, stage: str) -> None:
    said = box.directory / "said"
    config = with_hook(default_config(), stage, "/bin/sh", "-c", "echo done", timeout=(1 << 63) - 1)
    box.run(config | {"annotations": {"run.oci.hooks.stdout": str(said)}}).ok()
    assert said.read_text() == "done\n"


def test_a_poststop_hook_that_takes_too_long_is_a_warning(box: Box) -> None:
    config = with_hook(default_config(), "poststop", "/bin/sh", "-c", "exec sleep 1000", timeout=1)
    with_hook(config, "poststop", "/bin/sh", "-c", f"echo > {box.shared}/after")
    result = box.run(config).ok()
    warnings = [line["msg"] for line in result.log if line["level"] == "warning"]
    assert warnings == ["/hooks/poststop/0: error running hook /bin/sh: timed out after 1 s"]
    assert (box.shared / "after").exists()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_is_positive(box: Box, stage: str, timeout: int) -> None:
    box.write(with_hook(default_config(), stage, "/bin/true", timeout=timeout))
    before = box.snapshot()
    assert f"/hooks/{stage}/0/timeout: " in one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    before.assert_unchanged()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("path", ["bin/true", "true", ""])
def test_a_path_is_absolute(box: Box, stage: str, path: str) -> None:
    box.write(with_hook(default_config(), stage, path))
    before = box.snapshot()
    assert f"/hooks/{stage}/0/path: " in one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    before.assert_unchanged()
