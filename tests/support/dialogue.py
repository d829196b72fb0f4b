"""Plays what a page shows of terminals: types its commands into real ones, and compares what appears.

A block of the language `console` belongs to the terminal that its title names. A line that begins with a prompt is
typed; the lines below it, until the next prompt, are what has to appear (`pages.not_shown`).
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from .command import SLOWNESS
from .console import Interactive
from .pages import not_shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from .pages import Block

SECONDS = 15.0 * SLOWNESS
PROMPT = re.compile(r"(\$|/ #) (.+)")
"""Of the caller's shell, and of busybox's in a container."""
ENDS = re.compile(r"(?:^|\n)(?:\$|/ #) $")
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Turn(NamedTuple):
    """What is typed into which terminal, and the lines that the page shows below it."""

    terminal: str
    typed: str
    shown: list[str]


def turns(blocks: Iterable[Block]) -> list[Turn]:
    """The blocks' commands, in order."""
    found: list[Turn] = []
    for block in blocks:
        for line in block.text.splitlines():
            if match := PROMPT.fullmatch(line):
                found.append(Turn(block.title, match[2], []))
            else:
                found[-1].shown.append(line)
    return found


def _until_prompt(program: Interactive) -> str:
    """What appears from now on, without control sequences and the last line, which is a prompt."""
    start, end = len(program.terminal.text), time.monotonic() + SECONDS
    while not ENDS.search(text := CONTROLS.sub("", program.terminal.text[start:])):
        assert program.terminal._read_some(end), f"no prompt within {SECONDS} s; seen: {text!r}"
    return text.rpartition("\n")[0]


def play(blocks: Iterable[Block], folder: Path, env: Mapping[str, str]) -> None:
    """Type all commands; AssertionError at the first that shows something else. Each shell begins in `folder`."""
    with contextlib.ExitStack() as stack:
        open_now: dict[str, Interactive] = {}
        for turn in turns(blocks):
            if turn.terminal not in open_now:
                shell = Interactive(["/bin/sh"], folder, {"PS1": "$ ", **env}, columns=200)
                open_now[turn.terminal] = stack.enter_context(shell)
                _until_prompt(shell)
            program = open_now[turn.terminal]
            program.terminal.send(f"{turn.typed}\n")
            echo, _, appeared = _until_prompt(program).partition("\n")
            assert echo == turn.typed
            assert not_shown(appeared, turn.shown, str(folder)) == [], f"$ {turn.typed}\n{appeared}"
