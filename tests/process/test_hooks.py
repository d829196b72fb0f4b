"""The six kinds of hooks: when, where and with what they run, and what each failure does (config.md, Hooks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import NAMESPACE_FILES, namespaces_of, one_sentence, read_json
from support.bundle import default_config, with_hook, with_shell, with_user_namespace
from support.runtime import wait_for

from ocirun_spec.schema import state_schema, validator

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

OUTER = ("prestart", "createRuntime", "poststart", "poststop")
INNER = ("createContainer", "startContainer")
BEFORE_START = ("prestart", "createRuntime", "createContainer")
ORDER = [*BEFORE_START, "startContainer", "program", "poststart", "poststop"]
STATUS = {"startContainer": "created", "poststart": "running", "poststop": "stopped"}
NAMESPACES = "; ".join(f"readlink /proc/self/ns/{name}" for name in NAMESPACE_FILES)


def hook(config: Config, stage: str, script: str, timeout: int | None = None) -> Config:
    return with_hook(config, stage, "/bin/sh", "-c", script, timeout=timeout)


def place(box: Box, stage: str) -> str:
    """Where a hook of this stage finds the shared folder: only startContainer sees the container's root."""
    return "/shared" if stage == "startContainer" else str(box.shared)


def recording(box: Box) -> Config:
    """Every hook leaves its name, the state it got, its namespaces and where it is."""
    script = f"echo program >> /shared/order; ({NAMESPACES}) > /shared/program.ns; exec sleep 1000"
    config = with_shell(box.with_shared(default_config()), script)
    config["annotations"] = {"k": "v"}
    for stage in (*OUTER, *INNER):
        out = place(box, stage)
        hook(
            config, stage, f"cat > {out}/{stage}.state; echo {stage} >> {out}/order; ({NAMESPACES}) > {out}/{stage}.ns"
        )
    return config


def live(box: Box, config: Config) -> int:
    """From create to delete; returns the pid that the container had."""
    box.create(config).ok()
    pid = int(box.runtime.state(box.ident)["pid"])
    assert (box.shared / "order").read_text().split() == list(BEFORE_START)
    box.runtime.start(box.ident).ok()
    wait_for((box.shared / "program.ns").exists)
    box.runtime.kill_and_delete(box.ident)
    return pid


def test_order_state_and_namespaces(box: Box) -> None:
    pid = live(box, recording(box))
    order = (box.shared / "order").read_text().split()
    # poststart and the program run side by side; everything else has its place.
    assert [stage for stage in order if stage != "program"] == [stage for stage in ORDER if stage != "program"]
    assert order.index("startContainer") < order.index("program") < order.index("poststop")
    inside = dict(zip(NAMESPACE_FILES, (box.shared / "program.ns").read_text().split(), strict=True))
    outside = namespaces_of()
    for stage in (*OUTER, *INNER):
        state = read_json(box.shared / f"{stage}.state")
        validator(state_schema()).validate(state)
        status = STATUS.get(stage, "creating")
        seen = 0 if status == "stopped" else 1 if stage in INNER else pid
        expected = {"id": box.ident, "status": status, "bundle": str(box.bundle), "pid": seen}
        assert {name: state[name] for name in expected} == expected, stage
        assert state["annotations"] == {"k": "v"}
        found = dict(zip(NAMESPACE_FILES, (box.shared / f"{stage}.ns").read_text().split(), strict=True))
        assert found == (inside if stage in INNER else outside), stage
    assert inside["mnt"] != outside["mnt"]


def test_run_has_all_hooks_too(box: Box) -> None:
    config = recording(box)
    config["process"]["args"][2] = config["process"]["args"][2].replace("exec sleep 1000", "exit 7")
    box.run(config).expect(7)
    order = (box.shared / "order").read_text().split()
    assert sorted(order) == sorted(ORDER)
    assert order[-1] == "poststop"


@pytest.mark.parametrize("stage", [*OUTER, *INNER])
def test_hooks_of_one_kind_run_in_their_order(box: Box, stage: str) -> None:
    config = box.with_shared(default_config())
    for number in range(4):
        hook(config, stage, f"echo {number} >> {place(box, stage)}/order")
    box.run(config).ok()
    assert (box.shared / "order").read_text().split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("stage", [*OUTER, *INNER])
def test_args_and_env_are_exactly_the_hooks(box: Box, stage: str) -> None:
    config = box.with_shared(default_config())
    out = place(box, stage)
    script = f"tr '\\0' '\\n' < /proc/self/environ > {out}/env; printf '%s|' \"$0\" \"$@\" > {out}/args"
    entry = {"path": "/bin/sh", "args": ["sh", "-c", script, "a b", "", "$c"], "env": ["A=1", "B=x=y", "PATH=/bin"]}
    config["hooks"] = {stage: [entry]}
    box.run(config).ok()
    environ = {line for line in (box.shared / "env").read_text().splitlines() if line[:2] in ("A=", "B=", "PA")}
    assert environ == {"A=1", "B=x=y", "PATH=/bin"}
    assert (box.shared / "args").read_text() == "a b||$c|"


def test_a_hook_without_args_gets_its_path(box: Box) -> None:
    script = box.directory / "hook"
    script.write_text(f"#!/bin/sh\necho $0 $# > {box.shared}/args\n")
    script.chmod(0o755)
    box.run({**default_config(), "hooks": {"createRuntime": [{"path": str(script)}]}}).ok()
    assert (box.shared / "args").read_text() == f"{script} 0\n"


def test_create_container_sees_the_host_and_start_container_the_container(box: Box) -> None:
    config = box.with_shared(default_config())
    hook(config, "createContainer", f"test -e {box.bundle}/config.json && echo host > {box.shared}/create")
    hook(config, "startContainer", f"test ! -e {box.bundle} && test -e /bin/busybox && echo inside > /shared/start")
    box.run(config).ok()
    assert (box.shared / "create").read_text() == "host\n"
    assert (box.shared / "start").read_text() == "inside\n"


@pytest.mark.parametrize("options", [[], ["--no-pivot"]], ids=["pivot", "chroot"])
def test_create_container_hooks_stand_in_the_root(box: Box, options: list[str]) -> None:
    config = hook(default_config("cat", "/made"), "createContainer", "test -e ./bin/busybox && pwd > ./made")
    assert box.run(config, *options).ok().out == f"{box.rootfs}\n"


INSIDE = 'nsenter --mount --target "$(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/")"'


@pytest.mark.parametrize("options", [[], ["--no-pivot"]], ids=["pivot", "chroot"])
@pytest.mark.parametrize(("stage", "enter"), [("createContainer", ""), ("createRuntime", INSIDE), ("prestart", INSIDE)])
def test_what_a_hook_mounts_at_the_root_reaches_the_container_only(
    box: Box, stage: str, enter: str, options: list[str]
) -> None:
    """What the mount-injecting hooks of engines count on: root.path is the container's root, the host unchanged."""
    target = box.rootfs / "mnt"
    config = with_shell(default_config(), "cat /mnt/file; ls /")
    before = box.snapshot()
    script = f"mount -t tmpfs none {target} && echo injected > {target}/file"
    hook(config, stage, f"{enter} sh -c '{script}'")
    plain = box.run(with_shell(default_config(), "ls /"), *options).ok().out
    assert box.run(config, *options).ok().out == "injected\n" + plain
    assert not list(target.iterdir())
    before.assert_unchanged()


@pytest.mark.parametrize("propagation", ["shared", "rshared", "slave", "private"])
def test_hooks_and_the_roots_propagation(box: Box, propagation: str) -> None:
    config = with_shell(default_config(), "ls /bin/busybox")
    config["linux"]["rootfsPropagation"] = propagation
    before = box.snapshot()
    assert box.run(hook(config, "createContainer", "exit 0")).ok().out == "/bin/busybox\n"
    before.assert_unchanged()


def test_hooks_in_a_user_namespace_that_cannot_get_to_the_root(box: Box) -> None:
    """Its root cannot look below a closed folder of the host; the container is made nevertheless."""
    config = with_user_namespace(with_shell(default_config(), "ls /bin/busybox"))
    before = box.snapshot()
    box.directory.chmod(0o700)
    assert box.run(hook(config, "createRuntime", "exit 0")).ok().out == "/bin/busybox\n"
    before.assert_unchanged()


def failing(box: Box, stage: str, script: str = "echo first >&2; echo second >&2; exit 3", timeout: int = 0) -> Config:
    """A config whose second hook of `stage` fails, with a poststop hook that leaves a file."""
    config = with_shell(box.with_shared(default_config()), "echo > /shared/ran; exec sleep 1000")
    hook(config, stage, f"echo one > {place(box, stage)}/one")
    hook(config, stage, script, timeout or None)
    hook(config, stage, f"echo three > {place(box, stage)}/three")
    return hook(config, "poststop", f"cat > {box.shared}/poststop.state")


def begin(box: Box, command: str) -> Result:
    """The command that a failing hook makes fail."""
    if command == "run":
        return box.runtime.run(box.ident, box.bundle)
    result = box.runtime.create(box.ident, box.bundle)
    return result if result.code else box.runtime.start(box.ident)


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize("stage", [*BEFORE_START, "startContainer", "poststart"])
def test_a_failing_hook_destroys_the_container(box: Box, stage: str, command: str) -> None:
    box.write(failing(box, stage))
    before = box.snapshot()
    result = begin(box, command).expect(1)
    sentence = one_sentence(result)
    for part in (f"/hooks/{stage}/1", "/bin/sh", "exit status 3", "first", "second"):
        assert part in sentence, part
    assert (box.shared / "one").exists()
    assert not (box.shared / "three").exists()
    assert (box.shared / "ran").exists() <= (stage == "poststart")
    state = read_json(box.shared / "poststop.state")
    assert (state["status"], state["id"], state["pid"]) == ("stopped", box.ident, 0)
    assert box.runtime.list() == []
    before.assert_unchanged()


@pytest.mark.parametrize(
    ("script", "how"),
    [("kill -9 $$", "killed by signal 9"), ("exit 255", "exit status 255"), ("kill -TERM $$", "killed by signal 15")],
)
def test_the_error_says_how_a_hook_ended(box: Box, script: str, how: str) -> None:
    assert how in one_sentence(box.create(failing(box, "createRuntime", script)).expect(1))


@pytest.mark.parametrize("stage", [*BEFORE_START, "startContainer", "poststart"])
@pytest.mark.parametrize(("path", "why"), [("/no/such/hook", "no such file or directory"), ("/", "permission denied")])
def test_a_hook_that_cannot_be_executed(box: Box, stage: str, path: str, why: str) -> None:
    box.write(with_hook(default_config(), stage, path))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert f"/hooks/{stage}/0" in sentence
    assert why in sentence
    assert path in sentence
    before.assert_unchanged()


@pytest.mark.parametrize("stage", [*BEFORE_START, "startContainer", "poststart"])
def test_a_hook_that_takes_too_long_is_killed(box: Box, stage: str) -> None:
    box.write(failing(box, stage, f"echo $$ > {place(box, stage)}/pid; exec sleep 1000", timeout=1))
    before = box.snapshot()
    result = begin(box, "run").expect(1)
    assert "timed out after 1 s" in one_sentence(result)
    assert f"/hooks/{stage}/1" in result.last_error
    assert result.seconds < 5
    assert (box.shared / "poststop.state").exists()
    before.assert_unchanged()


def test_a_failing_poststop_hook_is_a_warning(box: Box) -> None:
    config = default_config()
    hook(config, "poststop", "echo sorry >&2; exit 1")
    hook(config, "poststop", f"echo > {box.shared}/after")
    result = box.run(config).ok()
    warnings = [line["msg"] for line in result.log if line["level"] == "warning"]
    assert any("/hooks/poststop/0" in text and "sorry" in text for text in warnings), result.details()
    assert result.last_error == ""
    assert (box.shared / "after").exists()
    assert box.runtime.list() == []


@pytest.mark.parametrize("stage", ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
def test_a_hook_need_not_read_a_large_state(box: Box, stage: str) -> None:
    config = box.with_shared(default_config())
    config["annotations"] = {"large": "x" * 300_000}
    hook(config, stage, "exit 0")
    hook(config, stage, "exec <&-; exit 0")
    hook(config, stage, f"cat > {place(box, stage)}/state")
    box.run(config).ok()
    assert read_json(box.shared / "state")["annotations"] == config["annotations"]


def test_a_hook_that_talks_a_lot_does_not_block(box: Box) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done >&2; exit 4"
    sentence = one_sentence(box.create(failing(box, "createRuntime", script)).expect(1))
    assert "exit status 4" in sentence
    assert len(sentence) < 10_000


@pytest.mark.parametrize("stage", ["createRuntime", "createContainer"])
def test_a_hook_that_leaves_a_process_behind_does_not_hang(box: Box, stage: str) -> None:
    """The process that it leaves holds the error pipe open; the end of the hook itself counts."""
    config = hook(default_config(), stage, f"sleep 20 & echo $! > {box.shared}/pid")
    result = box.run(config).ok()
    assert result.seconds < 5


@pytest.mark.parametrize("stage", [*OUTER, *INNER])
def test_hooks_get_no_descriptors_of_the_runtime(box: Box, stage: str) -> None:
    config = box.with_shared(default_config())
    box.run(hook(config, stage, f"exec ls /proc/self/fd > {place(box, stage)}/fds")).ok()
    found = (box.shared / "fds").read_text().split()
    assert found == ["0", "1", "2", "3"], "the last one is the folder that ls has opened"


@pytest.mark.parametrize("stage", [*OUTER, *INNER])
def test_hooks_have_usual_signals(box: Box, stage: str) -> None:
    said = box.directory / "said"
    config = with_hook(default_config(), stage, "/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
    box.run({**config, "annotations": {"run.oci.hooks.stdout": str(said)}}).ok()
    assert [int(mask, 16) for mask in said.read_text().split()[1::2]] == [0, 0]
