"""Docker's daemon ends or is killed while containers run or are about to; and a daemon with a user namespace.

The daemons have what docs/engines/docker.md tells people to write.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import process_alive, wait_for
from support.docker import DOCKER_IMAGE as IMAGE
from support.docker import Docker
from support.engines import TIMEOUT, private_directory, slow_runtime
from support.facility import requires
from support.host import HostSnapshot
from support.network import Space
from support.pages import INSTALLED, docker_settings, engine_call, fenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pages import Block

pytestmark = pytest.mark.engines

DEADLINE = 30.0
SERVICE = "trap 'echo caught' USR1; trap 'exit 5' TERM; echo ready; while :; do usleep 20000; done"


def start(docker: Docker, name: str, script: str = SERVICE) -> int:
    """A detached container that has printed `ready`; the pid of its init."""
    docker.run("--detach", "--network", "none", "--name", name, IMAGE, "sh", "-c", script).ok()
    wait_for(lambda: "ready" in logged(docker, name), DEADLINE, f"{name} printing ready")
    return int(docker.inspect(name, "{{.State.Pid}}"))


def logged(docker: Docker, name: str) -> str:
    """What a container has printed."""
    return docker.call("logs", name).ok().out


def settle(docker: Docker, **settings: object) -> None:
    """Change daemon.json; the next daemon reads it."""
    config = docker.base / "daemon.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | settings))


def tasks(docker: Docker, *words: str) -> str:
    """`ctr tasks` on what containerd has of Docker's."""
    address = str(docker.base / "containerd" / "grpc")
    return docker.execute(["ctr", "--address", address, "--namespace", docker.cgroup, "tasks", *words]).ok().out


@pytest.fixture(scope="module")
def docker_engine(runtime_binary: Path, rootfs: Path) -> Iterator[Docker]:
    """A Docker whose daemon may end, with a runtime that can be held."""
    facility.need(facility.docker)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        runtime = slow_runtime(base, runtime_binary)
        settings = docker_settings("runtimes") | docker_settings("live-restore")
        assert settings["runtimes"] == {"ocirun": {"path": INSTALLED}}
        settings["runtimes"] = {"ocirun": {"path": str(runtime)}}
        engine = Docker(base, runtime, rootfs, settings=settings)
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture
def docker(docker_engine: Docker) -> Iterator[Docker]:
    """The daemon is another one after each test, so that the host is compared at the end of all."""
    yield docker_engine
    docker_engine.remove_containers()


def test_runtime_is_the_default_one_and_has_a_name(docker: Docker) -> None:
    for name, option in (("default", ()), ("named", ("--runtime", "ocirun"))):
        docker.run("--name", name, "--network", "none", *option, IMAGE, "true").ok()
        assert docker.inspect(name, "{{.HostConfig.Runtime}}") == "ocirun"


@pytest.mark.executes("README.md", 4)
def test_readme_s_line(docker: Docker, runtime_binary: Path, blocks: list[Block]) -> None:
    _program, *words = engine_call(blocks[0], runtime_binary, IMAGE, "--network", "none")
    assert docker.call(*words).ok().out == "hello\n"


def test_what_is_refused(docker: Docker) -> None:
    assert "incompatible with swarm" in docker.call("swarm", "init").expect(1).err
    assert "experimental" in docker.call("checkpoint", "create", "no-such-container", "first").expect(1).err


@requires(facility.docker_compose)
def test_compose_chooses_the_runtime(docker: Docker, tmp_path: Path) -> None:
    (block,) = fenced("docker.md", "yaml")
    here = block.replace("image: nginx\n", f"image: {IMAGE}\n    network_mode: none\n    command: sleep 600\n")
    (tmp_path / "compose.yml").write_text(here)
    argv = [facility.COMPOSE, "--host", f"unix://{docker.base}/socket", "--file", str(tmp_path / "compose.yml")]
    docker.execute([*argv, "--project-name", "page", "up", "--detach"]).ok()
    assert docker.inspect("page_web_1", "{{.HostConfig.Runtime}} {{.State.Status}}") == "ocirun running"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_live_restore(docker: Docker, how: str) -> None:
    """Containers outlive the daemon, and the next one has them in hand; one that ends meanwhile is known to have."""
    settle(docker, **{"live-restore": True})
    pid, ended = start(docker, "kept"), start(docker, "ended")
    getattr(docker.daemon, how)()
    os.kill(ended, 15)
    wait_for(lambda: not process_alive(ended), DEADLINE, "the end of one container")
    assert process_alive(pid)
    docker.start_daemon()
    assert docker.inspect("kept", "{{.State.Pid}} {{.State.Status}} {{.RestartCount}}") == f"{pid} running 0"
    assert docker.inspect("ended", "{{.State.Status}}") == "exited"
    assert docker.call("exec", "kept", "cat", "/proc/1/comm").ok().out == "sh\n"
    docker.call("kill", "--signal", "USR1", "kept").ok()
    wait_for(lambda: logged(docker, "kept") == "ready\ncaught\n", DEADLINE, "its output reaching the new daemon")
    docker.call("stop", "--time", "60", "kept").ok()
    assert docker.inspect("kept", "{{.State.ExitCode}}") == "5"
    docker.call("start", "ended").ok()


@pytest.mark.parametrize(("how", "lives"), [("stop", False), ("kill", True)])
def test_without_live_restore(docker: Docker, how: str, lives: bool) -> None:
    """The daemon stops its containers before it ends, or the next one does."""
    settle(docker, **{"live-restore": False})
    docker.daemon.stop()
    docker.start_daemon()
    pid = start(docker, "service")
    getattr(docker.daemon, how)()
    assert process_alive(pid) is lives
    docker.start_daemon()
    assert docker.inspect("service", "{{.State.Status}} {{.State.ExitCode}}") == "exited 5"
    assert not process_alive(pid)
    assert tasks(docker, "list", "--quiet") == ""
    docker.call("start", "service").ok()
    docker.call("exec", "service", "true").ok()


@pytest.mark.parametrize("command", ["create", "start"])
def test_daemon_is_killed_in_the_middle_of_a_run(docker: Docker, command: str) -> None:
    """While the runtime is in `create`, which then fails, or in `start`, which does not.

    Docker 20.10 does not look for containers that it has not seen running: in the second case the next daemon takes
    the container for a created one, cannot start it, and would forget it and leave it running at `docker rm`. With any
    runtime. `ctr` ends it.
    """
    called, hold = (docker.base / f"{word}-{command}" for word in ("called", "hold"))
    called.unlink(missing_ok=True)
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        words = ("--detach", "--network", "none", "--name", "half", IMAGE, "sleep", "600")
        client = pool.submit(docker.run, *words)
        wait_for(called.exists, DEADLINE, "the call of the runtime")
        docker.daemon.kill()
        hold.unlink()
        assert client.result(TIMEOUT).code > 0
    docker.start_daemon()
    assert docker.inspect("half", "{{.State.Status}}") == "created"
    if command == "start":
        identity = docker.inspect("half", "{{.Id}}")
        wait_for(lambda: "RUNNING" in tasks(docker, "list"), DEADLINE, "the task")
        assert "id already in use" in docker.call("start", "half").expect(1).err
        tasks(docker, "delete", "--force", identity)
    wait_for(lambda: docker.call("start", "half").code == 0, DEADLINE, "the container's start")
    docker.call("exec", "half", "true").ok()


@pytest.fixture(scope="module")
def mapped(runtime_binary: Path, rootfs: Path) -> Iterator[Docker]:
    """A Docker that maps every container's root; it makes the user for that in an /etc of its own."""
    facility.need(facility.docker, facility.user_namespace)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        base.chmod(0o711)
        shutil.copytree("/etc", base / "etc", symlinks=True)
        with closing(Space("mnt")) as space:
            inside = ["nsenter", f"--mount={space.path}"]
            subprocess.run([*inside, "mount", "--bind", base / "etc", "/etc"], check=True, timeout=TIMEOUT)
            engine = Docker(base, runtime_binary, rootfs, settings=docker_settings("userns-remap"), prefix=inside)
            yield engine
            engine.close()
        before.assert_unchanged()


def test_root_is_mapped(mapped: Docker) -> None:
    """For the program and those that enter, for files of the image, of the container and of volumes."""
    first = int((mapped.base / "etc" / "subuid").read_text().split(":")[1])
    (mapped.base / "theirs").write_text("content\n")
    (mapped.base / "theirs").chmod(0o600)
    volumes = ("--volume", "named:/data", "--volume", f"{mapped.base}/theirs:/theirs")
    mapped.run("--detach", "--network", "none", *volumes, "--name", "mapped", IMAGE, "sleep", "600").ok()
    pid = int(mapped.inspect("mapped", "{{.State.Pid}}"))
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(first), "65536"]
    assert os.stat(f"/proc/{pid}").st_uid == first
    script = "id -u; stat -c %u /bin/busybox /proc/1 /theirs; touch /new /data/new; cat /theirs || echo refused"
    said = mapped.call("exec", "mapped", "sh", "-c", script).ok().out.split()
    assert said == ["0", "0", "0", "65534", "refused"]
    mapped.call("exec", "--user", "1000", "mapped", "sh", "-c", "id -u; touch /tmp/new").ok()
    found = (os.stat(f"/proc/{pid}/root/{name}").st_uid for name in ("new", "data/new", "tmp/new"))
    assert list(found) == [first, first, first + 1000]
    mapped.call("stop", "--time", "0", "mapped").ok()
    mapped.call("rm", "--volumes", "mapped").ok()


def test_a_container_can_have_the_hosts_ids(mapped: Docker) -> None:
    done = mapped.run("--rm", "--network", "none", "--userns", "host", IMAGE, "cat", "/proc/self/uid_map").ok()
    assert done.out.split() == ["0", "0", str((1 << 32) - 1)]
