"""The spec's seccomp names and their values in libseccomp (seccomp.h): actions, architectures, operators.

An architecture's value is its AUDIT_ARCH_* number (linux/audit.h, `EM_*` of elf.h with bits for 64 bit, little endian
and the n32 convention) but for x32, which the kernel reports as x86_64 with bit 30 of the system call's number set.
"""

from __future__ import annotations

from typing import Final

_64BIT: Final = 0x80000000
_LE: Final = 0x40000000
_N32: Final = 0x20000000

SCMP_ACT_KILL: Final = 0x00000000
SCMP_ACT_ERRNO: Final = 0x00050000
SCMP_ACT_TRACE: Final = 0x7FF00000

ACTIONS: Final = {
    "SCMP_ACT_KILL": SCMP_ACT_KILL,
    "SCMP_ACT_KILL_THREAD": SCMP_ACT_KILL,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": SCMP_ACT_ERRNO,
    "SCMP_ACT_TRACE": SCMP_ACT_TRACE,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}

WITH_NUMBER: Final = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
"""The actions that carry 16 bits of data, which `errnoRet` gives."""

PERMISSIVE: Final = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY")
"""The default actions with which a system call that the profile does not know may still be made."""

SCMP_ARCH_X86_64: Final = 62 | _64BIT | _LE
SCMP_ARCH_X32: Final = 62 | _LE
SCMP_ARCH_S390: Final = 22
SCMP_ARCH_S390X: Final = 22 | _64BIT

ARCHITECTURES: Final = {
    "SCMP_ARCH_X86": 3 | _LE,
    "SCMP_ARCH_X86_64": SCMP_ARCH_X86_64,
    "SCMP_ARCH_X32": SCMP_ARCH_X32,
    "SCMP_ARCH_ARM": 40 | _LE,
    "SCMP_ARCH_AARCH64": 183 | _64BIT | _LE,
    "SCMP_ARCH_MIPS": 8,
    "SCMP_ARCH_MIPS64": 8 | _64BIT,
    "SCMP_ARCH_MIPS64N32": 8 | _64BIT | _N32,
    "SCMP_ARCH_MIPSEL": 8 | _LE,
    "SCMP_ARCH_MIPSEL64": 8 | _64BIT | _LE,
    "SCMP_ARCH_MIPSEL64N32": 8 | _64BIT | _LE | _N32,
    "SCMP_ARCH_PPC": 20,
    "SCMP_ARCH_PPC64": 21 | _64BIT,
    "SCMP_ARCH_PPC64LE": 21 | _64BIT | _LE,
    "SCMP_ARCH_S390": SCMP_ARCH_S390,
    "SCMP_ARCH_S390X": SCMP_ARCH_S390X,
    "SCMP_ARCH_PARISC": 15,
    "SCMP_ARCH_PARISC64": 15 | _64BIT,
    "SCMP_ARCH_RISCV64": 243 | _64BIT | _LE,
    "SCMP_ARCH_LOONGARCH64": 258 | _64BIT | _LE,
    "SCMP_ARCH_M68K": 4,
    "SCMP_ARCH_SH": 42 | _LE,
    "SCMP_ARCH_SHEB": 42,
}

OPERATORS: Final = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
"""enum scmp_compare; for MASKED_EQ `value` is the mask and `valueTwo` what the masked argument has to equal."""
