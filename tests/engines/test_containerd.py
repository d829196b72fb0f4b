"""containerd's shim drives the runtime, through ctr."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import process_alive, wait_for
from support.facility import requires
from support.host import cgroup_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.engines import Containerd

pytestmark = pytest.mark.engines

WAIT_FOR_TERM = "trap 'exit 5' TERM; touch /tmp/ready; while :; do usleep 20000; done"


def start(containerd: Containerd, name: str, *options: str) -> None:
    """A detached container whose trap for TERM is set."""
    # A detached ctr gives the task null streams: with inherited ones the container would keep our files open.
    containerd.run(["--detach", "--null-io", *options], name, "sh", "-c", WAIT_FOR_TERM).ok()
    wait_for(lambda: containerd.exec(name, "test", "-e", "/tmp/ready").code == 0, what=f"{name} being ready")


def stopped(containerd: Containerd, name: str) -> Callable[[], bool]:
    """For wait_for: the task has ended."""
    return lambda: containerd.task_status(name) == "STOPPED"


def test_run_shows_output_and_errors(containerd: Containerd) -> None:
    done = containerd.run(["--rm"], "shown", "sh", "-c", "echo to-out; echo to-err >&2").ok()
    assert done.out == "to-out\n"
    assert "to-err\n" in done.err


@pytest.mark.parametrize("code", [0, 3, 255])
def test_run_exit_codes(containerd: Containerd, code: int) -> None:
    containerd.run(["--rm"], "coded", "sh", "-c", f"exit {code}").expect(code)


def test_run_names_a_missing_program(containerd: Containerd) -> None:
    """The shim shows the last error line of the runtime's log."""
    done = containerd.run(["--rm"], "missing", "no-such-program").expect(1)
    assert "no-such-program" in done.err
    assert "executable file not found in" in done.err


def test_run_names_a_program_that_may_not_run(containerd: Containerd) -> None:
    done = containerd.run(["--rm"], "forbidden", "/etc/passwd").expect(1)
    assert "permission denied" in done.err


def test_run_reads_standard_input(containerd: Containerd) -> None:
    assert containerd.run(["--rm"], "reading", "head", "-n", "1", stdin=b"line\n").ok().out == "line\n"


def test_detached_task_lives_is_killed_and_deleted(containerd: Containerd) -> None:
    start(containerd, "service")
    assert containerd.task_status("service") == "RUNNING"
    pid = containerd.task_pid("service")
    assert process_alive(pid)
    containerd.call("tasks", "kill", "--signal", "SIGTERM", "service").ok()
    wait_for(stopped(containerd, "service"), what="the end of the task")
    assert not process_alive(pid)
    assert "exit code 5" in containerd.call("tasks", "delete", "service").ok().err
    containerd.call("containers", "delete", "service").ok()
    assert containerd.call("containers", "list", "--quiet").ok().out == ""


def test_running_task_is_deleted_by_force(containerd: Containerd) -> None:
    start(containerd, "forced")
    pid = containerd.task_pid("forced")
    containerd.call("tasks", "delete", "--force", "forced")
    wait_for(lambda: not process_alive(pid), what="the end of the init process")
    assert containerd.task_status("forced") == ""


def test_exec_shares_the_container(containerd: Containerd) -> None:
    start(containerd, "entered")
    done = containerd.exec("entered", "sh", "-c", "cat /proc/1/comm; readlink /proc/self/ns/pid").ok()
    pid = containerd.task_pid("entered")
    assert done.out.split() == ["sh", os.readlink(f"/proc/{pid}/ns/pid")]


def test_exec_exit_code_and_errors(containerd: Containerd) -> None:
    start(containerd, "failing")
    containerd.exec("failing", "sh", "-c", "exit 4").expect(4)
    done = containerd.exec("failing", "no-such-program")
    assert done.code != 0
    assert "executable file not found in" in done.err
    assert containerd.task_status("failing") == "RUNNING"


def test_exec_with_a_working_directory(containerd: Containerd) -> None:
    start(containerd, "placed")
    assert containerd.exec("placed", "pwd", options=["--cwd", "/srv"]).ok().out == "/srv\n"


def test_kill_all_reaches_other_processes(containerd: Containerd) -> None:
    start(containerd, "crowd")
    containerd.exec("crowd", "sleep", "600", options=["--detach"]).ok()
    containerd.call("tasks", "kill", "--all", "--signal", "SIGKILL", "crowd").ok()
    wait_for(stopped(containerd, "crowd"), what="the end of the task")
    assert "exit code 137" in containerd.call("tasks", "delete", "crowd").ok().err


def test_pause_and_resume(containerd: Containerd) -> None:
    start(containerd, "frozen")
    containerd.call("tasks", "pause", "frozen").ok()
    assert containerd.task_status("frozen") == "PAUSED"
    containerd.call("tasks", "resume", "frozen").ok()
    assert containerd.task_status("frozen") == "RUNNING"
    assert containerd.exec("frozen", "echo", "awake").ok().out == "awake\n"


def test_processes_are_listed(containerd: Containerd) -> None:
    start(containerd, "listed")
    done = containerd.call("tasks", "ps", "listed").ok()
    assert str(containerd.task_pid("listed")) in done.out.split()


def test_terminal_has_its_size_and_passes_the_exit_code(containerd: Containerd) -> None:
    script = "tty; stty size; read line; echo got $line; exit 6"
    with containerd.interactive(["--rm"], "tty", "sh", "-c", script) as program:
        # ctr sets the size after the task has started, so the first answer of stty may still be 0 0.
        program.terminal.read_until("/dev/pts/0", 30.0)
        program.terminal.send("typed\r")
        program.terminal.read_until("got typed", 30.0)
        assert program.wait(30.0) == 6


def test_exec_on_a_terminal(containerd: Containerd) -> None:
    start(containerd, "console")
    argv = containerd.argv("tasks", "exec", "--tty", "--exec-id", "console-exec", "console", "sh", "-c", "tty; exit 7")
    with containerd.program(argv) as program:
        program.terminal.read_until("/dev/pts/", 30.0)
        assert program.wait(30.0) == 7


def test_runtime_root_is_the_one_asked_for(containerd: Containerd) -> None:
    start(containerd, "rooted")
    known = [path.name for path in (containerd.runc_root / containerd.namespace).iterdir()]
    assert known == ["rooted"]


def test_host_network(containerd: Containerd) -> None:
    done = containerd.run(["--rm", "--net-host"], "hosted", "readlink", "/proc/self/ns/net").ok()
    assert done.out.strip() == os.readlink("/proc/self/ns/net")


def test_environment_comes_from_the_image_alone(containerd: Containerd) -> None:
    done = containerd.run(["--rm", "--env", "EXTRA=given"], "plain", "env").ok()
    names = {line.partition("=")[0] for line in done.out.splitlines()}
    assert {"PATH", "EXTRA"} <= names
    assert not names & {"GOMAXPROCS", "TTRPC_ADDRESS", "GRPC_ADDRESS", "NAMESPACE"}


def test_engine_descriptors_stay_outside(containerd: Containerd) -> None:
    """The shim leaks a socket to its runtime; the container must have its three streams only."""
    done = containerd.run(["--rm"], "clean", "sh", "-c", "ls /proc/1/fd; true").ok()
    assert done.out.split() == ["0", "1", "2"]


@requires(facility.cgroup_v1)
def test_memory_limit_reaches_the_cgroup(containerd: Containerd) -> None:
    start(containerd, "limited", "--memory-limit", str(64 << 20))
    group = cgroup_of(containerd.task_pid("limited"), "memory")
    assert (group / "memory.limit_in_bytes").read_text().strip() == str(64 << 20)
