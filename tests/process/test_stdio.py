"""Streams, exit codes, signals and terminals of `run`, and the options of `exec`."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest
from process.box import changed, one_sentence, status_lines
from support.bundle import default_config, with_args, with_shell, with_terminal
from support.console import ConsoleSocket, Interactive
from support.runtime import process_alive, wait_for

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

# A trap interrupts read.
UNTIL_WORD = 'until read a && [ -n "$a" ]; do :; done; echo got $a'
PATIENT = "while :; do sleep 0.05; done"


def command(box: Box, *words: str) -> list[str]:
    """Ignored signals stay ignored, and whoever calls the tests may ignore some, as nohup(1) does."""
    return ["env", "--default-signal", str(box.runtime.path), "--root", str(box.runtime.root), *words]


def test_the_three_streams(box: Box) -> None:
    box.write(with_shell(default_config(), "cat; echo err >&2; echo out"))
    result = box.runtime.call("run", "-b", str(box.bundle), box.ident, stdin=b"in\n").ok()
    assert (result.out, result.err) == ("in\nout\n", "err\n")
    assert result.log == []


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("exit 137", 137)])
def test_exit_codes_of_run(box: Box, script: str, code: int) -> None:
    result = box.run(with_shell(default_config(), script)).expect(code)
    assert result.err == ""
    assert box.runtime.list() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_exit_code_of_a_killed_program(box: Box, number: int) -> None:
    """Without a pid namespace the program is an ordinary process, which a signal ends."""
    config = default_config("sh", "-c", f"kill -{int(number)} $$; sleep 1000")
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "uts", "ipc")]
    config["mounts"] = [one for one in config["mounts"] if one["destination"] in ("/proc", "/dev")]
    box.run(config).expect(128 + number)


def test_a_killed_container(box: Box) -> None:
    box.write(with_shell(box.with_shared(default_config()), f"echo > /shared/ready; {PATIENT}"))
    with subprocess.Popen(command(box, "run", "-b", str(box.bundle), box.ident), stdin=subprocess.DEVNULL) as process:
        wait_for((box.shared / "ready").exists)
        box.runtime.kill(box.ident).ok()
        assert process.wait(10) == 137
    assert box.runtime.list() == []


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1", "HUP", "QUIT", "WINCH", "CONT", "RTMIN+1"])
def test_signals_are_forwarded(box: Box, name: str) -> None:
    number = signal.SIGRTMIN + 1 if name == "RTMIN+1" else signal.Signals[f"SIG{name}"]
    script = f"trap 'exit 42' {int(number)}; echo > /shared/ready; {PATIENT}"
    if name == "WINCH":
        script = f"trap 'exit 41' WINCH; trap 'exit 42' TERM; echo > /shared/ready; {PATIENT}"
    box.write(with_shell(box.with_shared(default_config()), script))
    with subprocess.Popen(command(box, "run", "-b", str(box.bundle), box.ident), stdin=subprocess.DEVNULL) as process:
        wait_for((box.shared / "ready").exists)
        process.send_signal(number)
        if name == "WINCH":  # it concerns the terminal of the runtime, not the program
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 42
    assert box.runtime.list() == []


def test_a_detached_run_returns_at_once(box: Box) -> None:
    pid_file = box.directory / "pid"
    config = with_shell(default_config(), "echo started; exec sleep 1000")
    result = box.run(config, "--detach", "--pid-file", str(pid_file)).ok()
    wait_for(lambda: result.out == "started\n")
    pid = box.runtime.state(box.ident)["pid"]
    assert pid_file.read_text() == str(pid)
    assert os.readlink(f"/proc/{pid}/fd/0") == str(result.out_path.with_suffix(".in"))


def test_orphans_are_adopted(box: Box) -> None:
    """Without a pid namespace what the program leaves running is ended with the container's cgroup."""
    config = default_config("sh", "-c", "setsid sleep 1000 & echo $!")
    config["linux"]["namespaces"] = [{"type": "mount"}]
    config["mounts"] = [one for one in config["mounts"] if one["destination"] in ("/proc", "/dev")]
    del config["hostname"]
    result = box.run(config).ok()
    wait_for(lambda: not process_alive(int(result.out)))


def interactive(box: Box, *words: str, rows: int = 24, columns: int = 80) -> Interactive:
    return Interactive(command(box, *words), rows=rows, columns=columns, env=box.runtime.env)


def test_an_interactive_run(box: Box) -> None:
    script = "trap 'stty size; echo resized' WINCH; stty size; tty; echo ready; " + UNTIL_WORD + "; exit 7"
    box.write(with_terminal(with_shell(default_config(), script)))
    with interactive(box, "run", "-b", str(box.bundle), box.ident, rows=30, columns=90) as it:
        text = it.terminal.read_until("ready")
        assert "resized" not in text
        assert "30 90" in text
        assert "/dev/" in text
        mode = termios.tcgetattr(it.terminal.fd)
        assert not mode[3] & (termios.ECHO | termios.ICANON), "our own terminal is raw meanwhile"
        it.terminal.resize(40, 100)
        it.terminal.read_until("resized")
        assert "40 100" in it.terminal.text
        it.terminal.send("word\r")
        it.terminal.read_until("got word")
        assert it.wait() == 7
        mode = termios.tcgetattr(it.terminal.fd)
        assert mode[3] & termios.ECHO
        assert mode[3] & termios.ICANON
    assert box.runtime.list() == []


def test_a_terminal_that_is_closed_and_opened_again(box: Box) -> None:
    """As an init does it with its console."""
    script = "echo first; exec <&- >&- 2>&-; sleep 0.2; echo again >/dev/console; exit 6"
    box.write(with_terminal(with_shell(default_config(), script)))
    with interactive(box, "run", "-b", str(box.bundle), box.ident) as it:
        it.terminal.read_until("again")
        assert it.wait() == 6


def test_control_c_reaches_the_program(box: Box) -> None:
    script = f"trap 'echo interrupted; exit 5' INT; echo ready; {PATIENT}"
    box.write(with_terminal(with_shell(default_config(), script)))
    with interactive(box, "run", "-b", str(box.bundle), box.ident) as it:
        it.terminal.read_until("ready")
        it.terminal.send("\x03")
        it.terminal.read_until("interrupted")
        assert it.wait() == 5


def test_a_terminal_without_one_of_our_own(box: Box) -> None:
    """`run` with a terminal from a pipe: all that the program writes arrives, also what it writes last."""
    box.write(with_terminal(with_shell(default_config(), "seq 1 2000; tty; exit 4")))
    result = box.runtime.call("run", "-b", str(box.bundle), box.ident).expect(4)
    lines = result.out.splitlines()
    assert lines[:2000] == [str(number) for number in range(1, 2001)]
    assert lines[2000].startswith("/dev/")


def test_a_console_socket(box: Box) -> None:
    script = "stty size; tty; ls -l /dev/console; read a; echo got $a; exec sleep 1000"
    box.write(with_terminal(with_shell(default_config(), script), 33, 77))
    with ConsoleSocket(box.directory / "c") as console:
        box.runtime.create(box.ident, box.bundle, "--console-socket", str(console.path)).ok()
        with console.receive() as terminal:
            assert terminal.size() == (33, 77)
            box.runtime.start(box.ident).ok()
            terminal.send("word\r")
            text = terminal.read_until("got word")
            assert "33 77" in text
            assert "crw" in text


@pytest.mark.parametrize("detach", [True, False])
def test_a_terminal_of_exec(box: Box, detach: bool) -> None:
    box.start_sleeper()
    words = ["exec", "--tty", box.ident, "sh", "-c", "tty; stty size; read a; echo got $a; exit 6"]
    if detach:
        with ConsoleSocket(box.directory / "c") as console:
            words[1:1] = ["--detach", "--console-socket", str(console.path)]
            box.runtime.call(*words).ok()
            with console.receive() as terminal:
                terminal.send("word\r")
                assert "/dev/" in terminal.read_until("got word")
        return
    with interactive(box, *words, rows=21, columns=81) as it:
        it.terminal.read_until("21 81")
        it.terminal.send("word\r")
        it.terminal.read_until("got word")
        assert it.wait() == 6


EXEC = [
    ([], "pwd; hostname", "/\nunit\n", 0),
    ([], "exit 3", "", 3),
    ([], "kill -9 $$", "", 137),
    ([], "kill -TERM $$", "", 143),
    (["--cwd", "/etc"], "pwd", "/etc\n", 0),
    (["--user", "1000"], "id -u; id -g", "1000\n0\n", 0),
    (["--user", "1000:1001"], "id -u; id -g", "1000\n1001\n", 0),
    (["-u=1000:1001", "-g", "5", "-g=6"], "id -G", "1001 5 6\n", 0),
    (["--env", "A=1", "-e", "B=2", "-e", "A=3"], "echo $A$B", "32\n", 0),
    (["-e", "HOME=/x"], "echo $HOME", "/x\n", 0),
    (["--user", "65534"], "echo $HOME", "/\n", 0),
]


@pytest.mark.parametrize(("options", "script", "out", "code"), EXEC, ids=[f"{row[0]}{row[1]}" for row in EXEC])
def test_exec(box: Box, options: list[str], script: str, out: str, code: int) -> None:
    box.start_sleeper()
    result = box.exec(script, *options).expect(code)
    assert (result.out, result.err) == (out, "")


def test_exec_passes_stdin(box: Box) -> None:
    box.start_sleeper()
    assert box.runtime.exec(box.ident, "cat", stdin=b"words\n").ok().out == "words\n"


def test_exec_joins_everything(box: Box) -> None:
    pid = box.start_sleeper()
    look = "for n in cgroup ipc mnt net pid uts; do readlink /proc/self/ns/$n; done; cut -d: -f3 /proc/self/cgroup"
    namespaces: list[str] = []
    cgroups: list[str] = []
    for line in box.exec(look).ok().out.splitlines():
        (namespaces if "[" in line else cgroups).append(line)
    assert namespaces == [
        os.readlink(f"/proc/{pid}/ns/{name}") for name in ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    ]
    assert set(cgroups) == {"/"}
    assert box.exec("ls -di /; ls -di /proc/1/root/").ok().out.split()[::2] == [str((box.rootfs).stat().st_ino)] * 2


def test_exec_leaves_nothing(box: Box) -> None:
    box.start_sleeper()
    before = box.snapshot()
    box.exec("true").ok()
    box.exec("exit 9").expect(9)
    before.assert_unchanged()


def test_a_detached_exec(box: Box) -> None:
    box.start_sleeper(box.with_shared(default_config()))
    pid_file = box.directory / "pid"
    box.exec("echo > /shared/ran; exec sleep 1000", "--detach", "--pid-file", str(pid_file)).ok()
    wait_for((box.shared / "ran").exists)
    pid = int(pid_file.read_text())
    assert process_alive(pid)
    box.runtime.delete(box.ident, force=True).ok()
    wait_for(lambda: not process_alive(pid))


def test_capabilities_of_exec(box: Box) -> None:
    config = default_config()
    config["process"]["capabilities"] = {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": []}
    config["process"]["noNewPrivileges"] = False
    box.start_sleeper(config)
    plain = status_lines(box.exec("cat /proc/self/status").ok().out)
    assert {name: int(plain[name], 16) for name in ("CapInh", "CapAmb")} == {"CapInh": 0, "CapAmb": 0}
    assert plain["NoNewPrivs"] == "0"
    more = box.exec("cat /proc/self/status", "--cap", "CAP_CHOWN", "-c", "net_raw", "--no-new-privs").ok().out
    added = status_lines(more)
    wanted = 1 << 0 | 1 << 5 | 1 << 13
    assert {name: int(added[name], 16) for name in ("CapBnd", "CapPrm", "CapEff")} == {
        "CapBnd": wanted, "CapPrm": wanted, "CapEff": wanted,
    }  # fmt: skip
    assert {name: int(added[name], 16) for name in ("CapInh", "CapAmb")} == {"CapInh": 0, "CapAmb": 0}
    assert added["NoNewPrivs"] == "1"


def test_exec_of_a_process_file(box: Box) -> None:
    box.start_sleeper()
    process = {
        "args": ["sh", "-c", "id -u; id -G; pwd; echo $A; umask; grep -E 'NoNew|CapPrm' /proc/self/status"],
        "cwd": "/tmp",
        "env": ["PATH=/bin", "A=b"],
        "user": {"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o27},
        "noNewPrivileges": True,
        "capabilities": {},
    }
    out = box.runtime.exec_process(box.ident, process).ok().out.split()
    assert out == ["7", "8", "9", "/tmp", "b", "0027", "CapPrm:", "0" * 16, "NoNewPrivs:", "1"]


def test_exec_wants_a_running_container(box: Box) -> None:
    box.create(default_config("sleep", "1000")).ok()
    box.exec("true").ok()
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert "container not running" in one_sentence(box.exec("true").expect(255))


def test_exec_signals(box: Box) -> None:
    box.start_sleeper(box.with_shared(default_config()))
    words = command(box, "exec", box.ident, "sh", "-c", f"trap 'exit 42' USR1; echo > /shared/ready; {PATIENT}")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        wait_for((box.shared / "ready").exists)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(10) == 42


def test_the_console_size_needs_a_terminal(box: Box) -> None:
    config = changed(default_config(), "/process/consoleSize", {"height": 3, "width": 4})
    assert box.run(with_args(config, "echo", "x")).ok().out == "x\n"
