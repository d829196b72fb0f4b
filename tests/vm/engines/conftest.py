"""Docker on a kernel with AppArmor, cgroup v2 alone, and one that CRIU knows; run by hand, for the time it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.bundle import make_rootfs
from support.docker import Docker
from support.engines import private_directory
from support.host import HostSnapshot
from support.pages import docker_settings
from support.runtime import runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Docker with ocirun and runc, which shows what is Docker's own doing; `--runtime` chooses."""
    rootfs = make_rootfs(tmp_path_factory.mktemp("image") / "rootfs")
    ours = runtime_path().absolute()
    runtimes = {"runtimes": {"tested": {"path": str(ours)}, "beside": {"path": "/usr/sbin/runc"}}}
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Docker(base, ours, rootfs, settings=docker_settings("experimental") | runtimes)
        yield engine
        engine.close()
        before.assert_unchanged()
