"""Names that configs and command lines use, and the kernel's numbers for them. Hot: imports nothing."""

from __future__ import annotations

# linux/capability.h: a capability's number is its bit.
CAPABILITIES: dict[str, int] = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_LINUX_IMMUTABLE": 9,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_BROADCAST": 11,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_IPC_OWNER": 15,
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_PACCT": 20,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_BOOT": 22,
    "CAP_SYS_NICE": 23,
    "CAP_SYS_RESOURCE": 24,
    "CAP_SYS_TIME": 25,
    "CAP_SYS_TTY_CONFIG": 26,
    "CAP_MKNOD": 27,
    "CAP_LEASE": 28,
    "CAP_AUDIT_WRITE": 29,
    "CAP_AUDIT_CONTROL": 30,
    "CAP_SETFCAP": 31,
    "CAP_MAC_OVERRIDE": 32,
    "CAP_MAC_ADMIN": 33,
    "CAP_SYSLOG": 34,
    "CAP_WAKE_ALARM": 35,
    "CAP_BLOCK_SUSPEND": 36,
    "CAP_AUDIT_READ": 37,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
    "CAP_CHECKPOINT_RESTORE": 40,
}

# asm-generic/resource.h, which x86 and arm use.
RLIMITS: dict[str, int] = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}

# linux/sched.h: the flag of clone(2), and the name of the file in /proc/PID/ns.
NAMESPACES: dict[str, tuple[int, str]] = {
    "time": (0x00000080, "time"),  # CLONE_NEWTIME
    "mount": (0x00020000, "mnt"),  # CLONE_NEWNS
    "cgroup": (0x02000000, "cgroup"),  # CLONE_NEWCGROUP
    "uts": (0x04000000, "uts"),  # CLONE_NEWUTS
    "ipc": (0x08000000, "ipc"),  # CLONE_NEWIPC
    "user": (0x10000000, "user"),  # CLONE_NEWUSER
    "pid": (0x20000000, "pid"),  # CLONE_NEWPID
    "network": (0x40000000, "net"),  # CLONE_NEWNET
}

# asm-generic/signal.h, which x86 and arm follow; synonyms come after the name that is printed.
SIGNALS: dict[str, int] = {
    "SIGHUP": 1,
    "SIGINT": 2,
    "SIGQUIT": 3,
    "SIGILL": 4,
    "SIGTRAP": 5,
    "SIGABRT": 6,
    "SIGBUS": 7,
    "SIGFPE": 8,
    "SIGKILL": 9,
    "SIGUSR1": 10,
    "SIGSEGV": 11,
    "SIGUSR2": 12,
    "SIGPIPE": 13,
    "SIGALRM": 14,
    "SIGTERM": 15,
    "SIGSTKFLT": 16,
    "SIGCHLD": 17,
    "SIGCONT": 18,
    "SIGSTOP": 19,
    "SIGTSTP": 20,
    "SIGTTIN": 21,
    "SIGTTOU": 22,
    "SIGURG": 23,
    "SIGXCPU": 24,
    "SIGXFSZ": 25,
    "SIGVTALRM": 26,
    "SIGPROF": 27,
    "SIGWINCH": 28,
    "SIGIO": 29,
    "SIGPWR": 30,
    "SIGSYS": 31,
    "SIGIOT": 6,
    "SIGCLD": 17,
    "SIGPOLL": 29,
}

# signal(7): the C library keeps the first two real-time signals for itself, so that is where programs start to count.
SIGRTMIN = 34
SIGRTMAX = 64


def signal_number(text: str) -> int | None:
    """The signal of `9`, `KILL`, `sigkill`, `SIGRTMIN+3` or `RTMAX-1`; None if there is none, 0 for `0`."""
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) < 4 else -1
        return number if 0 <= number <= SIGRTMAX else None
    name = text.upper().removeprefix("SIG")
    if name.startswith(("RTMIN", "RTMAX")):
        return _real_time(name)
    return SIGNALS.get("SIG" + name)


def _real_time(name: str) -> int | None:
    base, sign = (SIGRTMIN, "+") if name.startswith("RTMIN") else (SIGRTMAX, "-")
    offset = name[5:]
    if not offset:
        return base
    digits = offset[1:]
    if offset[0] != sign or not digits.isascii() or not digits.isdigit() or len(digits) > 2:
        return None
    number = base + int(offset)
    return number if SIGRTMIN <= number <= SIGRTMAX else None
