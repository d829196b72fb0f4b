"""The tests of this folder are for a machine of `./dev test-vm`: SELinux enforces `policy.conf` there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box
from support.host import HostSnapshot
from support.runtime import Runtime, runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On any other lane these tests are another lane's."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vm)
            if os.environ.get("OCIRUN_LANE") != "selinux":
                item.add_marker(pytest.mark.skip(reason="not this lane: ./dev test-vm boots the machine for it"))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A box; when its containers are removed, the machine is as it was."""
    root = tmp_path / "root"
    before = HostSnapshot.take(root)
    with Runtime(runtime_path(), root, tmp_path / "calls") as runtime:
        yield Box(runtime, tmp_path)
    before.assert_unchanged()
