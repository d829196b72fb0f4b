"""linux.seccomp: actions, operators, errnos, architectures: config-linux.md, Seccomp."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Any

from ocirun_conformance import claims
from ocirun_conformance.caller import facts_here
from ocirun_conformance.calls import X86_GETEGID, X86_GETPID, allowing, number, rule
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.inbox import Agent

if TYPE_CHECKING:
    from ocirun_conformance.calls import Profile
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial

ACTIONS = "linux/seccomp/actions"
UNFIT = ("KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ALLOW", "LOG", "NOTIFY")
BIG = -0xFFFF_FFFF
"""As a signed number for the probe: 0xFFFFFFFF00000001."""


def filtered(trial: Trial, profile: Profile, *actions: Any) -> Config:
    """A configuration with a profile."""
    config = trial.config(*actions)
    config["linux"]["seccomp"] = profile
    return config


def errors(trial: Trial, profile: Profile, *calls: tuple[int, ...]) -> list[str | None]:
    """The error of each of several system calls; None for success."""
    report = trial.run(filtered(trial, profile, *(("syscall", *call) for call in calls)))
    return [line.get("error", "killed") if line["answered"] else "killed" for line in report.lines]


def expect_killed(trial: Trial, profile: Profile, goes_on: bool) -> None:
    """getegid ends who makes it by SIGSYS. goes_on: whether the process's other threads live on."""
    call = number("getegid")
    report = trial.run(filtered(trial, profile, ("syscall", call), ("thread", call)))
    expect_equal(report[0]["signal"], signal.SIGSYS.value, "the signal that ends a process of one thread")
    expect_equal(report[1]["goes_on"], goes_on, "whether the other thread goes on")


def expect_trapped(trial: Trial, profile: Profile) -> None:
    """getegid sends SIGSYS, which names the call."""
    call = number("getegid")
    report = trial.run(filtered(trial, profile, ("trap", call), ("syscall", call)))
    seen = [report[0]["caught"], report[0]["code"], report[0]["call"]]
    expect_equal(seen, [signal.SIGSYS.value, 1, call], "the signal, its code and the call that it names")
    expect_equal(report[1]["signal"], signal.SIGSYS.value, "the signal without a handler")


def expect_traced(trial: Trial, profile: Profile, message: int) -> None:
    """A tracer is told of getegid, with this message."""
    call = number("getegid")
    report = trial.run(filtered(trial, profile, ("trace", call), ("syscall", call)))
    expect_equal([report[0]["traced"], report[0]["message"]], [True, message], "what the tracer is told")
    expect_equal(report[1]["error"], "ENOSYS", "the error without a tracer")


@each(row("with", "RT-039", True), row("without", "RT-039", False))
def a_rule_for_some_calls(trial: Trial, privileges: bool) -> None:
    """a rule meets the calls it names and no other, with noNewPrivileges {0}"""
    profile = allowing(rule("SCMP_ACT_ERRNO", "getegid"))
    actions = [("syscall", number("getegid")), ("syscall", number("getgid")), ("report",)]
    config = filtered(trial, profile, *actions)
    config["process"]["noNewPrivileges"] = privileges
    report = trial.run(config)
    expect_equal(report[0]["error"], "EPERM", "the error of a call that is forbidden")
    expect_equal(report[1]["error"], None, "the error of a call that is allowed")
    expect_equal(report.facts["seccomp"], 2, "the mode of seccomp")


@case("RT-039")
def several_rules(trial: Trial) -> None:
    """errnoRet is the error, of each rule its own, and 0 is one too"""
    claims.must_know(trial, "1.1.0", "errnoRet")
    profile = allowing(
        rule("SCMP_ACT_ERRNO", "getegid", errnoRet=errno.EMLINK), rule("SCMP_ACT_ERRNO", "getgid", errnoRet=errno.EXDEV)
    )
    seen = errors(trial, profile, (number("getegid"),), (number("getgid"),))
    expect_equal(seen, ["EMLINK", "EXDEV"], "the errors of two rules")


@each(row("ALLOW", "RT-039 FEL-003", "ALLOW"), row("LOG", "RT-039 FEL-003", "LOG"))
def actions_that_let_pass(trial: Trial, name: str) -> None:
    """SCMP_ACT_{0} lets the call pass"""
    claims.must_claim(trial, f"SCMP_ACT_{name}", ACTIONS)
    profile = allowing(rule(f"SCMP_ACT_{name}", "getegid"), rule("SCMP_ACT_ERRNO", "getgid"))
    seen = errors(trial, profile, (number("getegid"),), (number("getgid"),))
    expect_equal(seen, [None, "EPERM"], "the errors of a call that may pass and of another")


@each(
    row("KILL", "RT-039 FEL-003", "KILL", True),
    row("KILL_THREAD", "RT-039 FEL-003", "KILL_THREAD", True),
    row("KILL_PROCESS", "RT-039 FEL-003", "KILL_PROCESS", False),
)
def actions_that_kill(trial: Trial, name: str, goes_on: bool) -> None:
    """SCMP_ACT_{0} ends who makes the call by SIGSYS, and the process's other threads live on: {1}"""
    claims.must_claim(trial, f"SCMP_ACT_{name}", ACTIONS)
    expect_killed(trial, allowing(rule(f"SCMP_ACT_{name}", "getegid")), goes_on)


@case("RT-039", "FEL-003")
def the_action_trap(trial: Trial) -> None:
    """SCMP_ACT_TRAP sends SIGSYS, which names the call"""
    claims.must_claim(trial, "SCMP_ACT_TRAP", ACTIONS)
    expect_trapped(trial, allowing(rule("SCMP_ACT_TRAP", "getegid")))


@each(row("default", "RT-039 FEL-003", None, errno.EPERM), row("7", "RT-039 FEL-003", 7, 7))
def the_action_trace(trial: Trial, value: int | None, expected: int) -> None:
    """SCMP_ACT_TRACE tells a tracer errnoRet: {1}"""
    claims.must_claim(trial, "SCMP_ACT_TRACE", ACTIONS)
    if value is not None:
        claims.must_know(trial, "1.1.0", "errnoRet")
    members = {} if value is None else {"errnoRet": value}
    expect_traced(trial, allowing(rule("SCMP_ACT_TRACE", "getegid", **members)), expected)


@each(
    row("NE", "RT-039", "NE", 5, None, [4, 6, BIG]),
    row("LT", "RT-039", "LT", 5, None, [4]),
    row("LE", "RT-039", "LE", 5, None, [4, 5]),
    row("EQ", "RT-039", "EQ", 5, None, [5]),
    row("EQ in 64 bits", "RT-039", "EQ", BIG + (1 << 64), None, [BIG]),
    row("GE", "RT-039", "GE", 5, None, [5, 6, BIG]),
    row("GT", "RT-039", "GT", 5, None, [6, BIG]),
    row("MASKED_EQ", "RT-039", "MASKED_EQ", 0b101, 0b100, [4, 6]),
)
def operators(trial: Trial, op: str, value: int, second: int | None, met: list[int]) -> None:
    """SCMP_CMP_{0} {1} meets the arguments for which it holds"""
    claims.must_claim(trial, f"SCMP_CMP_{op}", "linux/seccomp/operators")
    argument = {"index": 2, "op": f"SCMP_CMP_{op}", "value": value} | ({} if second is None else {"valueTwo": second})
    values = [4, 5, 6, BIG]
    profile = allowing(rule("SCMP_ACT_ERRNO", "getegid", args=[argument]))
    seen = errors(trial, profile, *((number("getegid"), 0, 0, each_value) for each_value in values))
    found = [each_value for each_value, error in zip(values, seen, strict=True) if error]
    expect_equal(found, met, "the list of arguments that the rule meets")


@case("RT-039")
def each_argument(trial: Trial) -> None:
    """the index says which of the six arguments counts"""
    rules = [
        rule("SCMP_ACT_ERRNO", "getegid", args=[{"index": at, "op": "SCMP_CMP_EQ", "value": 10 + at}])
        for at in range(6)
    ]
    call = number("getegid")
    calls = [tuple(10 + at if place == at else 0 for place in range(6)) for at in range(6)]
    others = [tuple(10 + (at + 1) % 6 if place == at else 0 for place in range(6)) for at in range(6)]
    seen = errors(trial, allowing(*rules), *((call, *words) for words in calls + others))
    expect_equal(seen, ["EPERM"] * 6 + [None] * 6, "the errors by argument")


@case("RT-039")
def several_arguments(trial: Trial) -> None:
    """all of a rule's args have to hold"""
    conditions = [{"index": at, "op": "SCMP_CMP_EQ", "value": at + 1} for at in (0, 1)]
    call = number("getegid")
    profile = allowing(rule("SCMP_ACT_ERRNO", "getegid", args=conditions))
    seen = errors(trial, profile, (call, 1, 2), (call, 1, 0), (call, 0, 2))
    expect_equal(seen, ["EPERM", None, None], "the errors when both, the first, the second holds")


def _unfit(trial: Trial, name: str, profile: Profile, member: str) -> None:
    claims.must_know(trial, "1.1.0", member)
    claims.must_claim(trial, f"SCMP_ACT_{name}", ACTIONS)
    if name == "NOTIFY":
        profile["listenerPath"] = str(Agent(trial, 0).inbox.path)
    trial.refused_at_last(filtered(trial, profile, ["report"]), f"{member} with SCMP_ACT_{name}, which returns none")


@each(*(row(name, "LNX-103", name) for name in UNFIT))
def an_errno_with_an_unfit_action(trial: Trial, name: str) -> None:
    """errnoRet beside SCMP_ACT_{0} is refused"""
    _unfit(trial, name, allowing(rule(f"SCMP_ACT_{name}", "getegid", errnoRet=1)), "errnoRet")


@each(*(row(name, "LNX-092", name) for name in UNFIT))
def a_default_errno_with_an_unfit_action(trial: Trial, name: str) -> None:
    """defaultErrnoRet beside SCMP_ACT_{0} is refused"""
    profile = {"defaultAction": f"SCMP_ACT_{name}", "defaultErrnoRet": 1}
    _unfit(trial, name, profile, "defaultErrnoRet")


@case("RT-039")
def the_32_bit_door(trial: Trial) -> None:
    """SCMP_ARCH_X86 among the architectures: the rules meet the calls of 32-bit x86, and the others pass"""
    if os.uname().machine != "x86_64" or facts_here(trial, ["x86", X86_GETPID])[0]["result"] <= 0:
        raise NotRun("needs x86_64 with the calls of 32-bit x86")
    claims.must_claim(trial, "SCMP_ARCH_X86", "linux/seccomp/archs")
    profile = allowing(rule("SCMP_ACT_ERRNO", "getegid"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    actions = [("x86", X86_GETEGID), ("x86", X86_GETPID), ("syscall", number("getegid"))]
    report = trial.run(filtered(trial, profile, *actions))
    expect_equal(report[0].get("result"), -errno.EPERM, "what getegid of 32-bit x86 returns")
    expect(report[1].get("result", 0) > 0, "getpid of 32-bit x86 does not pass", seen=report[1])
    expect_equal(report[2]["error"], "EPERM", "the error of getegid of x86_64")
