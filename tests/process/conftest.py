"""The container that a test gets, and what has to be there for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import Box
from process.calls import Calls, compile_calls
from support import facility
from support.facility import need
from support.runtime import Runtime, runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def program() -> Path:
    """The built binary."""
    path = runtime_path()
    if not path.exists():
        pytest.skip("needs ./dev build")
    return path


@pytest.fixture
def box(tmp_path: Path, program: Path) -> Iterator[Box]:
    """A box whose containers are removed at the end."""
    need(facility.root, facility.busybox)
    with Runtime(program, tmp_path / "root", tmp_path / "calls") as runtime:
        yield Box(runtime, tmp_path)


@pytest.fixture(scope="session")
def calls_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`probes/calls.c`, compiled once."""
    return compile_calls(tmp_path_factory.mktemp("calls"))


@pytest.fixture
def calls(box: Box, calls_program: Path) -> Calls:
    """A program in the box's image that makes any system call."""
    return Calls(box, calls_program)
