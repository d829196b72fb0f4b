"""The runtime under judgement, driven by its command line alone.

How an operation is spelled comes from an adapter: a TOML file with a list of words per operation. Without one the
words are runc's. In the words stand `{id}`, `{bundle}`, `{root}` (a folder for the runtime's state), `{signal}`,
`{pid_file}` and `{console_socket}`; the word `{console}` becomes the list `console` when there is a terminal, and in
`exec`, `{options}` and `{program}` become what a case gives, in runc's words. Only attacks use `exec`, `checkpoint` and
`restore` (of and to the folder `{images}`).
"""

from __future__ import annotations

import contextlib
import os
import select
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
    "exec": ["--root", "{root}", "exec", "{options}", "{id}", "{program}"],
    "checkpoint": ["--root", "{root}", "checkpoint", "--image-path", "{images}", "--work-path", "{images}", "{id}"],
    "restore": [
        "--root", "{root}", "restore", "--detach", "--bundle", "{bundle}", "--image-path", "{images}",
        "--work-path", "{images}", "--pid-file", "{pid_file}", "{id}",
    ],
    "features": ["features"],
    "version": ["--version"],
}  # fmt: skip

SECONDS = 20.0

CLEANING = 5.0
"""Seconds for a call when the runtime has hung before, or when the user has interrupted."""


class Hung(Fails):
    """The runtime did not return in time and was killed."""


class Stop:
    """The user's wish to end. It ends the calls under way; later ones, if they clean up, get CLEANING seconds."""

    def __init__(self) -> None:
        self._told = False
        self._event = os.eventfd(0, os.EFD_CLOEXEC)

    def tell(self) -> None:
        """End now."""
        self._told = True
        os.eventfd_write(self._event, 1)

    @property
    def fired(self) -> bool:
        """Whether it was told."""
        return self._told

    def close(self) -> None:
        """Nobody will ask or tell any more."""
        os.close(self._event)

    def fileno(self) -> int:
        """Is readable once it was told."""
        return self._event


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
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
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
    stop: Stop | None = None
    hung: bool = False
    cleans: bool = False
    """Whether the case is over, and what it has made is removed."""

    def command(
        self,
        operation: str,
        values: Mapping[str, str],
        *,
        terminal: bool = False,
        lists: Mapping[str, Sequence[str]] | None = None,
    ) -> list[str]:
        """The argument list of an operation. A word whose value is "" is left out, so that `state` can lack its id."""
        words: list[str] = []
        for word in self.words[operation]:
            if lists and word[1:-1] in lists:
                words += lists[word[1:-1]]
                continue
            for each in (self.words["console"] if terminal else []) if word == "{console}" else [word]:
                words.append(each.format_map({"root": str(self.root), **values}))
        return [*self.program, *(word for word in words if word)]

    def call(
        self, argv: Sequence[str], out: Path, *, stdin: int = subprocess.DEVNULL, leaked: Sequence[int] = ()
    ) -> Call:
        """Run it with its standard output and error in files beside `out`, which a container may keep open.

        A runtime that does not return is killed with all of its session and fails the case. Once the user has
        interrupted, a case gets no further call. leaked: descriptors that it inherits beside the three.
        """
        if self.stop is not None and self.stop.fired and not self.cleans:
            raise Fails("the user has interrupted")
        errors = out.with_suffix(".err")
        begin = time.monotonic()
        with out.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env=self.environment,
                pass_fds=leaked,
            )
            seconds = min(self.seconds, CLEANING) if self._hurries else self.seconds
            ended = self._ends(process.pid, seconds)
            if not ended:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        call = Call(tuple(argv), code, _text(out), _text(errors), time.monotonic() - begin)
        self.calls.append(call)
        if not ended:
            self.hung = True
            raise Hung(f"the runtime did not return within {seconds:g} s and was killed: {' '.join(argv)}")
        return call

    @property
    def _hurries(self) -> bool:
        return self.hung or (self.stop is not None and self.stop.fired)

    def _ends(self, pid: int, seconds: float) -> bool:
        """Whether a child ends in time, and before the user interrupts; one who interrupted waits for the cleaning."""
        process = os.pidfd_open(pid)
        try:
            waiting = select.poll()
            waiting.register(process, select.POLLIN)
            if self.stop is not None and not self.stop.fired:
                waiting.register(self.stop, select.POLLIN)
            return process in (fd for fd, _event in waiting.poll(seconds * 1000))
        finally:
            os.close(process)


def _text(path: Path) -> str:
    return path.read_text("utf-8", "backslashreplace")
