"""linux.seccomp from inside: every action and operator, the errnos, and what is newer than the profile."""

from __future__ import annotations

import errno
import signal
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence, status_lines
from process.calls import ITS_OWN, Calls, allowing, number, rule
from support.bundle import default_config, with_user_namespace
from support.facility import need, user_namespace

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SIGNALLED = 128
BIG = 0xFFFF_FFFF_0000_0001
EPERM = -errno.EPERM


def forbidding(action: str, **members: Any) -> dict[str, Any]:
    """A profile whose default action meets getppid, and nothing that the program needs."""
    return {"defaultAction": action, "syscalls": [rule("SCMP_ACT_ALLOW", *ITS_OWN)], **members}


BOTH_WAYS = pytest.mark.parametrize("default", [False, True], ids=["rule", "default"])


def profile_of(default: bool, action: str, value: int | None = None) -> dict[str, Any]:
    """getppid meets the action, by a rule or by default."""
    if default:
        return forbidding(action, **({} if value is None else {"defaultErrnoRet": value}))
    return allowing(rule(action, "getppid", **({} if value is None else {"errnoRet": value})))


@BOTH_WAYS
@pytest.mark.parametrize(("value", "expected"), [(None, errno.EPERM), (0, 0), (95, 95), (4094, 4094)])
def test_errno(calls: Calls, default: bool, value: int | None, expected: int) -> None:
    profile = profile_of(default, "SCMP_ACT_ERRNO", value)
    assert calls.answers(profile, (number("getppid"),), (number("getuid"),)) == [-expected, 0]


@BOTH_WAYS
@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"])
def test_what_may_go_on(calls: Calls, default: bool, action: str) -> None:
    assert calls.answers(profile_of(default, action), (number("getppid"),)) == [0]


@BOTH_WAYS
def test_kill_process(calls: Calls, default: bool) -> None:
    result = calls.run(profile_of(default, "SCMP_ACT_KILL_PROCESS"), "thread", number("getppid"))
    assert result.expect(SIGNALLED + signal.SIGSYS).out == ""


@BOTH_WAYS
@pytest.mark.parametrize("action", ["SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL"])
def test_kill_thread(calls: Calls, default: bool, action: str) -> None:
    """One thread of two; and the only one, which is the process."""
    profile = profile_of(default, action)
    assert calls.run(profile, "thread", number("getppid")).ok().out == "main goes on\n"
    calls.box.ident = calls.box.name("second")
    assert calls.run(profile, "call", number("getppid")).expect(SIGNALLED + signal.SIGSYS).out == ""


@BOTH_WAYS
def test_trap(calls: Calls, default: bool) -> None:
    """SIGSYS, which a program may handle (seccomp(2)): it is told the call; and without a handler it ends."""
    profile = profile_of(default, "SCMP_ACT_TRAP")
    lines = calls.run(profile, "trap", number("getppid")).ok().out.splitlines()
    assert lines[0].startswith(f"signal {signal.SIGSYS.value} code 1 call {number('getppid')} errno 0 arch ")
    assert lines[1] == "main goes on"
    calls.box.ident = calls.box.name("second")
    calls.run(profile, "call", number("getppid")).expect(SIGNALLED + signal.SIGSYS)


@BOTH_WAYS
@pytest.mark.parametrize(("value", "message"), [(None, errno.EPERM), (0, 0), (4321, 4321)])
def test_trace(calls: Calls, default: bool, value: int | None, message: int) -> None:
    """A tracer in the container is told errnoRet and lets the call go on."""
    out = calls.run(profile_of(default, "SCMP_ACT_TRACE", value), "trace", number("getppid")).ok().out
    assert out == f"tracer {message}\nchild 1\n"


@BOTH_WAYS
def test_trace_without_a_tracer(calls: Calls, default: bool) -> None:
    assert calls.answers(profile_of(default, "SCMP_ACT_TRACE", 7), (number("getppid"),)) == [-errno.ENOSYS]


@pytest.mark.parametrize(
    ("op", "value", "second", "refused"),
    [
        ("NE", 5, None, [4, 6, BIG]),
        ("LT", 5, None, [4]),
        ("LE", 5, None, [4, 5]),
        ("EQ", 5, None, [5]),
        ("EQ", BIG, None, [BIG]),
        ("GE", 5, None, [5, 6, BIG]),
        ("GT", 5, None, [6, BIG]),
        ("MASKED_EQ", 0b101, 0b100, [4, 6]),
        ("MASKED_EQ", 1 << 63, 1 << 63, [BIG]),
        ("MASKED_EQ", 0b100, None, [BIG]),
    ],
)
def test_operators(calls: Calls, op: str, value: int, second: int | None, refused: list[int]) -> None:
    """getppid ignores its arguments, so any can be given; all 64 bits of them count."""
    argument = {"index": 2, "op": "SCMP_CMP_" + op, "value": value} | ({} if second is None else {"valueTwo": second})
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid", args=[argument]))
    values = [4, 5, 6, BIG]
    answers = calls.answers(profile, *[(number("getppid"), 0, 0, each) for each in values])
    assert [each for each, answer in zip(values, answers, strict=True) if answer == EPERM] == refused


@pytest.mark.parametrize("index", range(6))
def test_each_argument(calls: Calls, index: int) -> None:
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid", args=[{"index": index, "op": "SCMP_CMP_EQ", "value": 9}]))
    mine = [9 if place == index else 0 for place in range(6)]
    others = [0 if place == index else 9 for place in range(6)]
    assert calls.answers(profile, (number("getppid"), *mine), (number("getppid"), *others)) == [EPERM, 0]


def test_several_arguments_have_to_match(calls: Calls) -> None:
    conditions = [{"index": index, "op": "SCMP_CMP_EQ", "value": index + 1} for index in (0, 1)]
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid", args=conditions))
    tries = [(number("getppid"), *pair) for pair in [(1, 2), (1, 0), (0, 2)]]
    assert calls.answers(profile, *tries) == [EPERM, 0, 0]


def test_several_names_and_rules(calls: Calls) -> None:
    """A name that libseccomp does not know is no mistake: another kernel may have it."""
    profile = allowing(
        rule("SCMP_ACT_ERRNO", "getppid", "no_such_system_call", "getpgrp", errnoRet=11),
        rule("SCMP_ACT_ERRNO", "getuid", errnoRet=12),
    )
    tries = [(number(name),) for name in ("getppid", "getpgrp", "getuid", "getgid")]
    assert calls.answers(profile, *tries) == [-11, -11, -12, 0]


def test_newer_calls_answer_enosys(calls: Calls) -> None:
    """Under the default action EPERM: below the highest call that the profile names, and above it."""
    highest = max(number(name) for name in ITS_OWN)
    tries = [(number("getppid"),), (highest + 1, -1, 0, 0), (5000,)]
    assert calls.answers(forbidding("SCMP_ACT_ERRNO"), *tries) == [EPERM, -errno.ENOSYS, -errno.ENOSYS]
    kept = calls.answers(forbidding("SCMP_ACT_ERRNO", defaultErrnoRet=38), (number("getppid"),), (5000,))
    assert kept == [-errno.ENOSYS] * 2


def test_the_filter_is_there_and_exec_has_it_too(calls: Calls) -> None:
    box: Box = calls.box
    config = changed(default_config(), "/linux/seccomp", allowing(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat")))
    box.start_sleeper(config)
    result = box.exec("cat /proc/1/status; mkdir /tmp/new")
    lines = status_lines(result.expect(1).out)
    assert (lines["Seccomp"], lines["Seccomp_filters"]) == ("2", "1")
    assert "Operation not permitted" in result.err


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_in_a_user_namespace(calls: Calls, no_new_privileges: bool) -> None:
    need(user_namespace)
    config = with_user_namespace(default_config())
    config["process"]["noNewPrivileges"] = no_new_privileges
    config["process"]["capabilities"] = {}
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"))
    out = calls.run(profile, "call", number("getppid"), "/", number("getuid"), config=config).ok().out
    assert out.split() == [str(EPERM), "0"]


UNFIT = ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ALLOW", "LOG", "NOTIFY"]


@pytest.mark.parametrize("name", UNFIT)
def test_an_errno_with_an_action_that_returns_none(box: Box, name: str) -> None:
    action = "SCMP_ACT_" + name
    config = changed(default_config(), "/linux/seccomp", allowing(rule(action, "getppid", errnoRet=1)))
    config["linux"]["seccomp"]["listenerPath"] = "/no/socket"
    sentence = one_sentence(box.run(config).expect(1))
    assert f": /linux/seccomp/syscalls/0/errnoRet: {action} returns no errno" in sentence


@pytest.mark.parametrize("name", UNFIT)
def test_a_default_errno_with_an_action_that_returns_none(box: Box, name: str) -> None:
    action = "SCMP_ACT_" + name
    profile = {"defaultAction": action, "defaultErrnoRet": 1, "listenerPath": "/no/socket"}
    sentence = one_sentence(box.run(changed(default_config(), "/linux/seccomp", profile)).expect(1))
    assert f": /linux/seccomp/defaultErrnoRet: {action} returns no errno" in sentence


ARGUMENT = {"index": 0, "op": "SCMP_CMP_EQ", "value": 1}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"defaultAction": "SCMP_ACT_ASK"}, "/defaultAction", "SCMP_ACT_ASK"),
    ({"defaultErrnoRet": 1 << 16, "defaultAction": "SCMP_ACT_ERRNO"}, "/defaultErrnoRet", "16 bits"),
    ({"defaultErrnoRet": 4095, "defaultAction": "SCMP_ACT_ERRNO"}, "/defaultErrnoRet", "not below 4095"),
    ({"architectures": ["SCMP_ARCH_ALPHA"]}, "/architectures/0", "SCMP_ARCH_ALPHA"),
    ({"flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}, "/flags/0", "SECCOMP_FILTER_FLAG_NEW_LISTENER"),
    ({"listenerMetadata": "x"}, "/listenerMetadata", "need a listenerPath"),
    ({"syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]}, "/syscalls/0/names", ""),
    ({"syscalls": [rule("SCMP_ACT_ASK", "mkdir")]}, "/syscalls/0/action", "SCMP_ACT_ASK"),
    ({"syscalls": [rule("SCMP_ACT_NOTIFY", "mkdir")]}, "/syscalls/0/action", "needs a listenerPath"),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", errnoRet=1 << 16)]}, "/syscalls/0/errnoRet", "16 bits"),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", errnoRet=4095)]}, "/syscalls/0/errnoRet", "not below 4095"),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", args=[ARGUMENT | {"index": 6}])]}, "/syscalls/0/args/0/index", ""),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", args=[ARGUMENT | {"value": -1}])]}, "/syscalls/0/args/0/value", ""),
    (
        {"syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", args=[ARGUMENT | {"valueTwo": 1 << 64}])]},
        "/syscalls/0/args/0/valueTwo", "64 bits",
    ),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "mkdir", args=[ARGUMENT | {"op": "X"}])]}, "/syscalls/0/args/0/op", ""),
]  # fmt: skip


@pytest.mark.parametrize(("members", "where", "words"), WRONG, ids=[row[1] for row in WRONG])
def test_what_is_refused(box: Box, members: dict[str, Any], where: str, words: str) -> None:
    box.write(changed(default_config(), "/linux/seccomp", allowing() | members))
    before = box.snapshot()
    result = box.runtime.run(box.ident, box.bundle).expect(1)
    problem = one_sentence(result)
    # A number above 64 bits is none of JSON's that a Go program could read: the text is refused, with its line.
    assert f"/linux/seccomp{where}: " in problem or "64 bits" in words
    assert words in problem
    before.assert_unchanged()
