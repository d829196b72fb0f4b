"""Compiling in a process of its own: nothing that the compiler loads stays with the caller."""

from __future__ import annotations

from ocirun import answering, cold, log
from ocirun.errors import Failure
from ocirun.linux.seccomp import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def build(profile: dict[str, Any], pointer: str, cache_dir: str, digest: bytes) -> bytes:
    """The compiled program, which is in the cache then too; a `Failure` with its pointer otherwise."""
    answered = answering.ask(__name__, profile, pointer, cache_dir, digest)
    if isinstance(answered, bytes):
        return answered
    if answered is None:
        raise Failure("compile the seccomp profile: the compiler died", where=pointer)
    where, doing, call, number = answered
    raise Failure(doing, where=where, call=call, errno=number)


def answer(profile: dict[str, Any], pointer: str, cache_dir: str, digest: bytes) -> bytes | tuple[str, str, str, int]:
    """The program, or the parts of a `Failure`."""
    try:
        cold.enable()
        from ocirun.linux.seccomp.compile import compile_profile

        program = compile_profile(profile, pointer)
    except Failure as problem:
        return problem.where, problem.doing, problem.call, problem.errno
    except Exception as problem:  # noqa: BLE001 - whatever it is, who asked has to hear of it
        return pointer, f"compile the seccomp profile: {type(problem).__name__}: {problem}", "", 0
    try:
        cache.keep(cache_dir, digest, program)
    except OSError as problem:
        log.debug(f"the seccomp filter is not kept in {cache_dir}: {problem.strerror}")
    return program
