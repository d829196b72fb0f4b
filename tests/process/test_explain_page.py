"""The transcripts of docs/explain.md: each command is run, and prints what the page says."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import REPOSITORY
from support.command import run_command
from support.facility import need

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PAGE = REPOSITORY / "docs" / "explain.md"
ELLIPSIS = "…"


def transcript() -> list[tuple[str, list[str]]]:
    """(command, the lines that it prints) of all blocks, in order."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def comparable(line: str, folder: str) -> str:
    """Without what differs from run to run and from host to host: numbers, the folder, lengths of bars and blanks."""
    line = re.sub(r"\S*…(?=\s+\d)", "", line.replace(folder, "/home/me"))
    line = re.sub(r"[─-▟◀<]+", "", line)
    return " ".join(re.sub(r"\d+", "0", line).split())


def shown(printed: list[str], expected: list[str]) -> list[str]:
    """The expected lines that are not there, or not in that order; … stands for any number of lines."""
    missing, at, free = [], 0, False
    for line in expected:
        if line == ELLIPSIS:
            free = True
            continue
        places = [place for place in range(at, len(printed)) if printed[place] == line]
        if places and (free or places[0] == at):
            at = places[0] + 1
        else:
            missing.append(line)
        free = False
    return missing if free or at == len(printed) else [*missing, *printed[at:]]


def test_the_page_s_transcripts(program: Path, tmp_path: Path) -> None:
    need(facility.root, facility.busybox)
    (tmp_path / "bin").mkdir()
    script = f'#!/bin/sh\nexec {program} --root {tmp_path}/state "$@"\n'
    (tmp_path / "bin" / "ocirun").write_text(script)
    (tmp_path / "bin" / "ocirun").chmod(0o755)
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "LANG": "C.UTF-8"}
    found = transcript()
    assert len(found) > 8
    for command, expected in found:
        done = run_command(["sh", "-c", command], tmp_path / "out", cwd=tmp_path, env=env)
        assert done.code == (1 if "diff-config" in command else 0), done.details()
        printed = [comparable(line, str(tmp_path)) for line in done.out.splitlines()]
        wanted = [line if line == ELLIPSIS else comparable(line, str(tmp_path)) for line in expected]
        assert shown(printed, wanted) == [], (command, done.out)
