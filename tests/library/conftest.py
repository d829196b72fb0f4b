"""A runtime of the library for each test, with the launcher and without, after which the host is as before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import default_config, with_cgroup, with_shell, write_bundle
from support.facility import need
from support.host import HostSnapshot
from support.runtime import runtime_path

import ocirun
from ocirun.library import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = "trap 'exit 3' TERM; while :; do sleep 0.02; done"


def program(name: str) -> list[str]:
    """The launcher of this checkout, or this interpreter."""
    if name == "interpreter":
        return process.interpreted()
    assert runtime_path().exists(), "needs ./dev build"
    return [str(runtime_path())]


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root filesystem that no test changes."""
    need(facility.root, facility.busybox)
    return write_bundle(tmp_path_factory.mktemp("library"), default_config()) / "rootfs"


@pytest.fixture
def bundles(tmp_path: Path, rootfs: Path) -> Callable[[str], Path]:
    """Writes one of this name, whose program exits with 3 when it is told to end; its cgroup is known by the folder."""

    def write(name: str, script: str = PROGRAM) -> Path:
        config = with_cgroup(with_shell(default_config(), script), f"/{tmp_path.name}-{name}")
        config["root"]["path"] = str(rootfs)
        return write_bundle(tmp_path / name, config, rootfs=False)

    return write


@pytest.fixture
def bundle(bundles: Callable[[str], Path]) -> Path:
    """The one that most tests need."""
    return bundles("bundle")


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[ocirun.Runtime]:
    """With the launcher."""
    yield from _checked(tmp_path, "launcher")


@pytest.fixture(params=["launcher", "interpreter"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ocirun.Runtime]:
    """With each of them."""
    yield from _checked(tmp_path, request.param)


def _checked(folder: Path, name: str) -> Iterator[ocirun.Runtime]:
    need(facility.root, facility.busybox)
    before = HostSnapshot.take(scope=[str(folder), f"/{folder.name}-"])
    with ocirun.Runtime(folder / "root", program=program(name)) as made:
        yield made
    before.assert_unchanged()
    assert left(made) == []


def left(runtime: ocirun.Runtime) -> list[str]:
    """What is in the state directory; the cache of filters stays."""
    root = Path(runtime.root)
    return [each.name for each in root.iterdir() if each.name != "@cache"] if root.exists() else []
