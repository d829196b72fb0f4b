"""Properties of config-linux.md's seccomp section, and the names it takes from libseccomp 2.6."""

from __future__ import annotations

from .row import Property, Section

ACTIONS = tuple(
    "SCMP_ACT_" + name
    for name in ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY"]
)
OPERATORS = tuple("SCMP_CMP_" + name for name in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"])
ARCHITECTURES = tuple(
    "SCMP_ARCH_" + name
    for name in [
        "X86",
        "X86_64",
        "X32",
        "ARM",
        "AARCH64",
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
        "SHEB",
    ]
)
FLAGS = tuple("SECCOMP_FILTER_FLAG_" + name for name in ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"])

_seccomp = Section("/linux/seccomp", "seccomp")

ROWS: tuple[Property, ...] = (
    _seccomp.object("", "defaultAction"),
    _seccomp.choice("/defaultAction", ACTIONS),
    _seccomp.integer("/defaultErrnoRet", "uint32", "1.1.0"),
    *_seccomp.choices("/architectures", ARCHITECTURES),
    *_seccomp.choices("/flags", FLAGS, "1.0.2"),
    _seccomp.string("/listenerPath", since="1.1.0"),
    _seccomp.string("/listenerMetadata", since="1.1.0"),
    _seccomp.array("/syscalls"),
    _seccomp.object("/syscalls/*", "names", "action"),
    _seccomp.array("/syscalls/*/names", min_items=1),
    _seccomp.string("/syscalls/*/names/*"),
    _seccomp.choice("/syscalls/*/action", ACTIONS),
    _seccomp.integer("/syscalls/*/errnoRet", "uint32", "1.1.0"),
    _seccomp.array("/syscalls/*/args"),
    _seccomp.object("/syscalls/*/args/*", "index", "value", "op"),
    # A system call has six arguments (seccomp_rule_add(3)).
    _seccomp.within("/syscalls/*/args/*/index", 0, 5),
    _seccomp.integer("/syscalls/*/args/*/value", "uint64"),
    _seccomp.integer("/syscalls/*/args/*/valueTwo", "uint64"),
    _seccomp.choice("/syscalls/*/args/*/op", OPERATORS),
)
