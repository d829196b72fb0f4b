"""The launcher's two raw calls through ctypes, for ``python -m ocirun`` and for use as a library.

Rules: the same signatures, results and argument rules as the built-in module ``_ocirun``; the GIL is kept during a call
(PyDLL), since between clone3 and the fork hooks no other thread may run Python.
"""

from __future__ import annotations

import ctypes
import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CLONE_PIDFD: Final = 0x00001000
CLONE_INTO_CGROUP: Final = 0x200000000
SYS_CLONE3: Final = 435
MAX_ARGUMENTS: Final = 6

_libc: Final = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _register(value: int | bytes | bytearray | memoryview | None) -> object:
    """One argument as ctypes passes it: an integer of register width or a pointer."""
    if value is None:
        return ctypes.c_ulonglong(0)
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise OverflowError("int does not fit a register")
        return ctypes.c_ulonglong(value & (1 << 64) - 1)
    if isinstance(value, bytes):
        return ctypes.c_char_p(value)
    buffer = memoryview(value).cast("B")
    return ctypes.byref((ctypes.c_char * buffer.nbytes).from_buffer(buffer))


def syscall(number: int, *args: int | bytes | bytearray | memoryview | None) -> int:
    """Make a system call: its result, or the negated errno. Raises only for arguments that cannot be passed."""
    if len(args) > MAX_ARGUMENTS:
        raise TypeError("syscall takes a number and up to 6 arguments")
    result: int = _libc.syscall(ctypes.c_long(number), *[_register(value) for value in args])
    return -ctypes.get_errno() if result == -1 else result


def clone3(flags: int, exit_signal: int, cgroup_fd: int = -1) -> tuple[int, int]:
    """Fork with clone3(2) flags: (pid, pidfd) in the caller, (0, -1) in the child, (-errno, -1) when it failed.

    CLONE_PIDFD is always added, and CLONE_INTO_CGROUP when `cgroup_fd` is not negative. The child runs on a copy of the
    caller's stack; CLONE_VM and CLONE_THREAD must not be among the flags. `exit_signal` has to be 0 with CLONE_PARENT.
    """
    pidfd = ctypes.c_int(-1)
    flags |= CLONE_PIDFD
    cgroup = 0
    if cgroup_fd >= 0:
        flags |= CLONE_INTO_CGROUP
        cgroup = cgroup_fd
    # struct clone_args of linux/sched.h: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    # set_tid, set_tid_size, cgroup
    fields = (flags, ctypes.addressof(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0, cgroup)
    request = b"".join(field.to_bytes(8, "little") for field in fields)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = syscall(SYS_CLONE3, request, len(request))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    return (pid, pidfd.value) if pid > 0 else (pid, -1)


def shared(size: int) -> memoryview:
    """Memory of so many bytes that this process shares with those that it makes."""
    return memoryview(mmap.mmap(-1, size))


def forget() -> None:
    """Without a launcher nobody knows where the command line and the environment lie."""
