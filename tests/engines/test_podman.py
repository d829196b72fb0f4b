"""Podman drives the runtime: what people type, and what they see."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import wait_for
from support.engines import PODMAN_IMAGE as IMAGE
from support.engines import Podman
from support.facility import requires

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engines

WAIT_FOR_TERM = "trap 'exit 5' TERM; echo ready; while :; do usleep 20000; done"


def start(podman: Podman, name: str, script: str, *options: str) -> None:
    """A detached container that has printed `ready`."""
    podman.run("--detach", "--name", name, "--network", "none", *options, IMAGE, "sh", "-c", script).ok()
    wait_for(lambda: "ready" in podman.call("logs", name).ok().out, what=f"{name} printing ready")


def test_run_shows_output_and_errors(podman: Podman) -> None:
    done = podman.run("--rm", "--network", "none", IMAGE, "sh", "-c", "echo to-out; echo to-err >&2").ok()
    assert done.out == "to-out\n"
    assert done.err == "to-err\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 3"), 3),
        (("/etc/passwd",), 126),
        (("no-such-program",), 127),
        (("/no/such/program",), 127),
    ],
    ids=lambda value: value if isinstance(value, int) else "_".join(value).replace("/", "."),
)
def test_run_exit_codes(podman: Podman, command: tuple[str, ...], code: int) -> None:
    """Podman derives 126 and 127 from the words in the runtime's error."""
    podman.run("--rm", "--network", "none", IMAGE, *command).expect(code)


def test_run_reads_standard_input(podman: Podman) -> None:
    done = podman.run("--rm", "--interactive", "--network", "none", IMAGE, "cat", stdin=b"line\n").ok()
    assert done.out == "line\n"


def test_detached_container_can_be_entered_stopped_and_removed(podman: Podman) -> None:
    start(podman, "service", WAIT_FOR_TERM)
    assert podman.inspect("service", "{{.State.Status}}") == "running"
    assert podman.call("exec", "service", "sh", "-c", "echo inside; cat /proc/1/comm").ok().out == "inside\nsh\n"
    podman.call("stop", "--time", "10", "service").ok()
    assert podman.inspect("service", "{{.State.ExitCode}}") == "5"
    podman.call("rm", "service").ok()
    assert podman.call("ps", "--all", "--quiet").ok().out == ""


@pytest.mark.parametrize(
    ("command", "code"), [(("sh", "-c", "exit 4"), 4), (("/etc/passwd",), 126), (("no-such-program",), 127)]
)
def test_exec_exit_codes(podman: Podman, command: tuple[str, ...], code: int) -> None:
    start(podman, "entered", WAIT_FOR_TERM)
    podman.call("exec", "entered", *command).expect(code)


def test_detached_exec_runs_in_the_container(podman: Podman) -> None:
    start(podman, "background", WAIT_FOR_TERM)
    podman.call("exec", "--detach", "background", "sh", "-c", "echo done > /tmp/mark").ok()
    wait_for(lambda: podman.call("exec", "background", "cat", "/tmp/mark").out == "done\n", what="the mark of the exec")


def test_container_can_be_started_again(podman: Podman) -> None:
    podman.run("--name", "again", "--network", "none", IMAGE, "sh", "-c", "echo once >> /log; cat /log").ok()
    assert podman.call("start", "--attach", "again").ok().out == "once\nonce\n"


def test_pause_freezes_until_unpause(podman: Podman) -> None:
    start(podman, "frozen", WAIT_FOR_TERM)
    podman.call("pause", "frozen").ok()
    assert podman.inspect("frozen", "{{.State.Status}}") == "paused"
    podman.call("unpause", "frozen").ok()
    assert podman.call("exec", "frozen", "echo", "awake").ok().out == "awake\n"


def test_kill_sends_the_signal(podman: Podman) -> None:
    start(podman, "killed", WAIT_FOR_TERM)
    podman.call("kill", "--signal", "KILL", "killed").ok()
    assert podman.call("wait", "killed").ok().out.strip() == "137"


def test_logs_keep_both_streams(podman: Podman) -> None:
    podman.run("--name", "logged", "--network", "none", IMAGE, "sh", "-c", "echo first; echo second >&2").ok()
    done = podman.call("logs", "logged").ok()
    assert (done.out, done.err) == ("first\n", "second\n")


def test_network_none_has_only_the_loopback(podman: Podman) -> None:
    done = podman.run("--rm", "--network", "none", IMAGE, "ls", "/sys/class/net").ok()
    # Kernels with tunnel modules put their fallback devices into every namespace; none of them reaches the host's.
    assert "lo" in done.out.split()
    assert "eth0" not in done.out.split()


def test_network_host_is_the_hosts(podman: Podman) -> None:
    done = podman.run("--rm", "--network", "host", IMAGE, "readlink", "/proc/self/ns/net").ok()
    assert done.out.strip() == os.readlink("/proc/self/ns/net")


def test_terminal_has_its_size_and_passes_the_exit_code(podman: Podman) -> None:
    script = "tty; stty size; read line; echo got $line; exit 6"
    with podman.interactive("--rm", "-it", "--network", "none", IMAGE, "sh", "-c", script) as program:
        program.terminal.read_until("24 80", 30.0)
        program.terminal.send("typed\r")
        program.terminal.read_until("got typed", 30.0)
        assert program.wait(30.0) == 6
    assert "/dev/pts/0" in program.terminal.text


def test_environment_without_path(podman: Podman) -> None:
    """Neither the engine nor the container has a PATH: absolute programs run, and nothing is added."""
    own = {name: value for name, value in podman.env.items() if name != "PATH"}
    done = podman.run("--rm", "--unsetenv-all", "--network", "none", IMAGE, "/bin/env", env=own).ok()
    assert not [line for line in done.out.splitlines() if line.startswith(("PATH=", "CONTAINERS_CONF="))]


def test_user_and_working_directory(podman: Podman) -> None:
    script = "echo $(id -u):$(id -g) $(pwd)"
    done = podman.run(
        "--rm", "--user", "1000:1001", "--workdir", "/srv", "--network", "none", IMAGE, "sh", "-c", script
    )
    assert done.ok().out == "1000:1001 /srv\n"


def test_read_only_volume_and_root(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")
    script = "cat /data/file; touch /data/new; touch /new"
    options = ("--rm", "--read-only", "--volume", f"{tmp_path}:/data:ro", "--network", "none")
    done = podman.run(*options, IMAGE, "sh", "-c", script).expect(1)
    assert done.out == "content\n"
    assert done.err.count("Read-only file system") == 2
    assert not (tmp_path / "new").exists()


@requires(facility.cgroup_v1)
def test_limits_reach_the_cgroup(podman: Podman) -> None:
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max"
    options = ("--rm", "--memory", "64m", "--pids-limit", "50", "--network", "none")
    assert podman.run(*options, IMAGE, "sh", "-c", script).ok().out.split() == [str(64 << 20), "50"]


@requires(facility.cgroup_v1)
def test_update_changes_the_limits_of_a_running_container(podman: Podman) -> None:
    start(podman, "service", WAIT_FOR_TERM, "--memory", "64m", "--memory-swap", "64m", "--pids-limit", "30")
    podman.call("update", "--memory", "48m", "--cpu-shares", "300", "--cpus", "0.5", "service").ok()
    files = ("memory/memory.limit_in_bytes", "cpu/cpu.shares", "cpu/cpu.cfs_quota_us", "pids/pids.max")
    shown = podman.call("exec", "service", "cat", *(f"/sys/fs/cgroup/{file}" for file in files)).ok().out.split()
    assert shown == [str(48 << 20), "300", "50000", "30"]


@pytest.mark.not_with("runc", "1.1 has other words")
@requires(facility.cgroup_v1)
def test_refused_update_changes_nothing(podman: Podman) -> None:
    start(podman, "service", WAIT_FOR_TERM, "--cpu-shares", "300")
    refused = podman.call("update", "--cpu-shares", "200", "--cpuset-cpus", "4000", "service").expect(125)
    assert "/cpu/cpus: write 4000 to cpuset.cpus" in refused.err
    assert podman.call("exec", "service", "cat", "/sys/fs/cgroup/cpu/cpu.shares").ok().out == "300\n"
