"""What hooks print: it is quoted when they fail, never becomes the container's output, and goes to the files that the
annotations run.oci.hooks.stdout and run.oci.hooks.stderr name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_hook, with_shell, with_user_namespace
from support.facility import need, user_namespace

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
STDOUT, STDERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"


def talking(config: Config, *stages: str, script: str = "") -> Config:
    """Hooks that say their name on both streams."""
    for stage in stages:
        with_hook(config, stage, "/bin/sh", "-c", f"echo {stage} out; echo {stage} err >&2; {script}")
    return config


def logged(box: Box, config: Config, *names: str) -> tuple[Path, Path]:
    """The files for stdout and stderr; `names` are those that are asked for."""
    files = {STDOUT: box.directory / "hooks.out", STDERR: box.directory / "hooks.err"}
    config["annotations"] = {name: str(files[name]) for name in names or files}
    return files[STDOUT], files[STDERR]


def live(box: Box, config: Config) -> str:
    """create, start and delete as commands of their own, in other directories; what they and the program printed."""
    box.write(config)
    calls = [
        box.runtime.call("create", "--bundle", str(box.bundle), box.ident, cwd=box.directory).ok(),
        box.runtime.call("start", box.ident, cwd=Path("/")).ok(),
    ]
    box.runtime.wait_status(box.ident, "stopped")
    calls.append(box.runtime.call("delete", box.ident, cwd=box.bundle).ok())
    return "".join(call.out + call.err for call in calls)


def test_every_hook_writes_to_the_named_files(box: Box) -> None:
    config = talking(default_config("echo", "program"), *STAGES)
    out, err = logged(box, config)
    out.write_text("before\n")
    assert live(box, config) == "program\n"
    assert out.read_text() == "before\n" + "".join(f"{stage} out\n" for stage in STAGES)
    assert err.read_text() == "".join(f"{stage} err\n" for stage in STAGES)
    assert stat.S_IMODE(err.stat().st_mode) == 0o600


def test_the_runtime_opens_the_files(box: Box) -> None:
    """Hooks of a container in a user namespace could not get to them."""
    need(user_namespace)
    config = with_user_namespace(talking(default_config(), *STAGES))
    files = logged(box, config)
    box.directory.chmod(0o700)
    live(box, config)
    assert [path.read_text().count("\n") for path in files] == [len(STAGES)] * 2


@pytest.mark.parametrize("stage", STAGES)
def test_a_noisy_process_that_a_hook_leaves_does_not_hold_the_runtime(box: Box, stage: str) -> None:
    """What it writes after the hook's end goes nowhere, and ends it."""
    config = with_hook(default_config(), stage, "/bin/sh", "-c", "cat /dev/zero & cat /dev/zero >&2 & exit 0")
    box.write(config)
    before = box.snapshot()
    assert box.run(config).ok().seconds < 5
    before.assert_unchanged()


@pytest.mark.parametrize(("name", "said"), [(STDOUT, "out"), (STDERR, "err")])
def test_each_annotation_alone(box: Box, name: str, said: str) -> None:
    config = talking(default_config(), *STAGES)
    files = logged(box, config, name)
    assert live(box, config) == ""
    assert [path.read_text() for path in files if path.exists()] == ["".join(f"{stage} {said}\n" for stage in STAGES)]


def test_without_annotations_nothing_is_printed(box: Box) -> None:
    assert live(box, talking(default_config("echo", "program"), *STAGES)) == "program\n"
    box.run(talking(default_config(), *STAGES)).ok()


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("stage", STAGES[:-1])
def test_what_a_failing_hook_printed_is_in_the_error(box: Box, stage: str, annotated: bool) -> None:
    config = talking(default_config("sleep", "1000"), stage, script="echo sorry >&2; exit 6")
    out, err = logged(box, config) if annotated else (box.directory / "none", box.directory / "none")
    sentence = one_sentence(box.run(config).expect(1))
    assert f"/hooks/{stage}/0: " in sentence
    assert sentence.endswith(f"/bin/sh (stderr: {stage} err; sorry, stdout: {stage} out): exit status 6")
    if annotated:
        assert (out.read_text(), err.read_text()) == (f"{stage} out\n", f"{stage} err\nsorry\n")


@pytest.mark.parametrize("annotated", [False, True])
def test_what_a_failing_poststop_hook_printed_is_in_the_warning(box: Box, annotated: bool) -> None:
    config = talking(default_config(), "poststop", script="exit 6")
    _out, err = logged(box, config) if annotated else (None, None)
    warnings = [line["msg"] for line in box.run(config).ok().log if line["level"] == "warning"]
    said = "(stderr: poststop err, stdout: poststop out)"
    expected = f"/hooks/poststop/0: error running hook /bin/sh {said}: exit status 6"
    assert warnings == [expected]
    assert err is None or err.read_text() == "poststop err\n"


def test_what_a_late_hook_printed_is_in_the_error(box: Box) -> None:
    """It is killed for its timeout; the words may tell what it was waiting for."""
    config = with_hook(default_config(), "createRuntime", "/bin/sh", "-c", "echo lock >&2; exec sleep 99", timeout=1)
    assert one_sentence(box.create(config).expect(1)).endswith("(stderr: lock): timed out after 1 s")


def test_hooks_of_the_container_cannot_forge_lines(box: Box) -> None:
    """startContainer hooks are programs of the image: their words stay inside the one sentence."""
    script = "printf 'a\\r\\nocirun: error: forged\\033[2J\\n' >&2; exit 1"
    sentence = one_sentence(box.run(with_hook(default_config(), "startContainer", "/bin/sh", "-c", script)).expect(1))
    assert "(stderr: a; ocirun: error: forged?[2J): exit status 1" in sentence


def fifo(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize("name", [STDOUT, STDERR])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("relative", "not an absolute path"),
        ("empty", "not an absolute path"),
        ("nowhere", "no such file or directory"),
        ("folder", "is a directory"),
        ("unread", "no such device or address"),
    ],
)
@pytest.mark.parametrize("stage", ["createRuntime", "startContainer", "poststop"])
def test_a_file_that_cannot_be_opened_is_refused(box: Box, stage: str, kind: str, words: str, name: str) -> None:
    """By `create`, whatever hooks there are, and before one of them has run."""
    path = {"relative": "hooks.log", "empty": "", "nowhere": "/no/such/folder/log", "folder": str(box.directory)}
    value = path[kind] if kind in path else fifo(box.directory / "fifo")
    config = with_hook(default_config(), stage, "/bin/sh", "-c", f"echo > {box.shared}/ran")
    box.write({**config, "annotations": {name: value}})
    before = box.snapshot()
    sentence = one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    assert f"/annotations/{name}: " in sentence
    assert words in sentence
    assert not (box.shared / "ran").exists()
    before.assert_unchanged()


def test_without_hooks_the_annotations_ask_for_nothing(box: Box) -> None:
    config = default_config()
    out, err = logged(box, config)
    box.run(config).ok()
    assert not out.exists()
    assert not err.exists()


def test_a_log_that_has_gone_is_a_warning_for_poststop(box: Box) -> None:
    config = with_hook(default_config(), "poststop", "/bin/sh", "-c", f"echo > {box.shared}/ran")
    folder = box.directory / "logs"
    folder.mkdir()
    config["annotations"] = {STDERR: str(folder / "err")}
    box.create(config).ok()
    (folder / "err").unlink()
    folder.rmdir()
    result = box.runtime.delete(box.ident).ok()
    assert [line["level"] for line in result.log] == ["warning"]
    assert f"/annotations/{STDERR}: " in result.log[0]["msg"]
    assert (box.shared / "ran").exists()


def test_a_log_that_has_gone_fails_poststart(box: Box) -> None:
    """As a hook that cannot be run does: the container is stopped and destroyed."""
    config = with_hook(default_config("sleep", "1000"), "poststart", "/bin/sh", "-c", f"echo > {box.shared}/ran")
    folder = box.directory / "logs"
    folder.mkdir()
    before = box.snapshot()
    config["annotations"] = {STDOUT: str(folder / "out")}
    box.create(config).ok()
    (folder / "out").unlink()
    folder.rmdir()
    assert f"/annotations/{STDOUT}: " in one_sentence(box.runtime.start(box.ident).expect(1))
    assert not (box.shared / "ran").exists()
    assert box.runtime.list() == []
    before.assert_unchanged()


def held(pid: int) -> set[str]:
    """What the descriptors of a process lead to."""
    return {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


@pytest.mark.parametrize("stage", STAGES)
def test_who_holds_the_logs(box: Box, stage: str) -> None:
    """A waiting process only if it has hooks of its own to run yet; the program never."""
    config = talking(with_shell(box.with_shared(default_config()), "exec ls -l /proc/self/fd > /shared/fds"), stage)
    out, err = logged(box, config)
    box.create(config).ok()
    found = held(int(box.runtime.state(box.ident)["pid"])) & {str(out), str(err)}
    assert found == ({str(out), str(err)} if stage == "startContainer" else set())
    box.runtime.start(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    lines = (box.shared / "fds").read_text().splitlines()
    assert [line.split()[8] for line in lines[1:]] == ["0", "1", "2", "3"]
    assert "hooks." not in "".join(lines)
