"""The transcripts of docs/explain.md: each command is run, and prints what the page says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import run_command
from support.facility import need
from support.pages import not_shown, transcript

if TYPE_CHECKING:
    from pathlib import Path

    from support.pages import Block

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.mark.executes("docs/explain.md")
def test_the_page_s_transcripts(program: Path, tmp_path: Path, blocks: list[Block]) -> None:
    need(facility.root, facility.busybox)
    (tmp_path / "bin").mkdir()
    script = f'#!/bin/sh\nexec {program} --root {tmp_path}/state "$@"\n'
    (tmp_path / "bin" / "ocirun").write_text(script)
    (tmp_path / "bin" / "ocirun").chmod(0o755)
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "LANG": "C.UTF-8"}
    found = transcript(blocks)
    assert len(found) > 8
    for command, expected in found:
        done = run_command(["sh", "-c", command], tmp_path / "out", cwd=tmp_path, env=env)
        assert done.code == (1 if "diff-config" in command else 0), done.details()
        assert not_shown(done.out, expected, str(tmp_path)) == [], (command, done.out)
