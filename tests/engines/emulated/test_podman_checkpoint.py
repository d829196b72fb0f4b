"""Podman saves containers and restores them, with ocirun and with runc."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command import wait_for
from support.engines import PODMAN_IMAGE as IMAGE
from support.engines import Podman, private_directory
from support.host import HostSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 120.0
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


@pytest.fixture(params=["beside", "tested"])
def podman(request: pytest.FixtureRequest, runtime_binary: Path, rootfs: Path) -> Iterator[Podman]:
    """A Podman of its own for each runtime."""
    runtime = Path("/usr/sbin/runc") if request.param == "beside" else runtime_binary
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Podman(base, runtime, rootfs)
        yield engine
        engine.close()
        before.assert_unchanged(SECONDS)  # conmon's last command is Podman's own


def counted(podman: Podman, name: str) -> int:
    """What the container's program has come to; 0 before its first number."""
    return int("0" + podman.call("logs", "--tail", "1", name).ok().out.strip())


def test_a_container_is_saved_and_restored(podman: Podman) -> None:
    """In its place; then into an archive while it goes on, and from there under another name."""
    podman.run("--detach", "--name", "counting", "--network", "none", IMAGE, "sh", "-c", COUNTING).ok()
    wait_for(lambda: counted(podman, "counting") > 2, SECONDS)
    podman.call("container", "checkpoint", "counting").ok()
    assert podman.inspect("counting", "{{.State.Status}} {{.State.Checkpointed}}") == "exited true"
    reached = counted(podman, "counting")
    podman.call("container", "restore", "counting").ok()
    wait_for(lambda: counted(podman, "counting") > reached + 2, SECONDS)
    lines = podman.call("logs", "counting").ok().out.split()
    assert lines == [str(number + 1) for number in range(len(lines))], "no number is missing or said twice"
    archive = str(podman.base / "archive")
    podman.call("container", "checkpoint", "--leave-running", "--export", archive, "counting").ok()
    reached = counted(podman, "counting")
    podman.call("container", "restore", "--import", archive, "--name", "twin").ok()
    wait_for(lambda: counted(podman, "twin") > reached, SECONDS)
    wait_for(lambda: counted(podman, "counting") > reached, SECONDS)
