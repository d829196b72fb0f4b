"""The program that answers ENOSYS above the highest known number, run by a small interpreter of classic BPF."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ocirun.linux.seccomp import enosys
from ocirun.linux.seccomp.names import ARCHITECTURES

X86_64, X86, X32 = (ARCHITECTURES["SCMP_ARCH_" + name] for name in ("X86_64", "X86", "X32"))
S390X, AARCH64 = ARCHITECTURES["SCMP_ARCH_S390X"], ARCHITECTURES["SCMP_ARCH_AARCH64"]
BIT = enosys.X32_SYSCALL_BIT
ENOSYS = 0x00050000 | 38
FELL_OFF = -1


def test_boundary_of_one_architecture(verdict: Any) -> None:
    program = enosys.prefix([(AARCH64, 441)])
    assert [verdict(program, AARCH64, nr) for nr in (0, 441, 442, 0xFFFFFFFF)] == [FELL_OFF, FELL_OFF, ENOSYS, ENOSYS]


def test_architecture_that_is_not_named_falls_through(verdict: Any) -> None:
    program = enosys.prefix([(AARCH64, 441)])
    assert verdict(program, X86_64, 100000) == FELL_OFF


@pytest.mark.parametrize("order", list(itertools.permutations([(X86_64, 450), (X86, 430), (X32, BIT | 440)])))
def test_boundaries_in_any_order(verdict: Any, order: list[tuple[int, int]]) -> None:
    program = enosys.prefix(order)
    for nr in (0, 430, 440, 450):
        assert verdict(program, X86_64, nr) == FELL_OFF
    assert verdict(program, X86_64, 451) == ENOSYS
    assert verdict(program, X86, 430) == FELL_OFF
    assert verdict(program, X86, 431) == ENOSYS
    assert verdict(program, X86_64, BIT | 440) == FELL_OFF
    assert verdict(program, X86_64, BIT | 441) == ENOSYS


def test_x32_is_left_to_the_filter_when_it_is_not_named(verdict: Any) -> None:
    program = enosys.prefix([(X86_64, 450), (X86, 430)])
    assert verdict(program, X86_64, BIT | 1) == FELL_OFF
    assert verdict(program, X86_64, 451) == ENOSYS


def test_x86_64_is_left_to_the_filter_when_only_x32_is_known(verdict: Any) -> None:
    program = enosys.prefix([(X32, BIT | 440)])
    assert verdict(program, X86_64, 100000) == FELL_OFF
    assert verdict(program, X86_64, BIT | 441) == ENOSYS


def test_setup_on_s390x(verdict: Any) -> None:
    program = enosys.prefix([(S390X, 450), (AARCH64, 440)])
    assert [verdict(program, S390X, nr) for nr in (0, 1, 450, 451)] == [ENOSYS, FELL_OFF, FELL_OFF, ENOSYS]
    assert [verdict(program, AARCH64, nr) for nr in (0, 440, 441)] == [FELL_OFF, FELL_OFF, ENOSYS]


def test_every_architecture_at_once(verdict: Any) -> None:
    highest = [(arch, 400 + index) for index, arch in enumerate(ARCHITECTURES.values()) if arch != X32]
    program = enosys.prefix(highest)
    for arch, number in highest:
        assert verdict(program, arch, number) == FELL_OFF
        assert verdict(program, arch, number + 1) == ENOSYS


def test_nothing_known_is_no_program() -> None:
    assert enosys.prefix([]) == b""
