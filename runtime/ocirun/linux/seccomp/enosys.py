"""System calls newer than the profile: they answer ENOSYS, not the profile's refusal.

A profile lists what its author knew. A C library tries a newer system call first and goes back to the old one on
ENOSYS, but takes EPERM for a final answer. So a program of our own stands before the compiled one: a number above the
highest one that the profile names, on that architecture, answers ENOSYS; everything else falls through. runc does the
same; it does not help with numbers that were left out below the highest one.

The program (classic BPF; a jump's distance counts from the instruction after it) is one section for each architecture,
in order, and ends where the compiled program begins::

    0    ld  [4]                     seccomp_data.arch
    1    jeq #arch, 0, to the next section
    2    ld  [0]                     seccomp_data.nr
         jset #bit 30, …             x86_64 and x32 only, see below
         jeq #0, 0, 1 ; ret ENOSYS   s390 and s390x only, see below
    n-3  jgt #highest, 0, 1
    n-2  ret ERRNO | ENOSYS
    n-1  ja  to the end

With n instructions in the section, the conditional jump at index i reaches the next section with n - 1 - i, which is
below 256 in any section. `ja` has a distance of 32 bits: the sum of the lengths of the sections that follow.

x86_64 and x32 share one arch number and differ in bit 30 of nr: each section jumps to the next one when the bit is not
its own, and the highest number of x32 carries the bit. On s390 and s390x a number that the kernel does not know arrives
as 0, setup(2), which nobody can call.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Final

from ocirun.linux.seccomp.names import SCMP_ACT_ERRNO, SCMP_ARCH_S390, SCMP_ARCH_S390X, SCMP_ARCH_X32, SCMP_ARCH_X86_64

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BPF_LD_W_ABS: Final = 0x20
BPF_JMP_JA: Final = 0x05
BPF_JMP_JEQ_K: Final = 0x15
BPF_JMP_JGT_K: Final = 0x25
BPF_JMP_JSET_K: Final = 0x45
BPF_RET_K: Final = 0x06

OFFSET_OF_NR: Final = 0
OFFSET_OF_ARCH: Final = 4
X32_SYSCALL_BIT: Final = 1 << 30
RET_ENOSYS: Final = SCMP_ACT_ERRNO | errno.ENOSYS

Instruction = tuple[int, int, int, int]
"""struct sock_filter: code, distance when true, distance when false, k."""


def encode(program: Iterable[Instruction]) -> bytes:
    """The array of struct sock_filter (linux/filter.h): u16, u8, u8, u32 in the machine's byte order."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def prefix(highest: Sequence[tuple[int, int]]) -> bytes:
    """The program to put first; `highest` pairs an SCMP_ARCH_* value with the highest number known for it."""
    sections = [_section(arch, number) for arch, number in highest]
    program: list[Instruction] = []
    left = sum(len(section) + 1 for section in sections)
    for section in sections:
        left -= len(section) + 1
        program += [*section, (BPF_JMP_JA, 0, 0, left)]
    return encode(program)


def _section(arch: int, highest: int) -> list[Instruction]:
    """One section but for the closing `ja`, whose distance depends on the sections that follow."""
    mode, special = _mode(arch), _special(arch)
    length = 3 + len(mode) + len(special) + 3
    token = SCMP_ARCH_X86_64 if arch == SCMP_ARCH_X32 else arch
    section: list[Instruction] = [
        (BPF_LD_W_ABS, 0, 0, OFFSET_OF_ARCH),
        (BPF_JMP_JEQ_K, 0, length - 2, token),
        (BPF_LD_W_ABS, 0, 0, OFFSET_OF_NR),
    ]
    away = length - 1 - len(section)
    section += [(BPF_JMP_JSET_K, away * on_set, away * on_clear, X32_SYSCALL_BIT) for on_set, on_clear in mode]
    section += special
    section += [(BPF_JMP_JGT_K, 0, 1, highest), (BPF_RET_K, 0, 0, RET_ENOSYS)]
    return section


def _mode(arch: int) -> list[tuple[int, int]]:
    """Whether to leave the section when bit 30 is set, and when it is not."""
    return {SCMP_ARCH_X86_64: [(1, 0)], SCMP_ARCH_X32: [(0, 1)]}.get(arch, [])


def _special(arch: int) -> list[Instruction]:
    if arch not in (SCMP_ARCH_S390, SCMP_ARCH_S390X):
        return []
    return [(BPF_JMP_JEQ_K, 0, 1, 0), (BPF_RET_K, 0, 0, RET_ENOSYS)]
