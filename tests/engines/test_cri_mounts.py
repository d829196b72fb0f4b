"""Volumes of Kubernetes: mounts that the CRI asks for, and how mounts spread through them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pods import Pods

pytestmark = pytest.mark.engines


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=30)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs that is a peer group of its own, with a folder `inner`; unmounted with all that is below it."""
    volume = tmp_path / "volume"
    volume.mkdir()
    run("mount", "-t", "tmpfs", "unit", str(volume))
    try:
        run("mount", "--make-rshared", str(volume))
        (volume / "inner").mkdir()
        yield volume
    finally:
        run("umount", "--recursive", str(volume))


def volume(path: Path, **more: object) -> list[dict[str, object]]:
    """The mounts of a container with this folder at /volume."""
    return [{"host_path": str(path), "container_path": "/volume", **more}]


def mounts_of(path: Path) -> list[str]:
    """The mount points below a folder in our mount namespace."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{path}/")]


def test_volume_is_written_by_container_and_host(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from the host\n")
    pod = pods.pod()
    assert pods.output(pod, "sh", "-c", "cat /volume/given; echo back >/volume/made", mounts=volume(tmp_path)) == (
        "from the host\n"
    )
    assert (tmp_path / "made").read_text() == "back\n"


def test_readonly_volume(pods: Pods, tmp_path: Path) -> None:
    said = pods.output(pods.pod(), "sh", "-c", "touch /volume/made 2>&1", mounts=volume(tmp_path, readonly=True))
    assert "Read-only file system" in said


def test_file_as_volume(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("text\n")
    mounts = [{"host_path": str(tmp_path / "given"), "container_path": "/etc/given.conf", "readonly": True}]
    assert pods.output(pods.pod(), "cat", "/etc/given.conf", mounts=mounts) == "text\n"


def test_volume_in_a_readonly_root(pods: Pods, tmp_path: Path) -> None:
    mounts = [{"host_path": str(tmp_path), "container_path": "/srv"}]
    security = {"readonly_rootfs": True}
    assert pods.output(pods.pod(), "sh", "-c", "echo x >/srv/made", security=security, mounts=mounts) == ""
    assert (tmp_path / "made").read_text() == "x\n"


@pytest.mark.parametrize(
    ("propagation", "arrives"),
    [("PROPAGATION_PRIVATE", False), ("PROPAGATION_HOST_TO_CONTAINER", True), ("PROPAGATION_BIDIRECTIONAL", True)],
)
def test_mount_of_the_host(pods: Pods, shared: Path, propagation: str, arrives: bool) -> None:
    """What the host mounts in the volume after the container has started."""
    privileged = {"privileged": propagation == "PROPAGATION_BIDIRECTIONAL"}
    pod = pods.pod(security=privileged)
    mounts = volume(shared, propagation=propagation)
    container = pods.run(pod, "sleep", "600", security=privileged, mounts=mounts)
    run("mount", "-t", "tmpfs", "unit", str(shared / "inner"))
    (shared / "inner" / "file").touch()
    assert (pods.shell(container, "ls /volume/inner") == "file\n") is arrives


@pytest.mark.parametrize(
    ("propagation", "arrives"), [("PROPAGATION_HOST_TO_CONTAINER", False), ("PROPAGATION_BIDIRECTIONAL", True)]
)
def test_mount_of_the_container(pods: Pods, shared: Path, propagation: str, arrives: bool) -> None:
    """What the container mounts in the volume: a storage driver's pod needs that it appears on the host."""
    privileged = {"privileged": True}
    pod = pods.pod(security=privileged)
    mounts = volume(shared, propagation=propagation)
    container = pods.run(pod, "sleep", "600", security=privileged, mounts=mounts)
    pods.shell(container, "mount -t tmpfs unit /volume/inner && touch /volume/inner/file")
    assert (mounts_of(shared) == [str(shared / "inner")]) is arrives
    assert (shared / "inner" / "file").exists() is arrives


def test_mounts_that_are_there_come_with_the_volume(pods: Pods, shared: Path) -> None:
    run("mount", "-t", "tmpfs", "unit", str(shared / "inner"))
    (shared / "inner" / "file").touch()
    assert pods.output(pods.pod(), "ls", "/volume/inner", mounts=volume(shared)) == "file\n"


def test_readonly_volume_leaves_inner_mounts_writable(pods: Pods, shared: Path) -> None:
    """`readonly` is about the volume alone; containerd 1.6 knows no `recursive_read_only`, which 2.0 has."""
    run("mount", "-t", "tmpfs", "unit", str(shared / "inner"))
    script = "touch /volume/made 2>/dev/null || touch /volume/inner/made"
    assert pods.output(pods.pod(), "sh", "-c", script, mounts=volume(shared, readonly=True)) == ""
    assert (shared / "inner" / "made").exists()
    assert not (shared / "made").exists()
