"""The good runtime behind a mutant: how it is called. Light: the wrapper loads this at every call."""

from __future__ import annotations

import os
from typing import Any, NoReturn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .request import Request


class Good:
    """A program with runc's command line. request: the call that the mutant got."""

    def __init__(self, program: str, request: Request) -> None:
        self.program = program
        self.request = request

    def become(self, argv: Sequence[str] | None = None) -> NoReturn:
        """Be the good runtime from here on."""
        os.execv(self.program, [self.program, *(self.request.argv if argv is None else argv)])

    def run(
        self, argv: Sequence[str] | None = None, *, quiet: bool = False, streams: dict[int, int] | None = None
    ) -> int:
        """Call it and wait; the exit code. quiet: nothing is written; streams: descriptors that it gets instead."""
        null = os.open("/dev/null", os.O_RDWR)
        instead = {1: null, 2: null} if quiet else {}
        instead.update(streams or {})
        words = [self.program, *(self.request.argv if argv is None else argv)]
        actions = [(os.POSIX_SPAWN_DUP2, old, new) for new, old in instead.items()]
        pid = os.posix_spawn(self.program, words, os.environ, file_actions=actions)
        os.close(null)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255

    def read(self, argv: Sequence[str] | None = None) -> tuple[int, bytes]:
        """Call it with its standard output read: the exit code, and what it wrote. Not for `create`."""
        output = os.memfd_create("output")
        code = self.run(argv, streams={1: output})
        size = os.fstat(output).st_size
        return code, os.pread(output, size, 0)

    def state(self) -> dict[str, Any]:
        """The container's state, or an empty one when it is not known."""
        import json

        output = os.memfd_create("state")
        code = self.run(self.request.again("state"), quiet=True, streams={1: output})
        text = os.pread(output, os.fstat(output).st_size, 0)
        os.close(output)
        found: dict[str, Any] = json.loads(text) if code == 0 else {}
        return found

    @property
    def status(self) -> str:
        """The container's status; "unknown" when there is none of this id, "no-id" when there is no id."""
        if not self.request.ident:
            return "no-id"
        return str(self.state().get("status", "unknown"))
