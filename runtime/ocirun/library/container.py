"""One container. What only looks or sends a signal is done here, by the functions that the commands call too."""

from __future__ import annotations

import os
import select
import subprocess
from typing import TYPE_CHECKING

from ocirun import state
from ocirun.commands import events, kill, usage, wait
from ocirun.commands import state as looking
from ocirun.library import waiting
from ocirun.library.options import NOTHING, PIPES, words
from ocirun.library.process import LIMIT, LOGGER
from ocirun.library.results import Event, State, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from ocirun.library.options import ExecOptions, Limits, Stream
    from ocirun.library.process import Process
    from ocirun.library.results import Completed
    from ocirun.library.runtime import Runtime
    from ocirun.library.waiting import Waiting
    from ocirun.state import Entry


class Container:
    """One container, by its id. Leaving its ``with`` kills and deletes it.

    As long as this object is there, it can tell how the program has ended, also after `delete`.
    """

    def __init__(self, runtime: Runtime, id: str) -> None:
        self.id = id
        self._runtime = runtime
        self._pidfd: int | None = None
        with runtime._looking("state", id) as entry:
            if entry.life() != state.CREATING:
                self._watch(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete(force=True)

    def __del__(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    def __repr__(self) -> str:
        return f"<Container {self.id!r} in {self._runtime.root}>"

    def state(self) -> State:
        """What it is and does now."""
        with self._runtime._looking("state", self.id) as entry:
            return State.of(looking.document(entry))

    def start(self) -> None:
        """Run its program; returns when it runs and the poststart hooks are done."""
        self._command("start")

    def kill(self, signal: str | int | None = None, *, all: bool = False) -> None:
        """Send a signal, by name or number, or without one that of its image or SIGTERM. all: to all its processes."""
        with self._runtime._looking("kill", self.id) as entry:
            number = None if signal is None else kill.number_of(str(int(signal) if isinstance(signal, int) else signal))
            kill.kill(entry, number, all, LOGGER.warning)

    def pause(self) -> None:
        """Freeze all its processes."""
        self._command("pause")

    def resume(self) -> None:
        """Let them go on."""
        self._command("resume")

    def update(self, **limits: Unpack[Limits]) -> None:
        """Change its limits, all of these or none."""
        self._command("update", words(limits))

    def delete(self, *, force: bool = False) -> None:
        """Delete it when it is stopped. force: kill it first; no error when it is not there."""
        self._runtime.delete(self.id, force=force)

    def popen(
        self,
        args: Sequence[str],
        *,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        **options: Unpack[ExecOptions],
    ) -> Process:
        """Run another program in it."""
        command = ["exec", *words(options), "--", self.id, *args]
        return self._runtime._call(command, self.id, stdin=stdin, stdout=stdout, stderr=stderr)

    def exec(
        self,
        args: Sequence[str],
        *,
        input: bytes = b"",
        limit: int = LIMIT,
        timeout: float | None = None,
        **options: Unpack[ExecOptions],
    ) -> Completed:
        """Run another program in it to its end (see `Process.complete`)."""
        running = self.popen(args, **PIPES, **options)
        return running.complete(input, limit=limit, timeout=timeout)

    async def exec_async(
        self, args: Sequence[str], *, input: bytes = b"", limit: int = LIMIT, **options: Unpack[ExecOptions]
    ) -> Completed:
        """The same for an event loop."""
        running = self.popen(args, **PIPES, **options)
        return await running.complete_async(input, limit=limit)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of its program; TimeoutError after `timeout` seconds.

        Returns the exit code, 128 + n when signal n has ended it. None when nobody knows any more: Linux before 6.15
        tells the parent alone, which is the host's first process here. `Runtime.run` is told by its own.
        """
        return waiting.here(self._waiting(), timeout)

    async def wait_async(self) -> int | None:
        """The same for an event loop."""
        return await waiting.in_loop(self._waiting())

    def usage(self) -> Usage:
        """What it uses now; it has to run."""
        with self._runtime._looking("usage", self.id) as entry:
            return Usage.of(usage.row(entry))

    def events(self, interval: float = 5.0) -> Iterator[Event]:
        """Statistics each `interval` seconds, and each process killed for want of memory, until it has ended."""
        with self._runtime._looking("events", self.id) as entry:
            for each in events.follow(entry, int(interval * 1e9)):
                yield Event(each["type"], each["id"], each.get("data", {}))

    def _command(self, command: str, options: Sequence[str] = ()) -> None:
        self._runtime._call([command, *options, "--", self.id], self.id, **NOTHING)._finish()

    def _watch(self, entry: Entry) -> None:
        self._pidfd = wait.hold(entry)
        self._process = entry.record["pid"], entry.record["start"]

    def _waiting(self) -> Waiting[int | None]:
        if self._pidfd is None:
            with self._runtime._looking("wait", self.id) as entry:
                self._watch(entry)
        if self._pidfd is None:
            return None
        pidfd = os.dup(self._pidfd)  # an event loop has one reader for each descriptor
        try:
            yield {pidfd: select.POLLIN}
            return wait.exit_code(pidfd, *self._process)
        finally:
            os.close(pidfd)
