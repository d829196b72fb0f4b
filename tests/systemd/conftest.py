"""The tests of this folder are for a machine of `./dev test-vm` that has systemd as its first process.

The tests run in a unit with `Delegate=yes`, /system.slice/tests.service, as root and with every capability.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box
from support.runtime import Runtime, runtime_path
from support.systemd import user_manager

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On any other lane these tests are another lane's."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vm)
            if os.environ.get("OCIRUN_LANE") != "systemd":
                item.add_marker(pytest.mark.skip(reason="not this lane: ./dev test-vm boots the machine for it"))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A box; when its containers are removed, nothing of it is left."""
    yield from _box(tmp_path)


@pytest.fixture
def unit_box(tmp_path: Path) -> Iterator[Box]:
    """The same with the systemd driver."""
    yield from _box(tmp_path, "--systemd-cgroup")


def _box(directory: Path, *options: str) -> Iterator[Box]:
    with Runtime(runtime_path(), directory / "root", directory / "calls", options=options) as runtime:
        found = Box(runtime, directory)
        before = found.snapshot()
        yield found
    before.assert_unchanged()


@pytest.fixture(scope="module")
def manager() -> Iterator[None]:
    """The systemd of the user `rootless`."""
    with user_manager():
        yield
