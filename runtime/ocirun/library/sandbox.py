"""Commands in throwaway sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun.library.options import PIPES, words
from ocirun.library.process import LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from ocirun.library.options import SandboxOptions, Streams
    from ocirun.library.process import Process
    from ocirun.library.results import Completed
    from ocirun.library.runtime import Runtime


class Sandbox:
    """A command for throwaway sandboxes: each run has a new one. Leaving its ``with`` kills those that run."""

    def __init__(self, runtime: Runtime, args: Sequence[str], options: SandboxOptions) -> None:
        self._runtime = runtime
        self._command = ["do", "--tty=false", *words(options)]
        self._args = [*args]
        self._begun: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._begun:
            each.kill()

    def popen(self, **streams: Unpack[Streams]) -> Process:
        """Run it. Its `id` is that of a container, which can be looked at with `Runtime.get` as long as it runs."""
        name = self._runtime._name("do")
        command = [*self._command, f"--id={name}", "--", *self._args]
        made = self._runtime._foreground(command, self._args[0] if self._args else "", name, **streams)
        self._begun = [*(each for each in self._begun if each.code is None), made]
        return made

    def run(self, input: bytes = b"", *, limit: int = LIMIT) -> Completed:
        """Run it to its end; the exit code is 124 when its time was over (see `Process.complete`)."""
        return self.popen(**PIPES).complete(input, limit=limit)

    async def run_async(self, input: bytes = b"", *, limit: int = LIMIT) -> Completed:
        """The same for an event loop."""
        return await self.popen(**PIPES).complete_async(input, limit=limit)
