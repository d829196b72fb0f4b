"""The door to the kernel: system calls by number.

Rules: nothing here knows what an argument means; the modules beside this one do. A call either gives the kernel's
result or raises `KernelError`, which names it. The launcher's built-in module makes the calls; without the launcher
ctypes does.

The numbers are those of asm/unistd_64.h on x86_64 and of asm-generic/unistd.h on every other 64-bit machine (aarch64,
riscv64). Numbers from 424 on are the same everywhere.
"""

from __future__ import annotations

import os

try:
    from _ocirun import clone3, forget, shared, syscall
except ImportError:
    from ocirun.kernel.fallback import clone3, forget, shared, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Argument = int | bytes | bytearray | memoryview | None

__all__ = ["KernelError", "call", "checked", "clone3", "forget", "shared", "syscall"]

# i686 is what x86_64 says to a process under PER_LINUX32 (personality(2)), as the runtime itself may be.
_X86_64: Final = os.uname().machine in ("x86_64", "i686")

ACCEPT4: Final = 288 if _X86_64 else 242
ADD_KEY: Final = 248 if _X86_64 else 217
BPF: Final = 321 if _X86_64 else 280
CAPGET: Final = 125 if _X86_64 else 90
CAPSET: Final = 126 if _X86_64 else 91
CHDIR: Final = 80 if _X86_64 else 49
CHROOT: Final = 161 if _X86_64 else 51
CLONE3: Final = 435
CLOSE: Final = 3 if _X86_64 else 57
CLOSE_RANGE: Final = 436
DUP3: Final = 292 if _X86_64 else 24
EXECVE: Final = 59 if _X86_64 else 221
EXECVEAT: Final = 322 if _X86_64 else 281
FCHDIR: Final = 81 if _X86_64 else 50
FCHMOD: Final = 91 if _X86_64 else 52
FCHMODAT: Final = 268 if _X86_64 else 53
FCHMODAT2: Final = 452
FCHOWN: Final = 93 if _X86_64 else 55
FCHOWNAT: Final = 260 if _X86_64 else 54
FSCONFIG: Final = 431
FSMOUNT: Final = 432
FSOPEN: Final = 430
FSPICK: Final = 433
FSTATFS: Final = 138 if _X86_64 else 44
GET_MEMPOLICY: Final = 239 if _X86_64 else 236
GETDENTS64: Final = 217 if _X86_64 else 61
GETRESGID: Final = 120 if _X86_64 else 150
GETRESUID: Final = 118 if _X86_64 else 148
GETTID: Final = 186 if _X86_64 else 178
INOTIFY_INIT1: Final = 294 if _X86_64 else 26
IOCTL: Final = 16 if _X86_64 else 29
IOPRIO_GET: Final = 252 if _X86_64 else 31
IOPRIO_SET: Final = 251 if _X86_64 else 30
KEYCTL: Final = 250 if _X86_64 else 219
KILL: Final = 62 if _X86_64 else 129
LINKAT: Final = 265 if _X86_64 else 37
LISTMOUNT: Final = 458
MEMFD_CREATE: Final = 319 if _X86_64 else 279
MKDIRAT: Final = 258 if _X86_64 else 34
MKNODAT: Final = 259 if _X86_64 else 33
MOUNT: Final = 165 if _X86_64 else 40
MOUNT_SETATTR: Final = 442
MOVE_MOUNT: Final = 429
NAME_TO_HANDLE_AT: Final = 303 if _X86_64 else 264
OPENAT: Final = 257 if _X86_64 else 56
OPENAT2: Final = 437
OPEN_TREE: Final = 428
OPEN_TREE_ATTR: Final = 467
PERSONALITY: Final = 135 if _X86_64 else 92
PIDFD_GETFD: Final = 438
PIDFD_OPEN: Final = 434
PIDFD_SEND_SIGNAL: Final = 424
PIVOT_ROOT: Final = 155 if _X86_64 else 41
PPOLL: Final = 271 if _X86_64 else 73
PRCTL: Final = 157 if _X86_64 else 167
PRLIMIT64: Final = 302 if _X86_64 else 261
READ: Final = 0 if _X86_64 else 63
READLINKAT: Final = 267 if _X86_64 else 78
RECVMSG: Final = 47 if _X86_64 else 212
RENAMEAT2: Final = 316 if _X86_64 else 276
REQUEST_KEY: Final = 249 if _X86_64 else 218
RT_SIGACTION: Final = 13 if _X86_64 else 134
RT_SIGPROCMASK: Final = 14 if _X86_64 else 135
RT_SIGTIMEDWAIT: Final = 128 if _X86_64 else 137
SCHED_GETAFFINITY: Final = 204 if _X86_64 else 123
SCHED_GETATTR: Final = 315 if _X86_64 else 275
SCHED_SETAFFINITY: Final = 203 if _X86_64 else 122
SCHED_SETATTR: Final = 314 if _X86_64 else 274
SECCOMP: Final = 317 if _X86_64 else 277
SENDMSG: Final = 46 if _X86_64 else 211
SET_MEMPOLICY: Final = 238 if _X86_64 else 237
SETDOMAINNAME: Final = 171 if _X86_64 else 162
SETGROUPS: Final = 116 if _X86_64 else 159
SETHOSTNAME: Final = 170 if _X86_64 else 161
SETNS: Final = 308 if _X86_64 else 268
SETRESGID: Final = 119 if _X86_64 else 149
SETRESUID: Final = 117 if _X86_64 else 147
SETSID: Final = 112 if _X86_64 else 157
SIGNALFD4: Final = 289 if _X86_64 else 74
STATMOUNT: Final = 457
STATX: Final = 332 if _X86_64 else 291
SYMLINKAT: Final = 266 if _X86_64 else 36
TIMERFD_CREATE: Final = 283 if _X86_64 else 85
UMASK: Final = 95 if _X86_64 else 166
UMOUNT2: Final = 166 if _X86_64 else 39
UNLINKAT: Final = 263 if _X86_64 else 35
UNSHARE: Final = 272 if _X86_64 else 97
UTIMENSAT: Final = 280 if _X86_64 else 88
WAITID: Final = 247 if _X86_64 else 95


class KernelError(OSError):
    """A system call that failed.

    call:   its name, e.g. ``open_tree``.
    detail: what it was called on, in a few words, or empty.
    """

    call: str
    detail: str

    def __init__(self, number: int, call: str, detail: str = "") -> None:
        super().__init__(number, os.strerror(number))
        self.call = call
        self.detail = detail


def checked(name: str, result: int, detail: str = "") -> int:
    """Give back what `syscall` answered, or raise `KernelError` when that is a negated errno."""
    if result < 0:
        raise KernelError(-result, name, detail)
    return result


def call(name: str, number: int, *args: Argument, detail: str = "") -> int:
    """Make the system call `number` and give its result; `name` and `detail` go into the `KernelError`.

    An int (signed or unsigned, 64 bits) is passed as it is, None as 0, bytes as a pointer to their NUL-terminated
    content, and a bytearray or memoryview as a pointer to a buffer that the kernel may write to.
    """
    result = syscall(number, *args)
    if result < 0:
        raise KernelError(-result, name, detail)
    return result
