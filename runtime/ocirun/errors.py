"""The one error that reaches a person, and the exit codes.

Rules of this file:

* A `Failure` is raised once, where the facts are known, and printed once, by `cli`. Nothing logs and raises.
* Its sentence says what was being done, on which JSON pointer, which call failed and errno in words:
  ``/mounts/3: bind mount /srv/data on /data: open_tree: no such file or directory``.
* The substrings that engines look for (``permission denied``, ``no such file or directory``, ...) are the kernel's own
  words with a small first letter, so they are kept by construction.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

EXIT_ERROR: Final = 1
"""Any refused or failed command."""
EXIT_EXEC: Final = 255
"""`exec` could not join the container or start the program (runc's code)."""
EXIT_TIMEOUT: Final = 124
"""The time of `do --timeout` was over (the code of timeout(1))."""
EXIT_SIGNAL: Final = 128
"""Added to the signal's number when the program of `run` or `exec` was killed by a signal."""


def words(number: int) -> str:
    """errno in words, as the C library says it, with a small first letter."""
    text = os.strerror(number)
    return text[:1].lower() + text[1:]


class Failure(Exception):
    """What a command could not do. Every part is optional but `doing`.

    about: the command and the container's id, when the library is told; the command line puts them in front itself.
    doing: the deed, present tense, e.g. ``bind mount /srv/data on /data``.
    where: JSON pointer into config.json, or a file's path.
    call:  the system call that answered.
    errno: its errno, 0 when no call failed.
    hint:  what the person can try; printed on stderr only, never in the log line.
    code:  the exit code.
    """

    __slots__ = ("about", "call", "code", "doing", "errno", "hint", "where")

    def __init__(
        self, doing: str, *, where: str = "", call: str = "", errno: int = 0, hint: str = "", code: int = EXIT_ERROR
    ) -> None:
        super().__init__(doing)
        self.about = ""
        self.doing = doing
        self.where = where
        self.call = call
        self.errno = errno
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        parts = [self.about, self.where, self.doing, self.call, words(self.errno) if self.errno else ""]
        return ": ".join(part for part in parts if part)


def failure(doing: str, problem: OSError, *, where: str = "", hint: str = "") -> Failure:
    """A `Failure` out of what a kernel call said; `KernelError` names the call and what it was called on."""
    detail = getattr(problem, "detail", "") or problem.filename or ""
    if isinstance(detail, bytes):
        detail = os.fsdecode(detail)
    if detail and str(detail) != where and str(detail) not in doing:
        doing = f"{doing} ({detail})"
    return Failure(doing, where=where, call=getattr(problem, "call", ""), errno=problem.errno or 0, hint=hint)


def doing(deed: str, where: str = "") -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: what the kernel refuses in this function is a `Failure` of this deed, unless it says more itself."""

    def of(function: Callable[P, T]) -> Callable[P, T]:
        def named(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except OSError as problem:
                raise failure(deed, problem, where=where) from None

        return named

    return of


class NotSupported(Failure):
    """A property that does nothing on Linux or in this release: refused aloud, never ignored."""
