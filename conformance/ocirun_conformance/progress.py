"""What a waiting person sees, on standard error: a bar with an estimate on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from .reports.plain import printable
from .verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .verdict import Verdict

PERIOD = 10.0
"""Seconds from one line to the next, where there is no terminal. Short runs write none."""


class Progress(Protocol):
    """Is told of what happens; by several threads."""

    def begin(self, label: str) -> None:
        """The runtime of this name is next."""

    def tell(self, verdict: Verdict) -> None:
        """One more verdict."""


def _failed(verdict: Verdict) -> bool:
    return verdict.outcome in (Outcome.FAIL, Outcome.ERROR)


class Lines:
    """For a file or a pipe."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self.total = total
        self.stream = stream
        self._label = ""
        self._done = self._failures = 0
        self._next = time.monotonic() + PERIOD

    def begin(self, label: str) -> None:
        """Lines name the runtime."""
        self._label = label

    def tell(self, verdict: Verdict) -> None:
        """A line, when it is time."""
        self._done += 1
        self._failures += _failed(verdict)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PERIOD
            line = f"{self._label}: {self._done} of {self.total}, {self._failures} failed\n"
            self.stream.write(f"ocirun-conformance: {line}")
            self.stream.flush()


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """total: how many verdicts there will be, of all runtimes."""
    if not sys.stderr.isatty():
        yield Lines(total, sys.stderr)
        return
    with _bar(total) as found:
        yield found


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    """Standard output is left alone, though rich would lead it to its own console."""
    from rich import progress as rich
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(bar_width=None),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[failed]} failed", markup=False),
        rich.TimeElapsedColumn(),
        rich.TextColumn("ETA", markup=False),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False, expand=True
    ) as live:
        task = live.add_task("", total=total, failed=0)

        class Bar:
            failures = 0
            label = ""

            def begin(self, label: str) -> None:
                self.label = label
                live.update(task, description=printable(label))

            def tell(self, verdict: Verdict) -> None:
                if _failed(verdict):
                    self.failures += 1
                    last = verdict.sentence.strip().splitlines()[-1:]
                    line = f"{verdict.outcome.value} {self.label} {verdict.case.name}: {''.join(last)}"
                    live.console.print(Text(printable(line)), soft_wrap=True)
                live.update(task, advance=1, failed=self.failures)

        yield Bar()
