"""A state directory and the containers in it: where the library begins."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ocirun import cli, state
from ocirun.commands import list as listing
from ocirun.errors import Failure
from ocirun.library.container import Container
from ocirun.library.options import NOTHING, PIPES, words
from ocirun.library.process import LIMIT, LOGGER, Process, installed
from ocirun.library.results import State
from ocirun.library.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from ocirun.library.options import Path, SandboxOptions, Streams
    from ocirun.library.results import Completed
    from ocirun.state import Entry


class Runtime:
    """The runtime with one state directory.

    root:           the state directory; default: that of the command line.
    program:        the executable that changes containers, or its words; default: the `ocirun` of PATH, else this
                    interpreter with this very package.
    systemd_cgroup: let systemd manage the cgroups.

    It may be used by several threads. Leaving its ``with`` deletes what it has made and what is still there.
    """

    def __init__(
        self, root: Path | None = None, *, program: Path | Sequence[str] | None = None, systemd_cgroup: bool = False
    ) -> None:
        self.root = os.path.abspath(state.default_root() if root is None else root)
        if program is None:
            self._program = installed()
        else:
            self._program = [os.fspath(program)] if isinstance(program, str | os.PathLike) else [*program]
        self._general = [f"--root={self.root}", *words({"systemd_cgroup": systemd_cgroup})]
        self._made: set[str] = set()
        self._running: set[Process] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as left:  # all of it, whatever fails
            for made in self._made:
                left.callback(self.delete, made, force=True)
            for process in self._running:
                left.callback(process.kill)

    def create(self, bundle: Path, id: str, **streams: Unpack[Streams]) -> Container:
        """A container of this bundle, ready to be started; the streams are those of its program."""
        made = self._foreground(["create", f"--bundle={os.path.abspath(bundle)}", "--", id], id, id, **streams)
        try:
            made._finish()
            self._made.add(id)
            return Container(self, id)
        except Failure:
            raise
        except BaseException:
            self._take_back(made, killed=True)
            raise

    def popen(self, bundle: Path, id: str | None = None, **streams: Unpack[Streams]) -> Process:
        """Run a bundle in the foreground: the container is deleted when its program has ended."""
        name = id or self._name("run")
        return self._foreground(["run", f"--bundle={os.path.abspath(bundle)}", "--", name], name, name, **streams)

    def run(
        self,
        bundle: Path,
        id: str | None = None,
        *,
        input: bytes = b"",
        limit: int = LIMIT,
        timeout: float | None = None,
    ) -> Completed:
        """Run a bundle to its end (see `Process.complete`)."""
        return self.popen(bundle, id, **PIPES).complete(input, limit=limit, timeout=timeout)

    async def run_async(
        self, bundle: Path, id: str | None = None, *, input: bytes = b"", limit: int = LIMIT
    ) -> Completed:
        """The same for an event loop."""
        return await self.popen(bundle, id, **PIPES).complete_async(input, limit=limit)

    def sandbox(self, args: Sequence[str], **options: Unpack[SandboxOptions]) -> Sandbox:
        """A command for throwaway sandboxes, which need no bundle (docs/do.md)."""
        return Sandbox(self, args, options)

    def get(self, id: str) -> Container:
        """A container that is there, whoever has made it; else `UnknownContainer`."""
        return Container(self, id)

    def list(self) -> Sequence[State]:
        """The containers, by their ids. Damaged ones are told of by the logger ``ocirun``."""
        return [State.of(each) for each in listing.documents(self.root, LOGGER.warning)]

    def delete(self, id: str, *, force: bool = False) -> None:
        """Delete a stopped container. force: kill it first; no error when it is not there."""
        self._call(["delete", *words({"force": force}), "--", id], id, **NOTHING)._finish(interrupt=False)
        self._made.discard(id)

    def _name(self, word: str) -> str:
        """An id that nobody else has."""
        return f"{word}-{os.getpid()}-{os.urandom(4).hex()}"

    def _call(self, command: Sequence[str], id: str, **streams: Unpack[Streams]) -> Process:
        """A command of the program, with all its words, about this container."""
        return Process(self._program, [*self._general, *command], (command[0], id), **streams)

    def _foreground(self, command: Sequence[str], named: str, id: str, **streams: Unpack[Streams]) -> Process:
        """A command that makes a container; `named` is what its sentences name."""
        words = [*self._general, *command]
        made = Process(self._program, words, (command[0], named), id=id, ended=self._take_back, **streams)
        self._running.add(made)
        return made

    @contextmanager
    def _looking(self, command: str, id: str) -> Iterator[Entry]:
        """A container's record; failures are those of the command of that name."""
        about = [command, id]
        try:
            entry = state.find(self.root, id)
            try:
                yield entry
            finally:
                os.close(entry.fd)
        except (Failure, OSError) as problem:
            told = cli.told(problem, about)
            told.about = cli.named_as(about)
            raise told from None

    def _take_back(self, made: Process, killed: bool) -> None:
        """What a killed process has made is deleted. An id that was in use already is another's."""
        if killed:
            try:
                entry = state.find(self.root, made.id)
            except state.UnknownContainer:
                state.forgotten(self.root, made.id)
            else:
                os.close(entry.fd)
                if made._has_made(entry.record):
                    self.delete(made.id, force=True)
        self._running.discard(made)
