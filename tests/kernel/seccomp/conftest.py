"""A process under a filter: loaded by the runtime's own steps, watched from outside.

The process reports through shared memory, so that the filter under test may refuse whatever it likes. It sets
no_new_privs first, as seccomp(2) wants it of a caller without CAP_SYS_ADMIN, so the tests need no root.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyseccomp", reason="needs pyseccomp and libseccomp", exc_type=ImportError)

from ocirun.kernel import raw
from ocirun.linux import seccomp

if TYPE_CHECKING:
    from pathlib import Path

POINTER = "/linux/seccomp"
PR_SET_NO_NEW_PRIVS = 38
UNANSWERED = -(1 << 62)
DEADLINE = 20.0
NOBODY: Any = None
"""Neither step looks at the host or the scene."""

# eax = edi, ebx = esi, ecx = edx, edx = ecx; int 0x80: the kernel's 32-bit door, open to 64-bit processes too.
INT_0X80 = bytes.fromhex("89f8 53 89f3 4189c8 89d1 4489c2 cd80 5b 4863c0 c3")

Call = tuple[int, ...]


class Outcome:
    """What the calls answered, negated errnos among it, and the signal that ended the process, or 0."""

    def __init__(self, answers: list[int], killed_by: int) -> None:
        self.answers = answers
        self.killed_by = killed_by

    def __repr__(self) -> str:
        return f"Outcome({self.answers}, killed_by={self.killed_by})"


Verdicts = Callable[..., Outcome]


@pytest.fixture(scope="session")
def machine_code() -> Iterator[Callable[[int, int, int, int], int]]:
    """A function that makes a 32-bit x86 system call with three arguments."""
    if os.uname().machine != "x86_64":
        pytest.skip("needs x86_64")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(INT_0X80)
    anchor = ctypes.c_char.from_buffer(page)
    prototype = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 4)
    yield prototype(ctypes.addressof(anchor))
    del anchor
    page.close()


@pytest.fixture
def x86_call(machine_code: Callable[[int, int, int, int], int]) -> Callable[..., int]:
    """``x86_call(number, *arguments)``, where the kernel was built to answer it."""

    def call(number: int, *arguments: int) -> int:
        return machine_code(number, *(*arguments, 0, 0, 0)[:3])

    pid = os.fork()
    if pid == 0:
        os._exit(0 if call(20) == os.getpid() else 1)
    if _status(pid) != 0:
        pytest.skip("needs a kernel with the 32-bit x86 ABI")
    return call


@pytest.fixture
def verdicts(tmp_path: Path) -> Verdicts:
    """``verdicts(profile, calls, call=…)``: make `calls`, each a tuple of number and arguments, under the filter."""

    def run(profile: dict[str, Any], calls: list[Call], call: Callable[..., int] = raw.syscall) -> Outcome:
        outside, inside = seccomp.plan(profile, POINTER, str(tmp_path / "cache"))
        outside.do(outside, NOBODY)
        return _under(lambda: inside.do(inside, NOBODY), calls, call)

    return run


def _under(load: Callable[[], None], calls: list[Call], call: Callable[..., int]) -> Outcome:
    memory = mmap.mmap(-1, 8 * (len(calls) + 1))
    struct.pack_into(f"{len(calls) + 1}q", memory, 0, *[UNANSWERED] * (len(calls) + 1))
    pid = os.fork()
    if pid == 0:
        _report(memory, load, calls, call)
    with _end_after(pid, DEADLINE):
        status = _status(pid)
    loaded, *answers = struct.unpack_from(f"{len(calls) + 1}q", memory, 0)
    memory.close()
    assert loaded == 0, f"loading the filter failed with {errno.errorcode.get(-loaded, loaded)}"
    return Outcome([answer for answer in answers if answer != UNANSWERED], -status if status < 0 else 0)


def _report(memory: mmap.mmap, load: Callable[[], None], calls: list[Call], call: Callable[..., int]) -> None:
    """In the child; leaves by a signal if the filter does not let it leave at all."""
    try:
        raw.call("prctl", raw.PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        load()
        struct.pack_into("q", memory, 0, 0)
        for index, arguments in enumerate(calls):
            struct.pack_into("q", memory, 8 * (index + 1), call(*arguments))
    except OSError as problem:
        struct.pack_into("q", memory, 0, -(problem.errno or 1))
    finally:
        os._exit(0)


def _status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def _end_after(pid: int, seconds: float) -> Iterator[None]:
    alarm = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()
        alarm.join()


@pytest.fixture
def number() -> Callable[..., int]:
    """``number(name, arch=0)``: a system call's number, on the native architecture unless told otherwise."""
    import pyseccomp

    def resolve(name: str, arch: int = 0) -> int:
        found = int(pyseccomp.resolve_syscall(arch, name))
        assert found >= 0, f"{name} is unknown"
        return found

    return resolve
