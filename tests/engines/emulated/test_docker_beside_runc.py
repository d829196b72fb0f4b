"""Docker's own AppArmor profile, and checkpoints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command import wait_for
from support.docker import DOCKER_IMAGE as IMAGE
from support.docker import Docker
from support.engines import private_directory
from support.host import HostSnapshot
from support.pages import docker_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 600.0
CONFINED = "docker-default (enforce)\n"
MOUNT = ("mount", "-t", "tmpfs", "none", "/tmp")
CURRENT = ("cat", "/proc/self/attr/current")
MOUNTING = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
# containerd's garbage collection waits at first, and then so long that its part of the time stays below this.
WHEN_ASKED = """
[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "24h"
  pause_threshold = 0.0000001
"""
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


@pytest.fixture(scope="module")
def docker(runtime_binary: Path, rootfs: Path) -> Iterator[Docker]:
    """Docker with ocirun and runc, which shows what is Docker's own doing; `--runtime` chooses."""
    runtimes = {"runtimes": {"tested": {"path": str(runtime_binary)}, "beside": {"path": "/usr/sbin/runc"}}}
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Docker(
            base, runtime_binary, rootfs, settings=docker_settings("experimental") | runtimes, containerd=WHEN_ASKED
        )
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture(params=["beside", "tested"])
def chosen(request: pytest.FixtureRequest, docker: Docker) -> Iterator[tuple[str, ...]]:
    """Options of `docker run`; the containers are removed afterwards."""
    yield ("--network", "none", "--runtime", request.param)
    docker.remove_containers()


def counted(docker: Docker) -> int:
    """What the counting container has come to."""
    return int("0" + docker.call("logs", "--tail", "1", "counting").ok().out.strip())


def collect_garbage(docker: Docker) -> None:
    """Have containerd forget at once what nobody refers to."""
    address = str(docker.base / "containerd" / "grpc")
    leases = ["ctr", "--address", address, "--namespace", docker.cgroup, "leases"]
    docker.execute([*leases, "create", "--id", "short"]).ok()
    docker.execute([*leases, "delete", "--sync", "short"]).ok()


def test_start_from_a_checkpoint(docker: Docker, chosen: tuple[str, ...]) -> None:
    """Docker 20.10 refuses as long as containerd keeps the copy that `checkpoint create` has left (moby 42900)."""
    docker.run("--detach", *chosen, "--name", "counting", IMAGE, "sh", "-c", COUNTING).ok()
    wait_for(lambda: counted(docker) > 2, SECONDS)
    docker.call("checkpoint", "create", "counting", "first").ok()
    wait_for(lambda: docker.inspect("counting", "{{.State.Status}}") == "exited", SECONDS)
    reached = counted(docker)
    start = ("start", "--checkpoint", "first", "counting")
    assert re.search(r"content sha256:\w+: already exists", docker.call(*start).expect(1).err)
    collect_garbage(docker)
    docker.call(*start).ok()
    wait_for(lambda: counted(docker) > reached + 2, SECONDS)
    lines = docker.call("logs", "counting").ok().out.split()
    assert lines == [str(number + 1) for number in range(len(lines))], "no number is missing or said twice"


def test_default_profile_confines(docker: Docker, chosen: tuple[str, ...]) -> None:
    """The container and `exec`; and it has a rule against mount(2), which the capability alone would allow."""
    docker.run("--detach", *chosen, *MOUNTING, "--name", "confined", IMAGE, "sleep", "6000").ok()
    pid = docker.inspect("confined", "{{.State.Pid}}")
    assert Path(f"/proc/{pid}/attr/current").read_text() == CONFINED
    assert docker.call("exec", "confined", *CURRENT).ok().out == CONFINED
    assert "denied" in docker.call("exec", "confined", *MOUNT).err


def test_unconfined_when_asked_for(docker: Docker, chosen: tuple[str, ...]) -> None:
    options = (*MOUNTING, "--security-opt", "apparmor=unconfined")
    done = docker.run("--rm", *chosen, *options, IMAGE, "sh", "-c", f"{' '.join(MOUNT)} && {' '.join(CURRENT)}")
    assert done.ok().out == "unconfined\n"
