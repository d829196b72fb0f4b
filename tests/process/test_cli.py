"""The command line: spellings, help, exit codes, logs, and what the caller's own situation must not change."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support import facility
from support.bundle import default_config, with_args, with_env, with_shell
from support.command import Output, run_command
from support.facility import need
from support.host import HostSnapshot
from support.runtime import wait_for

from ocirun.options import COMMANDS

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process]
privileged = pytest.mark.privileged

NAMES = tuple(command.name for command in COMMANDS)
ONLY_STANDARD = ["0", "1", "2", "3"]  # the last one is the folder that ls has opened


@pytest.mark.parametrize("word", ["--version", "-v", "-version"])
def test_version(program: Path, tmp_path: Path, word: str) -> None:
    lines = run_command([str(program), word], tmp_path / "out").ok().out.splitlines()
    assert re.fullmatch(r"ocirun version \d+\.\d+\.\d+", lines[0])
    assert lines[1:] == [lines[0].replace("ocirun version", "commit:"), "spec: 1.3.0"]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["-help"], ["help"]])
def test_overview(program: Path, tmp_path: Path, words: list[str]) -> None:
    done = run_command([str(program), *words], tmp_path / "out").ok()
    assert all(f"\n  {name} " in done.out for name in NAMES)
    assert done.err == ""


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("command", NAMES)
def test_help_of_a_command(program: Path, tmp_path: Path, command: str, word: str) -> None:
    done = run_command([str(program), command, word], tmp_path / "out").ok()
    assert done.out.startswith(f"ocirun {command}: ")
    assert f"usage: ocirun {command}" in done.out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["nonsense"], 3, "unknown command 'nonsense'"),
        (["--nonsense", "list"], 1, "unknown option --nonsense"),
        (["list", "--nonsense"], 1, "unknown option --nonsense"),
        (["---root", "x", "list"], 1, "unknown option ---root"),
        (["create", "--bundl", "x", "id"], 1, "unknown option --bundl"),
        (["--root"], 1, "--root needs a value"),
        (["create", "id", "--bundle"], 1, "--bundle needs a value"),
        (["--log-format", "xml", "list"], 1, "--log-format takes text or json, not 'xml'"),
        (["--log", "/no/such/dir/log", "list"], 1, "/no/such/dir/log: open the log"),
        (["--rootless", "maybe", "list"], 1, "--rootless takes true, false or auto, not 'maybe'"),
        (["--debug=maybe", "list"], 1, "--debug takes no value but true or false, not 'maybe'"),
        (["list", "--format", "xml"], 1, "--format takes table or json, not 'xml'"),
        (["--log-fd", "two", "list"], 1, "--log-fd takes a descriptor, not 'two'"),
        (["--log-fd", "999", "list"], 1, "open the log: bad file descriptor"),
        (["run", "--preserve-fds", "two", "id"], 1, "--preserve-fds takes a number, not 'two'"),
        (["run", "--preserve-fds", "-1", "id"], 1, "--preserve-fds takes a number, not '-1'"),
        (["run", "--preserve-fds", "9", "id"], 1, "descriptor 3 is not open"),
        (["state"], 1, "state takes ID: 0 given"),
        (["state", "a", "b"], 1, "state takes ID: 2 given"),
        (["list", "a"], 1, "list takes no argument: 1 given"),
        (["kill", "a", "b", "c"], 1, "kill takes ID [SIGNAL]: 3 given"),
        (["exec"], 1, "exec takes ID COMMAND"),
        (["start", ""], 1, "invalid container id ''"),
    ],
)
def test_wrong_command_lines(program: Path, tmp_path: Path, words: list[str], code: int, text: str) -> None:
    root = tmp_path / "root"
    done = run_command([str(program), "--root", str(root), *words], tmp_path / "out", cwd=tmp_path).expect(code)
    lines = [line for line in done.err.splitlines() if line.startswith("ocirun")]
    assert len(lines) == 1
    assert text in lines[0]
    assert done.out == ""
    assert not root.exists()


@privileged
@pytest.mark.parametrize(
    "words",
    [
        "create --bundle {bundle} {id}",
        "create --bundle={bundle} {id}",
        "create -bundle {bundle} {id}",
        "create -bundle={bundle} {id}",
        "create -b {bundle} {id}",
        "create -b={bundle} {id}",
        "create {id} --bundle {bundle}",
        "create {id} -b={bundle}",
        "create --bundle /nowhere -b {bundle} {id}",
        "create -b {bundle} -- {id}",
        "create --no-pivot=false --no-new-keyring=true -b {bundle} {id}",
        "-debug=false -rootless auto create -b {bundle} {id}",
    ],
)
def test_spellings_of_options(box: Box, words: str) -> None:
    box.write(default_config())
    box.runtime.call(*(word.format(bundle=box.bundle, id=box.ident) for word in words.split())).ok()
    assert box.runtime.status(box.ident) == "created"


@privileged
@pytest.mark.parametrize(
    ("words", "out"),
    [
        ("exec {id} echo -e --tty", "--tty\n"),
        ("exec --env A=1 -e B=2 {id} sh -c echo$IFS$A$B", "12\n"),
        ("exec {id} --env A=1 sh -c echo$IFS$A", "1\n"),
        ("exec -- {id} echo a", "a\n"),
        ("exec {id} -- echo -- b", "-- b\n"),
        ("exec {id} echo --help", "--help\n"),
    ],
)
def test_the_programs_own_options(box: Box, words: str, out: str) -> None:
    box.start_sleeper()
    assert box.runtime.call(*(word.replace("{id}", box.ident) for word in words.split())).ok().out == out


@privileged
def test_a_log_of_json_lines(box: Box) -> None:
    log = box.directory / "log"
    program, root = str(box.runtime.path), str(box.runtime.root)
    head = [program, "--root", root, "--log", str(log), "--log-format=json"]
    for ident in ("one", "two"):
        run_command([*head, "state", ident], box.directory / "out").expect(1)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [set(line) for line in lines] == [{"level", "msg", "time"}] * 2
    assert [line["level"] for line in lines] == ["error"] * 2
    assert [line["msg"] for line in lines] == [f"state {name}: container does not exist" for name in ("one", "two")]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[0]["time"])


@privileged
def test_a_log_of_text(box: Box) -> None:
    log = box.directory / "log"
    head = [str(box.runtime.path), "--root", str(box.runtime.root), "--log", str(log)]
    done = run_command([*head, "state", "one"], box.directory / "out").expect(1)
    assert re.fullmatch(r'time="[^"]+" level=error msg="state one: container does not exist"\n', log.read_text())
    assert done.err.startswith("ocirun state one: container does not exist\nhint: ")


@privileged
def test_debug_logs_the_steps(box: Box) -> None:
    box.write(default_config())
    result = box.runtime.call("--debug", "run", "--bundle", str(box.bundle), box.ident).ok()
    texts = [line["msg"] for line in result.log if line["level"] == "debug"]
    assert any("open the root filesystem" in text for text in texts)
    assert all(re.search(r"\d+ µs$", text) for text in texts)


@privileged
def test_a_thin_environment(box: Box) -> None:
    box.write(with_shell(default_config(), "echo $PATH; env | sort | cut -d= -f1"))
    out = box.runtime.call("run", "-b", str(box.bundle), box.ident, env={}).ok().out.split()
    assert out[0] == "/bin:/usr/bin:/sbin:/usr/sbin"
    assert set(out[1:]) <= {"PATH", "TERM", "HOME", "PWD", "SHLVL", "OLDPWD"}


@privileged
def test_the_callers_environment_stays_outside(box: Box) -> None:
    box.write(default_config("env"))
    env = {**box.runtime.env, "SECRET": "x", "LD_PRELOAD": "/no/lib.so", "PYTHONPATH": "/x", "PYTHONSTARTUP": "/x"}
    out = box.runtime.call("run", "-b", str(box.bundle), box.ident, env=env).ok().out
    assert sorted(out.splitlines()) == ["HOME=/root", "PATH=/bin:/usr/bin:/sbin:/usr/sbin", "TERM=xterm"]


@privileged
def test_an_inherited_socket_stays_outside(box: Box) -> None:
    box.write(default_config("ls", "/proc/self/fd"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        result = box.runtime.call("run", "-b", str(box.bundle), box.ident, pass_fds=[theirs.fileno()]).ok()
    assert result.out.split() == ONLY_STANDARD


def shell_call(box: Box, redirections: str, *words: str, env: dict[str, str] | None = None) -> Output:
    """The program started by a shell that first arranges its descriptors."""
    head = ["sh", "-c", f'exec "$@" {redirections}', "sh", str(box.runtime.path), "--root", str(box.runtime.root)]
    return run_command([*head, *words], box.directory / "out", env={**box.runtime.env, **(env or {})})


@privileged
@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(box: Box, closed: str) -> None:
    script = "readlink /proc/self/fd/0 > /shared/stdin; exec ls /proc/self/fd > /shared/fds"
    box.write(with_shell(box.with_shared(default_config()), script))
    shell_call(box, closed, "run", "-b", str(box.bundle), box.ident).ok()
    assert (box.shared / "fds").read_text().split() == ONLY_STANDARD
    assert (box.shared / "stdin").read_text() == "/dev/null\n"


@privileged
def test_preserved_descriptors(box: Box) -> None:
    (box.directory / "three").write_text("third\n")
    config = with_shell(default_config(), "cat <&3; cat <&4; exec ls /proc/self/fd")
    box.write(config)
    redirections = f"3<{box.directory}/three 4<{box.directory}/three 5<{box.directory}/three"
    done = shell_call(box, redirections, "run", "--preserve-fds", "2", "-b", str(box.bundle), box.ident).ok()
    assert done.out.split() == ["third", "third", *ONLY_STANDARD, "4", "5"]


@privileged
def test_socket_activation(box: Box) -> None:
    (box.directory / "three").write_text("third\n")
    box.write(with_shell(default_config(), "cat <&3; echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES"))
    words = ("run", "-b", str(box.bundle), box.ident)
    env = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
    done = shell_call(box, f"3<{box.directory}/three", *words, env=env).ok()
    assert done.out.split() == ["third", "1", "1", "web"]
    done = shell_call(box, f"3<{box.directory}/three", *words, env={**env, "LISTEN_PID": "1"})
    assert done.out.strip() == "", "the descriptors are for another process"


@privileged
def test_relative_paths(box: Box) -> None:
    box.write(default_config("sleep", "1000"))
    program = str(box.runtime.path)
    head = [program, "--root", "state", "--log", "log"]
    done = run_command(
        [*head, "create", "--bundle", "bundle", "--pid-file", "pid", box.ident],
        box.directory / "out",
        cwd=box.directory,
    )
    done.ok()
    found = json.loads(
        run_command([program, "--root", str(box.directory / "state"), "state", box.ident], box.directory / "out")
        .ok()
        .out
    )
    assert found["bundle"] == str(box.bundle)
    assert (box.directory / "pid").read_text() == str(found["pid"])
    run_command([*head, "delete", "--force", box.ident], box.directory / "out", cwd=box.directory).ok()


@privileged
def test_the_bundle_is_the_working_directory_by_default(box: Box) -> None:
    box.write(default_config("pwd"))
    assert box.runtime.call("run", box.ident, cwd=box.bundle).ok().out == "/\n"


@privileged
def test_pidfd_socket(box: Box) -> None:
    path = box.directory / "pidfd"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        box.create(default_config(), "--pidfd-socket", str(path)).ok()
        connection, _ = listener.accept()
        with connection:
            _, descriptors, _, _ = socket.recv_fds(connection, 64, 4)
    assert len(descriptors) == 1
    fields = dict(line.split(":\t") for line in Path(f"/proc/self/fdinfo/{descriptors[0]}").read_text().splitlines())
    os.close(descriptors[0])
    assert int(fields["Pid"]) == box.runtime.state(box.ident)["pid"]


@privileged
@pytest.mark.parametrize("option", ["--pidfd-socket", "--pid-file"])
def test_a_place_that_cannot_be_written_undoes_the_container(box: Box, option: str) -> None:
    box.write(default_config())
    before = box.snapshot()
    for command in (box.runtime.create, box.runtime.run):
        sentence = one_sentence(command(box.ident, box.bundle, option, "/no/such/place").expect(1))
        assert "/no/such/place" in sentence
        assert "no such file or directory" in sentence
    before.assert_unchanged()


@privileged
def test_systemd_cgroup_without_systemd_is_refused(box: Box) -> None:
    """By a socket that is not there: on a host with systemd the variable would not be asked."""
    if Path("/run/systemd/private").exists():
        pytest.skip("not this lane: this host has systemd")
    config = default_config()
    config["linux"]["cgroupsPath"] = f"system.slice:x:{box.ident}"
    box.write(config)
    before = HostSnapshot.take(box.runtime.root, [box.ident])
    environ = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere/bus"}
    words = ("--systemd-cgroup", "create", "-b", str(box.bundle), box.ident)
    sentence = one_sentence(box.runtime.call(*words, env=environ).expect(1))
    assert "--systemd-cgroup: reach systemd: " in sentence
    assert "/nowhere/bus: no such file or directory" in sentence
    before.assert_unchanged()


@privileged
def test_spec_writes_a_config_that_runs(box: Box) -> None:
    assert box.rootfs.exists()
    box.runtime.call("spec", "--bundle", str(box.bundle)).ok()
    config = json.loads((box.bundle / "config.json").read_text())
    assert config["ociVersion"] == "1.3.0"
    kinds = {each["type"] for each in config["linux"]["namespaces"]}
    assert ("cgroup" in kinds) == (not facility.cgroup_v2()), "where engines give one, too"
    config["process"]["terminal"] = False
    assert box.run(with_args(config, "/bin/echo", "runs")).ok().out == "runs\n"
    refused = box.runtime.call("spec", cwd=box.bundle).expect(1)
    assert "there is one already" in one_sentence(refused)


@privileged
def test_a_full_standard_output_is_no_traceback(box: Box) -> None:
    box.write(with_env(default_config("sleep", "1000"), "A=1"))
    box.runtime.create(box.ident, box.bundle).ok()
    done = shell_call(box, ">/dev/full", "state", box.ident)
    assert "Traceback" not in done.err
    wait_for(lambda: box.runtime.status(box.ident) == "created")


def test_an_old_kernel_is_named(box: Box, tmp_path: Path) -> None:
    """A system call that is not there (ENOSYS, injected) is an error that says which Linux is needed."""
    need(facility.strace)
    bundle = box.write(default_config("true"))
    inject = ["-f", "-o", str(tmp_path / "trace"), "-e", "trace=fsopen", "-e", "inject=fsopen:error=ENOSYS"]
    line = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "--bundle", str(bundle), box.ident]
    result = run_command(["strace", *inject, *line], tmp_path / "out")
    assert result.code == 1
    assert "fsopen: function not implemented" in result.err
    assert "Linux 5.12" in result.err
