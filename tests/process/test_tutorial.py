"""docs/tutorial.md, typed into two terminals from its first command to its last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.dialogue import play
from support.facility import need
from support.host import HostSnapshot

if TYPE_CHECKING:
    from pathlib import Path

    from support.pages import Block

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.mark.executes("docs/tutorial.md")
def test_the_tutorial(program: Path, tmp_path: Path, blocks: list[Block]) -> None:
    need(facility.root, facility.busybox)
    (tmp_path / "bin").mkdir()
    ocirun = tmp_path / "bin" / "ocirun"
    ocirun.write_text(f'#!/bin/sh\nexec {program} --root {tmp_path}/state "$@"\n')
    ocirun.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    before = HostSnapshot.take(scope=[str(tmp_path)])
    path = f"{ocirun.parent}:{os.environ['PATH']}"
    play(blocks, home, {"PATH": path, "LANG": "C.UTF-8", "TERM": "dumb", "HOME": str(home)})
    before.assert_unchanged()
    assert list(home.iterdir()) == []
