"""The runtime under judgement, driven by its command line alone.

How an operation is spelled comes from an adapter: a TOML file with a list of words per operation. Without one the
words are runc's. In the words stand `{id}`, `{bundle}`, `{root}` (a folder for the runtime's state), `{signal}`,
`{pid_file}` and `{console_socket}`; the word `{console}` becomes the list `console` when there is a terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .case import Fails

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RUNC: dict[str, list[str]] = {
    "create": ["--root", "{root}", "create", "--bundle", "{bundle}", "--pid-file", "{pid_file}", "{console}", "{id}"],
    "console": ["--console-socket", "{console_socket}"],
    "start": ["--root", "{root}", "start", "{id}"],
    "state": ["--root", "{root}", "state", "{id}"],
    "kill": ["--root", "{root}", "kill", "{id}", "{signal}"],
    "delete": ["--root", "{root}", "delete", "{id}"],
    "force": ["--root", "{root}", "delete", "--force", "{id}"],
    "features": ["features"],
    "version": ["--version"],
}

SECONDS = 20.0


class Hung(Fails):
    """The runtime did not return in time and was killed."""


@dataclass(frozen=True)
class Call:
    """One call of the runtime. code: negative for a signal; out, err: what it wrote, as far as it was captured."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float


def read_adapter(path: Path) -> dict[str, list[str]]:
    """An adapter file over runc's words; ValueError when it has something else than lists of strings."""
    table = tomllib.loads(path.read_text("utf-8"))
    for name, words in table.items():
        if name not in RUNC:
            raise ValueError(f"{path}: there is no operation {name}; there are {', '.join(RUNC)}")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{path}: {name} must be a list of strings")
    return {**RUNC, **table}


@dataclass
class Runtime:
    """One program. program: its path and words that every call begins with; calls: all that were made so far."""

    program: tuple[str, ...]
    root: Path
    words: Mapping[str, Sequence[str]] = field(default_factory=lambda: RUNC)
    seconds: float = SECONDS
    environment: Mapping[str, str] | None = None
    calls: list[Call] = field(default_factory=list)

    def command(self, operation: str, values: Mapping[str, str], *, terminal: bool = False) -> list[str]:
        """The argument list of an operation. A word whose value is "" is left out, so that `state` can lack its id."""
        words: list[str] = []
        for word in self.words[operation]:
            words += (self.words["console"] if terminal else []) if word == "{console}" else [word]
        filled = [word.format_map({"root": str(self.root), **values}) for word in words]
        return [*self.program, *(word for word in filled if word)]

    def call(self, argv: Sequence[str], out: Path, *, stdin: int = subprocess.DEVNULL) -> Call:
        """Run it with its standard output and error in files beside `out`, which a container may keep open.

        A runtime that does not return is killed with all of its session and fails the case.
        """
        errors = out.with_suffix(".err")
        begin = time.monotonic()
        with out.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                argv, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True, env=self.environment
            )
            try:
                code = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                code = -signal.SIGKILL
        call = Call(tuple(argv), code, _text(out), _text(errors), time.monotonic() - begin)
        self.calls.append(call)
        if call.seconds >= self.seconds and code == -signal.SIGKILL:
            raise Hung(f"the runtime did not return within {self.seconds:g} s and was killed: {' '.join(argv)}")
        return call


def _text(path: Path) -> str:
    return path.read_text("utf-8", "backslashreplace")
