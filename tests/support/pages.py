"""What the pages tell people to write and to type, as the tests use it.

A block that is for a shell is executed by a test, which has the mark `executes(page, *numbers)` and gets the blocks as
its argument `blocks`: those with these numbers, counted from 1 among the page's shell blocks, or all of the page.
`tests/meta/test_pages.py` looks for the mark.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from .bundle import REPOSITORY, Config

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PAGES = REPOSITORY / "docs" / "engines"
INSTALLED = "/usr/local/bin/ocirun"
ELLIPSIS = "…"
SHELL = ("bash", "console", "sh", "shell")


class Block(NamedTuple):
    """A fenced block. number: from 1 among its page's that are for a shell, else 0; title: as in ``title="x"``."""

    page: str
    number: int
    language: str
    title: str
    text: str


def documents() -> list[str]:
    """All pages, from the repository's folder."""
    rest = sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", "SECURITY.md", *rest]


def blocks_of(page: str) -> list[Block]:
    """Every fenced block of a page."""
    found: list[Block] = []
    pattern = r"^( *)(```+) *(\w*)([^\n]*)\n(.*?)^\1\2 *$"
    for _indent, _fence, language, words, text in re.findall(
        pattern, (REPOSITORY / page).read_text(), re.MULTILINE | re.DOTALL
    ):
        number = sum(each.number > 0 for each in found) + 1 if language in SHELL else 0
        title = re.search(r'title="([^"]*)"', words)
        found.append(Block(page, number, language, title[1] if title else "", textwrap.dedent(text)))
    return found


def shell_blocks(page: str, *numbers: int) -> list[Block]:
    """The blocks of a page that are for a shell: all, or those with these numbers, each of which has to be there."""
    found = [each for each in blocks_of(page) if each.number and (not numbers or each.number in numbers)]
    assert found, page
    assert not numbers or [each.number for each in found] == sorted(numbers), page
    return found


def fenced(page: str, language: str) -> list[str]:
    """The blocks of this language in a page, in their order; AssertionError when there is none."""
    text = (PAGES / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, f"no block of {language} in {page}"
    return blocks


def engine_call(block: Block, runtime: Path, image: str, *options: str) -> list[str]:
    """The words of a page's one line that calls `run` of an engine, with what stands for its runtime and image here.

    `options` are of `run`: what a private engine needs to be told.
    """
    words = [str(runtime) if word == INSTALLED else word for word in shlex.split(block.text)]
    words = [image if word.startswith("docker.io/") else word for word in words]
    at = words.index("run") + 1
    return [*words[:at], *options, *words[at:]]


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


def transcript(blocks: Iterable[Block]) -> list[tuple[str, list[str]]]:
    """(command, the lines that it prints) of these blocks, in order."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(block.text for block in blocks).splitlines():
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


def _fits(printed: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, line.split(ELLIPSIS))), printed) is not None


def _missing(printed: list[str], expected: list[str]) -> list[str]:
    """The expected lines that are not there, or not in that order; … stands for any number of lines, or part of one."""
    missing, at, free = [], 0, False
    for line in expected:
        if line == ELLIPSIS:
            free = True
            continue
        places = [place for place in range(at, len(printed)) if _fits(printed[place], line)]
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
