"""Docker: images from the first layer to the rollback, containers from their restarts to their end.

Not here: statistics (`test_stats.py`), update (`test_update.py`), pause and top (`test_docker.py`).
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import wait_for
from support.docker import DOCKER_IMAGE as IMAGE
from support.facility import requires
from support.host import cgroup_mountpoints

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.docker import Docker

pytestmark = pytest.mark.engines

NOBODY = "65534"
WAITING = ("sleep", "600")
WAIT_FOR_TERM = "trap 'exit 5' TERM; echo ready; while :; do usleep 20000; done"
DOCKERFILE = """\
FROM scratch
ADD rootfs.tar /
ARG VERSION
RUN echo $VERSION >/srv/version
RUN mkdir /srv/app && cat /srv/version /srv/version >/srv/app/twice
WORKDIR /srv/app
USER nobody
RUN id -u >/tmp/uid
STOPSIGNAL USR1
CMD ["sh", "-c", "cat /srv/version twice /tmp/uid"]
"""
# The root filesystem, three RUN, and WORKDIR where the builder makes a layer of it.
LAYERS = (4, 5)


def start(docker: Docker, name: str, *words: str) -> int:
    """A detached container; `words` are options, IMAGE and the command. The pid of its init."""
    docker.run("--detach", "--network", "none", "--name", name, *words).ok()
    return int(docker.inspect(name, "{{.State.Pid}}"))


def waiting(docker: Docker, name: str, *options: str) -> int:
    """A detached container that only waits."""
    return start(docker, name, *options, IMAGE, *WAITING)


def state(docker: Docker, name: str) -> str:
    """created, running, paused, restarting, exited or dead."""
    return docker.inspect(name, "{{.State.Status}}")


def tar_of(name: str, content: bytes) -> bytes:
    """An archive of one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(params=["0", "1"], ids=["classic", "buildkit"])
def builder(request: pytest.FixtureRequest, docker: Docker, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that chooses a builder; tmp_path is the context."""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    os.link(docker.base / "rootfs.tar", tmp_path / "rootfs.tar")
    yield {"DOCKER_BUILDKIT": request.param}
    docker.remove_containers()
    docker.call("builder", "prune", "--all", "--force").ok()
    # BuildKit's own cgroup, which it leaves in each hierarchy whatever the runtime.
    for point in cgroup_mountpoints():
        group = point / docker.cgroup / "buildkit"
        if group.exists():
            group.rmdir()


def test_build_tag_and_roll_back(docker: Docker, builder: dict[str, str], tmp_path: Path) -> None:
    kept = docker.base / "buildkit"
    kept.unlink(missing_ok=True)
    for version in ("1", "2"):
        words = ("--network", "none", "--build-arg", f"VERSION=v{version}", "--tag", f"app:{version}")
        docker.call("build", *words, str(tmp_path), env=builder).ok()
    assert len(docker.inspect("app:1", "{{range .RootFS.Layers}}{{.}} {{end}}").split()) in LAYERS
    # The program that stands in for runc ran the three steps of each image.
    runs = kept.read_text().count(" run ") if kept.exists() else 0
    assert runs == (6 if builder["DOCKER_BUILDKIT"] == "1" else 0)
    for version in ("1", "2", "1"):
        docker.call("tag", f"app:{version}", "app:current").ok()
        done = docker.run("--rm", "--network", "none", "app:current").ok()
        assert done.out.split() == [f"v{version}"] * 3 + [NOBODY]


def test_build_fails_as_its_step_does(docker: Docker, builder: dict[str, str], tmp_path: Path) -> None:
    with (tmp_path / "Dockerfile").open("a") as file:
        file.write("RUN exit 7\n")
    done = docker.call("build", "--network", "none", str(tmp_path), env=builder).expect(
        7 if builder["DOCKER_BUILDKIT"] == "0" else 1
    )
    assert "code: 7" in done.err


def test_signal_of_the_image_stops(docker: Docker, builder: dict[str, str], tmp_path: Path) -> None:
    docker.call("build", "--network", "none", "--tag", "app:1", str(tmp_path), env=builder).ok()
    script = "trap 'exit 9' USR1; trap '' TERM; echo ready; while :; do usleep 20000; done"
    start(docker, "asked", "app:1", "sh", "-c", script)
    wait_for(lambda: "ready" in docker.call("logs", "asked").ok().out, what="the trap being set")
    docker.call("stop", "--time", "60", "asked").ok()
    assert docker.inspect("asked", "{{.State.ExitCode}}") == "9"


@pytest.mark.parametrize(
    ("options", "script", "said"),
    [
        ("--user nobody", "id -u", NOBODY),
        ("--user 1000:1001", "echo $(id -u) $(id -g)", "1000 1001"),
        ("--env A=1 --env B=two", "echo $A $B", "1 two"),
        ("--workdir /srv", "pwd", "/srv"),
        ("", "cat /proc/self/cgroup | grep -c pids", "1"),
    ],
    ids=["user", "uid-gid", "env", "workdir", "cgroup"],
)
def test_exec_with(docker: Docker, options: str, script: str, said: str) -> None:
    waiting(docker, "entered")
    assert docker.call("exec", *options.split(), "entered", "sh", "-c", script).ok().out.strip() == said


def test_exec_privileged(docker: Docker) -> None:
    """runc fails where the daemon lacks a capability that Docker knows, as without CAP_SYS_RESOURCE."""
    waiting(docker, "entered")
    script = "grep CapEff /proc/self/status"
    plain, privileged = (
        int(docker.call("exec", *options, "entered", "sh", "-c", script).ok().out.split()[1], 16)
        for options in ([], ["--privileged"])
    )
    assert plain < privileged
    assert privileged >> 21 & 1, "CAP_SYS_ADMIN"


def test_exec_detached_and_with_input(docker: Docker) -> None:
    waiting(docker, "entered")
    docker.call("exec", "--detach", "entered", "sh", "-c", "echo done > /run/new; mv /run/new /run/file").ok()
    wait_for(lambda: docker.call("exec", "entered", "cat", "/run/file").out == "done\n", what="the file")
    assert docker.call("exec", "--interactive", "entered", "cat", stdin=b"typed\n").ok().out == "typed\n"


def test_stop_kills_after_the_timeout(docker: Docker) -> None:
    start(docker, "stubborn", IMAGE, "sh", "-c", "trap '' TERM; echo ready; while :; do usleep 20000; done")
    wait_for(lambda: "ready" in docker.call("logs", "stubborn").ok().out, what="the trap being set")
    docker.call("stop", "--time", "1", "stubborn").ok()
    assert docker.inspect("stubborn", "{{.State.ExitCode}}") == "137"


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "10"])
def test_kill_with_a_signal_that_is_caught(docker: Docker, name: str) -> None:
    script = "trap 'echo caught' USR1; echo ready; while :; do usleep 20000; done"
    start(docker, "hearing", IMAGE, "sh", "-c", script)
    wait_for(lambda: "ready" in docker.call("logs", "hearing").ok().out, what="the trap being set")
    docker.call("kill", "--signal", name, "hearing").ok()
    wait_for(lambda: "caught" in docker.call("logs", "hearing").ok().out, what="the signal's coming")
    assert state(docker, "hearing") == "running"


def test_logs_are_followed_to_the_end(docker: Docker, tmp_path: Path) -> None:
    start(docker, "talking", IMAGE, "sh", "-c", "echo first; until test -e /go; do usleep 20000; done; echo last")
    followed = tmp_path / "followed"
    with (
        followed.open("wb") as file,
        subprocess.Popen(
            docker.argv("logs", "--follow", "talking"), stdin=subprocess.DEVNULL, stdout=file, env=docker.env
        ) as follower,
    ):
        try:
            wait_for(lambda: followed.read_text() == "first\n", what="the first line")
            docker.call("exec", "talking", "touch", "/go").ok()
            assert follower.wait(30.0) == 0
        finally:
            follower.kill()
    assert followed.read_text() == "first\nlast\n"
    assert docker.call("logs", "--tail", "1", "talking").ok().out == "last\n"


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_copy_both_ways(docker: Docker, tmp_path: Path, *, stopped: bool) -> None:
    (tmp_path / "there").write_text("content\n")
    start(docker, "vessel", "--tmpfs", "/run", IMAGE, *WAITING)
    if stopped:
        docker.call("kill", "vessel").ok()
    docker.call("cp", str(tmp_path / "there"), "vessel:/srv/file").ok()
    docker.call("cp", "-", "vessel:/srv", stdin=tar_of("from-tar", b"tarred\n")).ok()
    docker.call("cp", "vessel:/srv", str(tmp_path / "back")).ok()
    assert {path.name: path.read_text() for path in (tmp_path / "back").iterdir()} == {
        "file": "content\n",
        "from-tar": "tarred\n",
    }
    if not stopped:
        assert docker.call("exec", "vessel", "cat", "/srv/file").ok().out == "content\n"


def test_restarts_on_failure_as_often_as_told(docker: Docker) -> None:
    start(docker, "failing", "--restart", "on-failure:2", IMAGE, "sh", "-c", "echo run; exit 3")
    wait_for(lambda: docker.inspect("failing", "{{.RestartCount}} {{.State.Status}}") == "2 exited", 20.0, "the end")
    assert docker.inspect("failing", "{{.State.ExitCode}}") == "3"
    assert docker.call("logs", "failing").ok().out == "run\n" * 3


def test_restarts_always_when_its_init_is_killed(docker: Docker) -> None:
    """Until Docker itself stops it."""
    first = waiting(docker, "steady", "--restart", "always")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: docker.inspect("steady", "{{.RestartCount}} {{.State.Status}}") == "1 running", 20.0, "a restart")
    assert int(docker.inspect("steady", "{{.State.Pid}}")) != first
    docker.call("exec", "steady", "true").ok()
    docker.call("kill", "steady").ok()
    docker.call("wait", "steady").ok()
    assert docker.inspect("steady", "{{.RestartCount}} {{.State.Status}}") == "1 exited"


def test_restart_command(docker: Docker) -> None:
    first = waiting(docker, "again")
    docker.call("restart", "--time", "0", "again").ok()
    assert int(docker.inspect("again", "{{.State.Pid}}")) != first
    assert state(docker, "again") == "running"


def test_health_is_checked_by_exec(docker: Docker) -> None:
    options = ("--health-cmd", "test -e /well", "--health-interval", "100ms", "--health-retries", "2")
    waiting(docker, "patient", *options)

    def becomes(health: str) -> None:
        wait_for(lambda: docker.inspect("patient", "{{.State.Health.Status}}") == health, 20.0, health)

    becomes("unhealthy")
    docker.call("exec", "patient", "touch", "/well").ok()
    becomes("healthy")
    docker.call("exec", "patient", "rm", "/well").ok()
    becomes("unhealthy")


def test_wait_gives_the_exit_code(docker: Docker) -> None:
    start(docker, "first", IMAGE, "sh", "-c", "exit 3")
    start(docker, "second", IMAGE, "sh", "-c", "usleep 200000; exit 4")
    assert docker.call("wait", "first", "second").ok().out.split() == ["3", "4"]


def test_rename_diff_and_commit(docker: Docker) -> None:
    waiting(docker, "before")
    docker.call("rename", "before", "after").ok()
    docker.call("exec", "after", "sh", "-c", "echo changed > /srv/file").ok()
    assert "A /srv/file" in docker.call("diff", "after").ok().out.splitlines()
    docker.call("commit", "--change", "CMD cat /srv/file", "after", "committed:1").ok()
    assert docker.run("--rm", "--network", "none", "committed:1").ok().out == "changed\n"
    docker.call("rmi", "committed:1").ok()


def test_attach(docker: Docker) -> None:
    start(docker, "console", "--interactive", "--tty", IMAGE, "sh", "-c", "read line; echo got $line; exit 6")
    with docker.interactive("attach", "console") as program:
        program.terminal.send("typed\r")
        program.terminal.read_until("got typed", 30.0)
        assert program.wait(30.0) == 6


def test_events_tell_the_life(docker: Docker) -> None:
    """In this order, whatever else Docker tells between them."""
    waiting(docker, "watched")
    for words in (("pause",), ("unpause",), ("exec", "watched", "true"), ("kill",), ("wait",), ("rm",)):
        docker.call(*words, *([] if "watched" in words else ["watched"])).ok()
    events = ("events", "--since", "0", "--filter", "container=watched", "--format", "{{.Action}}", "--until")

    def told() -> list[str]:
        return docker.call(*events, str(int(time.time()))).ok().out.splitlines()

    wait_for(lambda: "destroy" in told(), what="the last event")
    expected = ["create", "start", "pause", "unpause", "exec_create: true ", "exec_start: true ", "kill", "destroy"]
    found = told()
    assert [event for event in found if event in expected] == expected
    assert {"die", "exec_die"} <= set(found)


COMPOSE = """\
version: "2.4"
services:
  web:
    image: busybox:test
    network_mode: none
    command: ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do usleep 20000; done"]
    mem_limit: 32m
    cap_drop: [ALL]
    volumes: ["kept:/data"]
    healthcheck: {test: ["CMD", "test", "-d", "/data"], interval: 100ms}
  later:
    image: busybox:test
    network_mode: none
    command: ["echo", "later"]
    depends_on: {web: {condition: service_healthy}}
volumes:
  kept: {}
"""


@requires(facility.docker_compose)
def test_compose(docker: Docker, tmp_path: Path) -> None:
    """Services that depend on each other's health, scaled, entered, taken down."""
    (tmp_path / "compose.yml").write_text(COMPOSE)
    argv = [facility.COMPOSE, "--host", f"unix://{docker.base}/socket", "--no-ansi"]
    argv += ["--project-name", "project", "--file", str(tmp_path / "compose.yml")]

    def compose(*words: str) -> str:
        return docker.execute([*argv, *words]).ok().out

    compose("up", "--detach", "--scale", "web=2")
    webs = compose("ps", "--quiet", "web").split()
    assert [docker.inspect(each, "{{.HostConfig.Runtime}} {{.State.Health.Status}}") for each in webs] == [
        "tested healthy"
    ] * 2
    assert compose("exec", "-T", "web", "grep", "CapEff", "/proc/self/status").split()[1] == "0" * 16
    compose("restart", "web")
    assert "later" in compose("logs", "later")
    compose("down", "--volumes", "--timeout", "10")
    assert docker.call("ps", "--all", "--quiet").ok().out == docker.call("volume", "ls", "--quiet").ok().out == ""
