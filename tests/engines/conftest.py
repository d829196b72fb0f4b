"""Fixtures: one Podman, one containerd and one Docker per module, a clean host after every test.

The runtime is `OCIRUN_RUNTIME`, or the one that this checkout builds; `OCIRUN_RUNTIME=/usr/sbin/runc` proves the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import make_rootfs
from support.docker import Docker
from support.engines import Containerd, Podman, private_directory
from support.host import HostSnapshot
from support.pods import Pods
from support.runtime import runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what says nothing about another runtime."""
    for mark in item.iter_markers("not_with"):
        program, reason = mark.args
        if runtime_path().name == program:
            pytest.skip(f"not this lane: {program} {reason}")


@pytest.fixture(scope="session")
def runtime_binary() -> Path:
    """The runtime under test."""
    facility.need(facility.root, facility.busybox)
    path = runtime_path()
    if not path.exists():
        pytest.skip(f"{path} has not been built")
    return path.absolute()


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the image, never run in place."""
    return make_rootfs(tmp_path_factory.mktemp("image") / "rootfs")


@pytest.fixture(scope="module")
def podman_engine(runtime_binary: Path, rootfs: Path) -> Iterator[Podman]:
    """Podman with the image imported."""
    facility.need(facility.podman)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Podman(base, runtime_binary, rootfs)
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture
def podman(podman_engine: Podman) -> Iterator[Podman]:
    """Podman for one test: afterwards nothing but the image may be left.

    The cgroup parent and Podman's own `conmon` cgroup in it stay until the engine is closed.
    """
    before = HostSnapshot.take(scope=[f"{podman_engine.base}/", f"{podman_engine.cgroup}/libpod-"])
    yield podman_engine
    podman_engine.remove_containers()
    before.assert_unchanged()


@pytest.fixture(scope="module")
def containerd_engine(runtime_binary: Path, rootfs: Path) -> Iterator[Containerd]:
    """containerd with the image imported."""
    facility.need(facility.containerd)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        snapshotter = "native" if facility.overlayfs() else "overlayfs"
        engine = Containerd(base, runtime_binary, rootfs, snapshotter)
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture
def containerd(containerd_engine: Containerd) -> Iterator[Containerd]:
    """containerd for one test: afterwards nothing but the image may be left.

    The slash in the scope leaves out the namespace's own cgroup, which stays until the engine is closed.
    """
    before = HostSnapshot.take(scope=[f"{containerd_engine.namespace}/"])
    yield containerd_engine
    containerd_engine.remove_containers()
    before.assert_unchanged()


@pytest.fixture(scope="module")
def docker_engine(runtime_binary: Path, rootfs: Path) -> Iterator[Docker]:
    """Docker with the image imported."""
    facility.need(facility.docker)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Docker(base, runtime_binary, rootfs)
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture
def docker(docker_engine: Docker) -> Iterator[Docker]:
    """Docker for one test: afterwards nothing but the image may be left.

    The slashes in the scope leave out two things that stay: the mount that the daemon has made on `data`, which is also
    in the mount namespaces of others, and the cgroup parent, which not every runtime removes with its last container.
    """
    scope = [f"{docker_engine.base}/{folder}/" for folder in ("containerd", "data", "exec")]
    before = HostSnapshot.take(scope=[*scope, f"{docker_engine.cgroup}/"])
    yield docker_engine
    docker_engine.remove_containers()
    before.assert_unchanged()


@pytest.fixture(scope="module")
def pods_engine(runtime_binary: Path, rootfs: Path) -> Iterator[Pods]:
    """containerd with its CRI plugin, and the images imported."""
    facility.need(facility.containerd)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Pods(base, runtime_binary, rootfs, "native" if facility.overlayfs() else "overlayfs")
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture
def pods(pods_engine: Pods) -> Iterator[Pods]:
    """The CRI plugin for one test: afterwards no pod may be left.

    The slashes in the scope leave out the cgroup of all pods and the daemon itself.
    """
    before = HostSnapshot.take(scope=[f"{pods_engine.base}/state/", f"{pods_engine.cgroup}/"])
    yield pods_engine
    pods_engine.remove_all()
    before.assert_unchanged()
