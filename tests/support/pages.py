"""What the pages of `docs` tell people to write and to type, as the tests use it: blocks of `docs/engines`, and
transcripts.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .bundle import REPOSITORY, Config

if TYPE_CHECKING:
    from pathlib import Path

PAGES = REPOSITORY / "docs" / "engines"
INSTALLED = "/usr/local/bin/ocirun"
ELLIPSIS = "…"


def fenced(page: str, language: str) -> list[str]:
    """The blocks of this language in a page, in their order; AssertionError when there is none."""
    text = (PAGES / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, f"no block of {language} in {page}"
    return blocks


def containerd_runtimes() -> tuple[str, str]:
    """The TOML that makes ocirun a runtime of containerd's CRI plugin, and what makes it that of all pods."""
    runtimes, default = fenced("containerd.md", "toml")
    assert runtimes.count(INSTALLED) == 1
    return runtimes, default


def system_container() -> Config:
    """The configuration of a container whose first process is systemd."""
    (block,) = fenced("system-containers.md", "json")
    config: Config = json.loads(block)
    return config


def docker_settings(key: str) -> dict[str, Any]:
    """The block of daemon.json that has this key."""
    found: list[dict[str, Any]] = [json.loads(block) for block in fenced("docker.md", "json")]
    return next(block for block in found if key in block)


def transcript(page: Path) -> list[tuple[str, list[str]]]:
    """(command, the lines that it prints) of all blocks of a console in a page, in order."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def _comparable(line: str, folder: str) -> str:
    """Without what differs from run to run and from host to host: numbers, the folder, lengths of bars and blanks."""
    line = re.sub(r"\S*…(?=\s+\d)", "", line.replace(folder, "/home/me"))
    line = re.sub(r"[─-▟◀<]+", "", line)
    return " ".join(re.sub(r"\d+", "0", line).split())


def _missing(printed: list[str], expected: list[str]) -> list[str]:
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


def not_shown(out: str, expected: list[str], folder: str) -> list[str]:
    """The lines of a transcript that a command in `folder` has not printed as the page says."""
    printed = [_comparable(line, folder) for line in out.splitlines()]
    return _missing(printed, [line if line == ELLIPSIS else _comparable(line, folder) for line in expected])
