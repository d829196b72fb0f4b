"""The counter of instructions: programs whose number is known."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support import facility
from support.command import run_command
from support.facility import requires
from support.instructions import Counter, countable

if TYPE_CHECKING:
    from pathlib import Path

LOOP = """
.globl _start
_start:
    mov $50000, %ecx
1:  dec %ecx
    jnz 1b
    mov $60, %eax           # exit(0)
    xor %edi, %edi
    syscall
"""
TEXT = """
.globl _start
_start:
    mov $100, %ecx
    lea text(%rip), %rsi
    lea text(%rip), %rdi
    rep movsb
    mov $60, %eax
    xor %edi, %edi
    syscall
.bss
text: .space 100
"""
CHILD = """
.globl _start
_start:
    mov $435, %eax          # clone3(CLONE_NEWPID, SIGCHLD)
    lea wanted(%rip), %rdi
    mov $88, %esi
    syscall
    test %eax, %eax
    jz child
    mov $61, %eax           # wait4(-1, 0, 0, 0)
    mov $-1, %rdi
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    syscall
    mov $60, %eax
    xor %edi, %edi
    syscall
child:
    mov $1000, %ecx
1:  dec %ecx
    jnz 1b
    mov $428, %eax          # open_tree(-1, 0, 0), which valgrind 3.19 does not know, again while it is ENOSYS
    mov $-1, %edi
    xor %esi, %esi
    xor %edx, %edx
    syscall
    cmp $-38, %rax
    je child
    mov $59, %eax           # execve("/bin/true", {"/bin/true", 0}, 0), which is not counted
    lea program(%rip), %rdi
    lea words(%rip), %rsi
    xor %edx, %edx
    syscall
.data
wanted: .quad 0x20000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0
words: .quad program, 0
program: .asciz "/bin/true"
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Counter:
    facility.need(facility.root, countable)
    return Counter(tmp_path_factory.mktemp("counter"))


@requires(facility.root, countable)
@pytest.mark.parametrize(
    ("source", "counts"),
    [
        pytest.param(LOOP, [1 + 2 * 50_000 + 3], id="loop"),
        pytest.param(TEXT, [3 + 101 + 3], id="repeated"),
        pytest.param(CHILD, [2 + 1 + 2 * 1000 + 7 + 5, 6 + 6 + 3], id="child"),
    ],
)
def test_counts_are_exact(counter: Counter, tmp_path: Path, source: str, counts: list[int]) -> None:
    program = tmp_path / "program"
    command = ["gcc", "-x", "assembler", "-", "-nostdlib", "-static", "-o", str(program)]
    subprocess.run(command, input=source, text=True, check=True, timeout=60)
    run_command([str(counter.command), str(program)], tmp_path / "call").ok()
    assert counter.counts() == counts
