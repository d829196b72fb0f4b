"""Asking a process of its own, which may load libraries, and leaves nothing of them with the caller.

The launcher is linked statically and cannot load any, so that process executes its companion; elsewhere it is a copy of
the caller. What is asked is a module's function `answer`. Its arguments and its result go through pipes, so they are
what marshal writes: numbers, texts, bytes, lists, tuples, dicts.
"""

from __future__ import annotations

import marshal
import os

from ocirun import cold, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Never

_WORD: Final = "--answer"


def ask(module: str, *question: Any) -> Any:
    """What `module.answer(*question)` returns; None when the process died.

    The answer is believed, not the exit status, which is lost when the caller of ocirun ignores SIGCHLD.
    """
    asked, asking = os.pipe()
    reading, answering = os.pipe()
    child = os.fork()
    if child == 0:
        _child(module, (asked, asking), (reading, answering))
    os.close(asked)
    os.close(answering)
    try:
        try:
            _write_all(asking, marshal.dumps(question))
        except BrokenPipeError:
            return None
        finally:
            os.close(asking)
        answer = _read_all(reading)
        return marshal.loads(answer) if answer else None
    finally:
        os.close(reading)
        _reap(child)


def _child(module: str, question: tuple[int, int], answer: tuple[int, int]) -> Never:
    """Never returns: what the caller has on its stack is not this process's to unwind."""
    status = 1
    try:
        os.dup2(question[0], 0)
        os.dup2(answer[1], 1)
        for fd in (*question, *answer):
            os.close(fd)  # one of them would keep the question from ending
        words = [_WORD, module, *log.handed()]
        cold.begin_again(*words)
        status = main(words)
    finally:
        os._exit(status)


def main(words: list[str]) -> int:
    """Answer one question: read it from standard input, write to standard output. `words` are those of the launcher."""
    log.take(*words[2:])
    asked = __import__(words[1], None, None, ("answer",))
    _write_all(1, marshal.dumps(asked.answer(*marshal.loads(_read_all(0)))))
    return 0


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def _reap(child: int) -> None:
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        return
