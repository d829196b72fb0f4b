"""Where the program without its launcher was different: what the tests of the launcher say, holds for it too."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from process import test_hooks, test_interrupt
from process.box import Box
from support import facility
from support.facility import need
from support.runtime import Runtime

from ocirun.library import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    need(facility.root, facility.busybox)
    program = tmp_path / "ocirun"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(process.interpreted())} "$@"\n')
    program.chmod(0o755)
    with Runtime(program, tmp_path / "root", tmp_path / "calls") as runtime:
        yield Box(runtime, tmp_path)


def test_it_ends_by_the_signal(box: Box) -> None:
    test_interrupt.test_what_was_being_made_goes(box, ("create",))


def test_nothing_is_ignored_that_python_ignores(box: Box) -> None:
    test_hooks.test_hooks_have_usual_signals(box, "createRuntime")
