"""Docker drives the runtime: what people type, and what they see."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import process_alive, run_command, wait_for
from support.docker import DOCKER_IMAGE as IMAGE
from support.facility import requires

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Output
    from support.docker import Docker

pytestmark = pytest.mark.engines

WAIT_FOR_TERM = "trap 'exit 5' TERM; echo ready; while :; do usleep 20000; done"


def run(docker: Docker, *words: str) -> Output:
    """`docker run --rm` without a network: options, then the command after `IMAGE`."""
    return docker.run("--rm", "--network", "none", *words)


def start(docker: Docker, name: str, script: str, *options: str) -> None:
    """A detached container that has printed `ready`."""
    docker.run("--detach", "--name", name, "--network", "none", *options, IMAGE, "sh", "-c", script).ok()
    wait_for(lambda: "ready" in docker.call("logs", name).ok().out, what=f"{name} printing ready")


def test_info_names_the_runtime(docker: Docker, runtime_binary: Path) -> None:
    """And its version, for which it takes what `--version` says behind `commit:`."""
    said = run_command([str(runtime_binary), "--version"], docker.base / "calls" / "version").ok().out
    commit = next(line.partition(": ")[2] for line in said.splitlines() if line.startswith("commit: "))
    done = docker.call("info", "--format", "{{.DefaultRuntime}} {{.RuncCommit.ID}}").ok()
    assert (done.out, done.err) == (f"tested {commit}\n", "")


def test_run_shows_output_and_errors(docker: Docker) -> None:
    done = run(docker, IMAGE, "sh", "-c", "echo to-out; echo to-err >&2").ok()
    assert (done.out, done.err) == ("to-out\n", "to-err\n")


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
def test_run_exit_codes(docker: Docker, command: tuple[str, ...], code: int) -> None:
    """Docker derives 126 and 127 from the words in the runtime's error."""
    run(docker, IMAGE, *command).expect(code)


def test_run_reads_standard_input(docker: Docker) -> None:
    argv = ("--rm", "--interactive", "--network", "none", IMAGE, "cat")
    assert docker.run(*argv, stdin=b"line\n").ok().out == "line\n"


def test_detached_container_can_be_entered_stopped_and_removed(docker: Docker) -> None:
    start(docker, "service", WAIT_FOR_TERM)
    assert docker.inspect("service", "{{.State.Status}}") == "running"
    assert docker.inspect("service", "{{.HostConfig.Runtime}}") == "tested"
    assert docker.call("exec", "service", "sh", "-c", "echo inside; cat /proc/1/comm").ok().out == "inside\nsh\n"
    docker.call("stop", "--time", "10", "service").ok()
    assert docker.inspect("service", "{{.State.ExitCode}}") == "5"
    docker.call("rm", "service").ok()
    assert docker.call("ps", "--all", "--quiet").ok().out == ""


@pytest.mark.parametrize(
    ("command", "code"), [(("sh", "-c", "exit 4"), 4), (("/etc/passwd",), 126), (("no-such-program",), 126)]
)
def test_exec_exit_codes(docker: Docker, command: tuple[str, ...], code: int) -> None:
    start(docker, "entered", WAIT_FOR_TERM)
    docker.call("exec", "entered", *command).expect(code)


def test_container_can_be_started_again(docker: Docker) -> None:
    docker.run("--name", "again", "--network", "none", IMAGE, "sh", "-c", "echo once >> /log; cat /log").ok()
    assert docker.call("start", "--attach", "again").ok().out == "once\nonce\n"


def test_kill_sends_the_signal(docker: Docker) -> None:
    start(docker, "killed", WAIT_FOR_TERM)
    pid = int(docker.inspect("killed", "{{.State.Pid}}"))
    docker.call("kill", "--signal", "KILL", "killed").ok()
    assert docker.call("wait", "killed").ok().out.strip() == "137"
    assert not process_alive(pid)


def test_logs_keep_both_streams(docker: Docker) -> None:
    docker.run("--name", "logged", "--network", "none", IMAGE, "sh", "-c", "echo first; echo second >&2").ok()
    done = docker.call("logs", "logged").ok()
    assert (done.out, done.err) == ("first\n", "second\n")


def test_terminal_has_its_size_and_passes_the_exit_code(docker: Docker) -> None:
    # The client sets the size after the start, so the first answers of stty may still be another.
    sized = "until stty size | grep -q '24 80'; do usleep 20000; done; echo sized"
    script = f"tty; {sized}; read line; echo got $line; exit 6"
    with docker.interactive("run", "--rm", "-it", "--network", "none", IMAGE, "sh", "-c", script) as program:
        program.terminal.read_until("sized", 30.0)
        program.terminal.send("typed\r")
        program.terminal.read_until("got typed", 30.0)
        assert program.wait(30.0) == 6
    assert "/dev/pts/0" in program.terminal.text


def test_exec_on_a_terminal(docker: Docker) -> None:
    start(docker, "console", WAIT_FOR_TERM)
    with docker.interactive("exec", "-it", "console", "sh", "-c", "tty; exit 7") as program:
        program.terminal.read_until("/dev/pts/", 30.0)
        assert program.wait(30.0) == 7


def test_processes_are_listed(docker: Docker) -> None:
    """Docker asks containerd's shim, which asks the runtime's `ps`, for the pids."""
    start(docker, "listed", "sleep 600 & echo ready; wait")
    lines = docker.call("top", "listed", "-o", "pid,comm").ok().out.splitlines()
    assert lines[1].split() == [docker.inspect("listed", "{{.State.Pid}}"), "sh"]
    assert [line.split()[1] for line in lines] == ["COMMAND", "sh", "sleep"]


def test_pause_freezes_until_unpause(docker: Docker) -> None:
    start(docker, "frozen", WAIT_FOR_TERM)
    docker.call("pause", "frozen").ok()
    assert docker.inspect("frozen", "{{.State.Status}}") == "paused"
    assert "is paused" in docker.call("exec", "frozen", "true").expect(1).err
    docker.call("unpause", "frozen").ok()
    assert docker.inspect("frozen", "{{.State.Status}}") == "running"
    assert docker.call("exec", "frozen", "echo", "awake").ok().out == "awake\n"


def test_paused_container_is_removed_by_force(docker: Docker) -> None:
    start(docker, "stiff", WAIT_FOR_TERM)
    pid = int(docker.inspect("stiff", "{{.State.Pid}}"))
    docker.call("pause", "stiff").ok()
    docker.call("rm", "--force", "stiff").ok()
    assert not process_alive(pid)


# A program of more memory than GREEDY allows; its own memory, so that nothing of it stays when it is killed.
EATER = ("dd", "if=/dev/zero", "of=/dev/null", "bs=60M", "count=1")
GREEDY = ("--memory", "16m", "--memory-swap", "16m")


def test_program_beyond_its_memory_limit_is_killed(docker: Docker) -> None:
    run(docker, *GREEDY, IMAGE, *EATER).expect(137)


def test_kill_for_memory_is_reported(docker: Docker) -> None:
    """The shim hears of it from the kernel, in the cgroup that the runtime made.

    Docker forgets an event that comes after the end of the container, and the kernel promises no order: the container
    has to outlive the program that is killed.
    """
    start(docker, "greedy", f"{' '.join(EATER)}; echo ready; exec sleep 600", *GREEDY)
    assert "Killed" in docker.call("logs", "greedy").ok().err
    events = ("events", "--since", "0", "--filter", "container=greedy", "--filter", "event=oom", "--until")
    wait_for(lambda: docker.call(*events, str(int(time.time()))).ok().out, what="the event")
    docker.call("kill", "greedy").ok()
    assert docker.call("wait", "greedy").ok().out.strip() == "137"
    assert docker.inspect("greedy", "{{.State.OOMKilled}}") == "true"


def test_read_only_root(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")
    options = ("--read-only", "--volume", f"{tmp_path}:/data:ro")
    done = run(docker, *options, IMAGE, "sh", "-c", "cat /data/file; touch /data/new; touch /new").expect(1)
    assert done.out == "content\n"
    assert done.err.count("Read-only file system") == 2
    assert not (tmp_path / "new").exists()


@requires(facility.cgroup_v1)
def test_limits_reach_the_cgroup(docker: Docker) -> None:
    files = ("memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
    command = ["cat", *(f"/sys/fs/cgroup/{file}" for file in files)]
    done = run(docker, "--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", IMAGE, *command).ok()
    assert done.out.split() == [str(64 << 20), "50", "50000", "100000"]


def test_pids_limit_refuses_one_more_process(docker: Docker) -> None:
    done = run(docker, "--pids-limit", "1", IMAGE, "sh", "-c", "sleep 0 & wait")
    assert "can't fork" in done.err


def test_default_seccomp_profile_is_applied(docker: Docker) -> None:
    """The profile refuses unshare(2) without CAP_SYS_ADMIN, even for a user namespace, where the kernel wants none."""
    script = ("sh", "-c", "grep ^Seccomp: /proc/self/status; unshare -U true")
    done = run(docker, IMAGE, *script).expect(1)
    assert done.out.split() == ["Seccomp:", "2"]
    assert "Operation not permitted" in done.err
    assert run(docker, "--security-opt", "seccomp=unconfined", IMAGE, *script).ok().out.split() == ["Seccomp:", "0"]


def test_capabilities_are_the_usual_ones(docker: Docker) -> None:
    """The 14 that Docker leaves, or none."""
    script = ("sh", "-c", "set -- $(grep CapEff /proc/self/status); echo $2")
    assert run(docker, IMAGE, *script).ok().out.strip() == "00000000a80425fb"
    assert run(docker, "--cap-drop", "ALL", IMAGE, *script).ok().out.strip() == "0000000000000000"


def test_user_and_working_directory(docker: Docker) -> None:
    done = run(docker, "--user", "1000:1001", "--workdir", "/srv", IMAGE, "sh", "-c", "echo $(id -u):$(id -g) $(pwd)")
    assert done.ok().out == "1000:1001 /srv\n"


def test_network_none_has_only_the_loopback(docker: Docker) -> None:
    names = run(docker, IMAGE, "ls", "/sys/class/net").ok().out.split()
    # Kernels with tunnel modules put their fallback devices into every namespace; none of them reaches the host's.
    assert "lo" in names
    assert "eth0" not in names


def test_network_host_is_the_hosts(docker: Docker) -> None:
    done = docker.run("--rm", "--network", "host", IMAGE, "readlink", "/proc/self/ns/net").ok()
    assert done.out.strip() == os.readlink("/proc/self/ns/net")


def test_init_process_of_dockers_own(docker: Docker) -> None:
    """`--init` bind-mounts a program of the host."""
    assert run(docker, "--init", IMAGE, "cat", "/proc/1/comm").ok().out == "docker-init\n"


def test_version_is_read_from_the_runtime(docker: Docker, runtime_binary: Path) -> None:
    own = run_command([str(runtime_binary), "--version"], docker.base / "version").ok().out.splitlines()[0].split()[-1]
    template = "{{range .Server.Components}}{{.Name}} {{.Version}}\n{{end}}"
    components = docker.call("version", "--format", template).ok().out.splitlines()
    assert f"tested {own}" in components
