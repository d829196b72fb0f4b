"""Profiles in the kernel: each action, operator and flag, seen from the process that is under the filter."""

from __future__ import annotations

import errno
import os
import signal
from typing import Any

import pytest

from ocirun.linux.seccomp.names import ARCHITECTURES

pytestmark = pytest.mark.kernel

X86 = ARCHITECTURES["SCMP_ARCH_X86"]
X32_SYSCALL_BIT = 1 << 30
BIG = 0xFFFF_FFFF_0000_0001


def rule(action: str, *names: str, **members: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **members}


def allowing(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules)}


def condition(index: int, op: str, value: int, second: int = 0) -> dict[str, Any]:
    return {"index": index, "op": "SCMP_CMP_" + op, "value": value, "valueTwo": second}


@pytest.mark.parametrize(("member", "expected"), [({}, errno.EPERM), ({"errnoRet": 0}, 0), ({"errnoRet": 95}, 95)])
def test_errno(verdicts: Any, number: Any, member: dict[str, int], expected: int) -> None:
    outcome = verdicts(allowing(rule("SCMP_ACT_ERRNO", "getppid", **member)), [(number("getppid"),)])
    assert outcome.answers == [-expected]


def test_other_calls_pass(verdicts: Any, number: Any) -> None:
    outcome = verdicts(allowing(rule("SCMP_ACT_ERRNO", "getppid")), [(number("getuid"),), (number("getppid"),)])
    assert outcome.answers == [os.getuid(), -errno.EPERM]


@pytest.mark.parametrize(
    ("action", "by"),
    [
        ("SCMP_ACT_KILL", signal.SIGSYS),
        ("SCMP_ACT_KILL_THREAD", signal.SIGSYS),
        ("SCMP_ACT_KILL_PROCESS", signal.SIGSYS),
        ("SCMP_ACT_TRAP", signal.SIGSYS),
    ],
)
def test_deadly_actions(verdicts: Any, number: Any, action: str, by: int) -> None:
    outcome = verdicts(allowing(rule(action, "getppid")), [(number("getuid"),), (number("getppid"),)])
    assert (outcome.answers, outcome.killed_by) == ([os.getuid()], by)


def test_trace_without_a_tracer(verdicts: Any, number: Any) -> None:
    outcome = verdicts(allowing(rule("SCMP_ACT_TRACE", "getppid", errnoRet=7)), [(number("getppid"),)])
    assert outcome.answers == [-errno.ENOSYS]


def test_log_lets_pass(verdicts: Any, number: Any) -> None:
    outcome = verdicts(allowing(rule("SCMP_ACT_LOG", "getppid")), [(number("getppid"),)])
    assert outcome.answers == [os.getpid()]


def test_default_errno_is_the_profiles(verdicts: Any, number: Any) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EXDEV,
        "syscalls": [rule("SCMP_ACT_ALLOW", "exit_group", "getuid", "mmap", "munmap", "brk", "futex")],
    }
    outcome = verdicts(profile, [(number("getuid"),), (number("getpgid"), 0)])
    assert outcome.answers == [os.getuid(), -errno.EXDEV]


@pytest.mark.parametrize(
    ("op", "value", "second", "refused"),
    [
        ("NE", 5, 0, [4, 6, BIG]),
        ("LT", 5, 0, [4]),
        ("LE", 5, 0, [4, 5]),
        ("EQ", 5, 0, [5]),
        ("GE", 5, 0, [5, 6, BIG]),
        ("GT", 5, 0, [6, BIG]),
        ("EQ", BIG, 0, [BIG]),
        ("MASKED_EQ", 0b101, 0b100, [4, 6]),
    ],
)
def test_operators(verdicts: Any, number: Any, op: str, value: int, second: int, refused: list[int]) -> None:
    """getppid ignores its arguments, so any can be given; the filter compares all 64 bits."""
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid", args=[condition(3, op, value, second)]))
    values = [4, 5, 6, BIG]
    outcome = verdicts(profile, [(number("getppid"), 0, 0, 0, each) for each in values])
    assert [each for each, answer in zip(values, outcome.answers, strict=True) if answer == -errno.EPERM] == refused


def test_conditions_on_different_arguments_are_joined_by_and(verdicts: Any, number: Any) -> None:
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid", args=[condition(0, "EQ", 1), condition(1, "EQ", 2)]))
    outcome = verdicts(profile, [(number("getppid"), *pair) for pair in [(1, 2), (1, 0), (0, 2)]])
    assert [answer == -errno.EPERM for answer in outcome.answers] == [True, False, False]


def test_conditions_on_one_argument_are_joined_by_or(verdicts: Any, number: Any) -> None:
    conditions = [condition(0, "EQ", 1), condition(0, "EQ", 2), condition(1, "EQ", 3)]
    outcome = verdicts(
        allowing(rule("SCMP_ACT_ERRNO", "getppid", args=conditions)),
        [(number("getppid"), *pair) for pair in [(1, 0), (2, 0), (0, 3), (0, 0)]],
    )
    assert [answer == -errno.EPERM for answer in outcome.answers] == [True, True, True, False]


def test_newer_calls_answer_enosys(verdicts: Any, number: Any) -> None:
    """Under the default action EPERM: what the profile names, what lies below its highest number, and what above."""
    allowed = ("exit_group", "mmap", "munmap", "brk", "futex", "getuid", "openat2")
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("SCMP_ACT_ALLOW", *allowed)]}
    highest = number("openat2")
    calls = [(number("getuid"),), (number("getppid"),), (highest + 1, -1, 0, 0), (5000,)]
    outcome = verdicts(profile, calls)
    assert outcome.answers == [os.getuid(), -errno.EPERM, -errno.ENOSYS, -errno.ENOSYS]


def test_many_rules(verdicts: Any, number: Any) -> None:
    """More than the number from which on the filter is a tree."""
    names = [name for name in MANY if name != "getppid"]
    assert len(names) > 32
    calls = [(number("getppid"),), *[(number(name), -1, -1, -1) for name in names]]
    outcome = verdicts(allowing(rule("SCMP_ACT_ERRNO", *names, errnoRet=77)), calls)
    assert outcome.answers == [os.getpid(), *[-77] * len(names)]


def test_x32_is_bad_where_it_is_not_named(verdicts: Any, number: Any) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("needs x86_64")
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"))
    outcome = verdicts(profile, [(number("getuid") | X32_SYSCALL_BIT,)])
    assert (outcome.answers, outcome.killed_by) == ([], signal.SIGSYS)
    outcome = verdicts(profile | {"architectures": ["SCMP_ARCH_X32"]}, [(number("getppid") | X32_SYSCALL_BIT,)])
    assert outcome.answers == [-errno.EPERM]


def test_x86_is_bad_where_it_is_not_named(verdicts: Any, x86_call: Any, number: Any) -> None:
    outcome = verdicts(allowing(rule("SCMP_ACT_ERRNO", "getppid")), [(number("getuid", X86),)], x86_call)
    assert (outcome.answers, outcome.killed_by) == ([], signal.SIGSYS)


def test_x86_has_its_own_numbers(verdicts: Any, x86_call: Any, number: Any) -> None:
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid")) | {"architectures": ["SCMP_ARCH_X86"]}
    outcome = verdicts(profile, [(number("getppid", X86),), (number("getuid32", X86),)], x86_call)
    assert outcome.answers == [-errno.EPERM, os.getuid()]
    assert verdicts(profile, [(number("getppid"),)]).answers == [-errno.EPERM]


def test_x86_newer_calls_answer_enosys(verdicts: Any, x86_call: Any, number: Any) -> None:
    allowed = ("exit_group", "mmap", "munmap", "brk", "futex", "getuid32", "clone3")
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [rule("SCMP_ACT_ALLOW", *allowed)],
    }
    calls = [(number("getuid32", X86),), (number("getppid", X86),), (number("clone3", X86) + 1,)]
    assert verdicts(profile, calls, x86_call).answers == [os.getuid(), -errno.EPERM, -errno.ENOSYS]


@pytest.mark.parametrize("flag", ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"])
def test_each_flag_is_taken_by_the_kernel(verdicts: Any, number: Any, flag: str) -> None:
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid")) | {"flags": ["SECCOMP_FILTER_FLAG_" + flag]}
    assert verdicts(profile, [(number("getppid"),)]).answers == [-errno.EPERM]


MANY = (
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module", "fanotify_init",
    "finit_module", "fsopen", "fsmount", "fspick", "get_mempolicy", "getppid", "init_module", "kcmp", "kexec_load",
    "keyctl", "lookup_dcookie", "mbind", "migrate_pages", "mount", "move_mount", "move_pages", "name_to_handle_at",
    "open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "quotactl", "reboot", "request_key", "setns",
    "swapoff", "swapon", "umount2", "unshare", "userfaultfd", "vhangup",
)  # fmt: skip
