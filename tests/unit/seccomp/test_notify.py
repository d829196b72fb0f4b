"""The door before a notifying profile: who has the secret passes, everybody else meets the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocirun.errors import Failure
from ocirun.kernel import raw
from ocirun.linux.seccomp import notify

if TYPE_CHECKING:
    from collections.abc import Callable

POINTER = "/linux/seccomp"
ARCH = 0xC000003E
ALLOW = 0x7FFF0000
FELL_OFF = -1
HANDING_OVER = (raw.SENDMSG, raw.CLOSE, raw.READ)
OTHERS = (raw.EXECVE, raw.SECCOMP, raw.RECVMSG, raw.READ + 1, raw.CLOSE | 1 << 30)


@pytest.mark.parametrize("number", HANDING_OVER)
def test_the_secret_opens_the_door(verdict: Callable[[bytes, int, int], int], number: int) -> None:
    """The sixth argument of the calls that are judged here is 0."""
    assert verdict(notify.door(ARCH, 0), ARCH, number) == ALLOW


@pytest.mark.parametrize("number", HANDING_OVER)
@pytest.mark.parametrize("secret", [1, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_another_secret_does_not(verdict: Callable[[bytes, int, int], int], number: int, secret: int) -> None:
    assert verdict(notify.door(ARCH, secret), ARCH, number) == FELL_OFF


@pytest.mark.parametrize("number", OTHERS)
def test_other_calls_meet_the_profile(verdict: Callable[[bytes, int, int], int], number: int) -> None:
    assert verdict(notify.door(ARCH, 0), ARCH, number) == FELL_OFF


def test_other_architectures_meet_the_profile(verdict: Callable[[bytes, int, int], int]) -> None:
    assert verdict(notify.door(ARCH, 0), ARCH & 0x7FFFFFFF, raw.SENDMSG) == FELL_OFF


def test_each_process_has_its_own_secret() -> None:
    program = bytes(8)
    first, second = (notify.with_door(program, POINTER) for _ in range(2))
    assert first[1] != second[1]
    assert first[0].endswith(program)
    assert len(first[0]) == len(notify.door(ARCH, 0)) + len(program)


def test_a_program_that_is_full_has_no_place_for_a_door() -> None:
    with pytest.raises(Failure, match="the kernel takes 4096"):
        notify.with_door(bytes(4096 * 8), POINTER)
    notify.with_door(bytes(4085 * 8), POINTER)
