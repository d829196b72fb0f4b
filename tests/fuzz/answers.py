"""What a command answers, and whether a person is spoken to as the house wants it: one sentence, never a traceback."""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocirun import cli
from ocirun.kernel import process as kernel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECONDS = 20
_CRASH = 70


@dataclass(frozen=True)
class Answer:
    """Exit code, standard output and standard error of one command line."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    def check(self) -> Answer:
        """Warnings, then nothing (exit code 0) or one sentence and its hint; AssertionError for anything else."""
        lines = self.err.removesuffix("\n").split("\n")
        while lines and lines[0].startswith("ocirun: warning: "):
            del lines[0]
        assert self.code != _CRASH, self
        assert not any(word in self.err for word in ("Traceback", "internal error", "unforeseen")), self
        if self.code == 0:
            assert lines in ([], [""]), self
        else:
            assert self.code in (1, 2, 3, 255), self
            assert lines, self
            assert lines[0].startswith("ocirun "), self
            assert len(lines) == 1 or lines[1].startswith("hint: "), self
            assert not any(character in self.err for character in "\0\x1b\r"), self
        return self


def ask(words: Sequence[str], scratch: Path) -> Answer:
    """A command line, run by a child of this process: quicker than the program, and the same code."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _answer(words, scratch)
    pidfd = kernel.pidfd_open(pid)
    if not select.select([pidfd], [], [], SECONDS)[0]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise AssertionError(f"no end within {SECONDS} s: {words}")
    os.close(pidfd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    out, err = ((scratch / name).read_text(errors="replace") for name in ("out", "err"))
    return Answer(tuple(words), code, out, err)


def _answer(words: Sequence[str], scratch: Path) -> None:
    code = _CRASH
    try:
        for fd, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(scratch / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        code = cli.main(list(words))
    except BaseException:  # noqa: BLE001 (it is the child's last word)
        os.write(2, traceback.format_exc().encode("utf-8", "surrogateescape"))
    finally:
        os._exit(code)
