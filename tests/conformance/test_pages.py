"""What pages tell people to call the suite with."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import run_command
from support.facility import need

if TYPE_CHECKING:
    from support.pages import Block

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.mark.executes("README.md", 6)
@pytest.mark.executes("docs/test-your-runtime.md")
def test_the_lines_for_the_suite(blocks: list[Block], tmp_path: Path) -> None:
    """runc does all that the few cases ask."""
    need(facility.root)
    if shutil.which("runc", path="/usr/sbin") is None:
        pytest.skip("runc is not installed")
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in blocks:
        done = run_command(["sh", "-e", "-c", block.text], tmp_path / "call", cwd=tmp_path, env=env, timeout=60.0).ok()
        assert "MUST that fail: 0" in done.out
