"""A box per test; afterwards its containers are gone and the host is as it was."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from security.box import Box
from support import facility
from support.host import HostSnapshot
from support.runtime import Runtime, runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def runtime_binary() -> Path:
    """The runtime under test."""
    facility.need(facility.root, facility.busybox)
    path = runtime_path()
    if not path.exists():
        pytest.skip(f"{path} has not been built")
    return path.absolute()


@pytest.fixture
def box(runtime_binary: Path) -> Iterator[Box]:
    """A private directory with a short unique name, which is the containers' id too."""
    base = Path(tempfile.mkdtemp(prefix="sec-", dir="/tmp"))
    before = HostSnapshot.take(scope=[base.name])
    with Runtime(runtime_binary, base / "root", base / "calls") as runtime:
        yield Box(runtime, base, base.name)
    before.assert_unchanged()
    shutil.rmtree(base)
