"""A profile that needs no library to look at, and classic BPF as the kernel runs it, for programs that nobody loads."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

Verdict = Callable[[bytes, int, int], int]
FELL_OFF = -1


@pytest.fixture
def profile() -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"}],
    }


@pytest.fixture
def verdict() -> Verdict:
    """``verdict(program, arch, nr)``: what the program returns, or FELL_OFF when it ends without returning."""
    return lambda program, arch, nr: _run(program, arch, nr)[0]


@pytest.fixture
def cost() -> Verdict:
    """``cost(program, arch, nr)``: how many instructions it takes to decide."""
    return lambda program, arch, nr: _run(program, arch, nr)[1]


def _run(program: bytes, arch: int, nr: int) -> tuple[int, int]:
    data = struct.pack("=IIQ6Q", nr, arch, 0, *[0] * 6)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, place, steps = 0, 0, 0
    while place < len(instructions):
        code, on_true, on_false, k = instructions[place]
        place += 1
        steps += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == 0x05:
            place += k
        elif code == 0x06:
            return int(k), steps
        else:
            tests = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}
            place += on_true if tests[code] else on_false
    assert place == len(instructions), "a jump leaves the program"
    return FELL_OFF, steps
