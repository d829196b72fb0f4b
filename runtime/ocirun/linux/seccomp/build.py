"""Compiling in a child: the caller stays as lean as it was, and nothing that the compiler loads stays with it.

The child answers with one record through a pipe: ``P`` and the program, or ``E`` and the parts of a `Failure`. The
parent believes the record, not the exit status, which is lost when the caller of ocirun ignores SIGCHLD.
"""

from __future__ import annotations

import os

from ocirun import cold, log
from ocirun.errors import Failure
from ocirun.linux.seccomp import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Never

_PROGRAM: Final = b"P"
_ERROR: Final = b"E"


def build(profile: dict[str, Any], pointer: str, cache_dir: str, digest: bytes) -> bytes:
    """The compiled program, which the child has also put into the cache; a `Failure` with its pointer otherwise."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(profile, pointer, cache_dir, digest, writing)
    os.close(writing)
    try:
        record = _read_all(reading)
    finally:
        os.close(reading)
        _reap(child)
    if record[:1] == _PROGRAM:
        return record[1:]
    if record[:1] == _ERROR:
        where, doing, call, number = record[1:].decode("utf-8", "surrogateescape").split("\0")
        raise Failure(doing, where=where, call=call, errno=int(number))
    raise Failure("compile the seccomp profile: the compiler died", where=pointer)


def _child(profile: dict[str, Any], pointer: str, cache_dir: str, digest: bytes, writing: int) -> Never:
    """Never returns: what the caller has on its stack is not this process's to unwind."""
    status = 1
    try:
        record = _answer(profile, pointer, cache_dir, digest)
        while record:
            record = record[os.write(writing, record) :]
        status = 0
    finally:
        os._exit(status)


def _answer(profile: dict[str, Any], pointer: str, cache_dir: str, digest: bytes) -> bytes:
    try:
        cold.enable()
        from ocirun.linux.seccomp.compile import compile_profile

        program = compile_profile(profile, pointer)
    except Failure as problem:
        return _error(problem)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the parent has to hear of it
        text = f"compile the seccomp profile: {type(problem).__name__}: {problem}"
        return _error(Failure(text, where=pointer))
    try:
        cache.keep(cache_dir, digest, program)
    except OSError as problem:
        log.debug(f"the seccomp filter is not kept in {cache_dir}: {problem.strerror}")
    return _PROGRAM + program


def _error(problem: Failure) -> bytes:
    parts = (problem.where, problem.doing, problem.call, str(problem.errno))
    return _ERROR + "\0".join(parts).encode("utf-8", "surrogateescape")


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
