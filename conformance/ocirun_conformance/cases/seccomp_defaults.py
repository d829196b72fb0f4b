"""linux.seccomp: the default action, and the flags of the filter: config-linux.md, Seccomp."""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import claims, facility
from ocirun_conformance.calls import allowing, forbidding, number, rule
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.inbox import Agent
from ocirun_conformance.trial import wait_until

from .seccomp import ACTIONS, errors, expect_killed, expect_traced, expect_trapped, filtered

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

WAIT_KILLABLE_RECV = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
LOG = "SECCOMP_FILTER_FLAG_LOG"


@each(row("default", "RT-039", None, "EPERM"), row("EMLINK", "RT-039", errno.EMLINK, "EMLINK"))
def the_default_errno(trial: Trial, value: int | None, expected: str) -> None:
    """with the default action SCMP_ACT_ERRNO a call that no rule names ends with defaultErrnoRet: {1}"""
    if value is not None:
        claims.must_know(trial, "1.1.0", "defaultErrnoRet")
    profile = forbidding("SCMP_ACT_ERRNO", **({} if value is None else {"defaultErrnoRet": value}))
    profile["syscalls"].append(rule("SCMP_ACT_ALLOW", "getgid"))
    seen = errors(trial, profile, (number("getegid"),), (number("getgid"),))
    expect_equal(seen, [expected, None], "the errors of a call without a rule, and of one with a rule")


@each(
    row("KILL_PROCESS", "RT-039 FEL-003", "KILL_PROCESS", False),
    row("KILL_THREAD", "RT-039 FEL-003", "KILL_THREAD", True),
    row("KILL", "RT-039 FEL-003", "KILL", True),
)
def a_default_that_kills(trial: Trial, name: str, goes_on: bool) -> None:
    """the default action SCMP_ACT_{0} ends who makes a call that no rule names"""
    claims.must_claim(trial, f"SCMP_ACT_{name}", ACTIONS)
    expect_killed(trial, forbidding(f"SCMP_ACT_{name}"), goes_on)


@case("RT-039", "FEL-003")
def the_default_trap(trial: Trial) -> None:
    """the default action SCMP_ACT_TRAP sends SIGSYS, which names the call"""
    claims.must_claim(trial, "SCMP_ACT_TRAP", ACTIONS)
    expect_trapped(trial, forbidding("SCMP_ACT_TRAP"))


@each(row("none", "RT-039 FEL-003", None, errno.EPERM), row("7", "RT-039 FEL-003", 7, 7))
def the_default_trace(trial: Trial, value: int | None, expected: int) -> None:
    """the default action SCMP_ACT_TRACE tells a tracer defaultErrnoRet: {1}"""
    claims.must_claim(trial, "SCMP_ACT_TRACE", ACTIONS)
    if value is not None:
        claims.must_know(trial, "1.1.0", "defaultErrnoRet")
    profile = forbidding("SCMP_ACT_TRACE", **({} if value is None else {"defaultErrnoRet": value}))
    expect_traced(trial, profile, expected)


@each(row("ALLOW", "RT-039 FEL-003", "ALLOW"), row("LOG", "RT-039 FEL-003", "LOG"))
def a_default_that_lets_pass(trial: Trial, name: str) -> None:
    """the default action SCMP_ACT_{0} lets pass a call that no rule names"""
    claims.must_claim(trial, f"SCMP_ACT_{name}", ACTIONS)
    profile = forbidding(f"SCMP_ACT_{name}")
    profile["syscalls"].append(rule("SCMP_ACT_ERRNO", "getgid"))
    seen = errors(trial, profile, (number("getegid"),), (number("getgid"),))
    expect_equal(seen, [None, "EPERM"], "the errors of a call without a rule, and of one with a rule")


@case("RT-039", "FEL-003")
def the_default_notify(trial: Trial) -> None:
    """the default action SCMP_ACT_NOTIFY asks the listener about a call that no rule names"""
    claims.must_know(trial, "1.1.0", "listenerPath")
    claims.must_claim(trial, "SCMP_ACT_NOTIFY", ACTIONS)
    agent = Agent(trial, errno.EMLINK)
    profile = forbidding("SCMP_ACT_NOTIFY", listenerPath=str(agent.inbox.path))
    expect_equal(errors(trial, profile, (number("getegid"),)), ["EMLINK"], "the error that the listener chose")


def _must_claim_flag(trial: Trial, name: str) -> None:
    claims.must_know(trial, "1.1.0", "the flag")
    claims.must_claim(trial, name, "linux/seccomp/supportedFlags")


@case("RT-039", "FEL-007", needs=[facility.kernel_messages], alone=True)
def the_flag_log(trial: Trial) -> None:
    """SECCOMP_FILTER_FLAG_LOG has the kernel log what the filter forbids"""
    _must_claim_flag(trial, LOG)
    call = number("getegid")
    config = filtered(trial, allowing(rule("SCMP_ACT_ERRNO", "getegid"), flags=[LOG]), ("syscall", call))
    messages = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    trial.defer(lambda: os.close(messages))
    os.lseek(messages, 0, os.SEEK_END)

    def logged() -> bool:
        """Again when there is nothing: the kernel limits how many messages come in five seconds."""
        expect_equal(trial.run(config)[0]["error"], "EPERM", "the error of the call")
        with suppress(BlockingIOError):
            while True:
                text = os.read(messages, 8192).decode("utf-8", "replace")
                if 'comm="probe"' in text and f"syscall={call} " in text:
                    return True
        return False

    wait_until(logged, "a message of the kernel about the call")


def _waits(pid: int) -> bool:
    """Whether SIGSYS is pending for a process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> signal.SIGSYS - 1 & 1 for mask in masks)


@each(row("alone", "RT-039 FEL-007", []), row("beside another", "RT-039 FEL-007", [LOG]))
def the_flag_wait_killable(trial: Trial, others: list[str]) -> None:
    """SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: a signal does not end a call that the listener has taken; beside {0}"""
    for name in (*others, WAIT_KILLABLE_RECV):
        _must_claim_flag(trial, name)
    claims.must_claim(trial, "SCMP_ACT_NOTIFY", ACTIONS)
    if facility.release() < (5, 19):
        raise NotRun("needs Linux 5.19")
    pending: list[bool] = []

    def think(pid: int) -> None:
        """Until the signal is handled, which it is at once if it ends the call."""
        os.kill(pid, signal.SIGSYS)
        deadline = time.monotonic() + 0.3
        while _waits(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        pending.append(_waits(pid))

    agent = Agent(trial, errno.EMLINK, think)
    profile = allowing(rule("SCMP_ACT_NOTIFY", "getegid"), listenerPath=str(agent.inbox.path))
    profile["flags"] = [*others, WAIT_KILLABLE_RECV]
    report = trial.run(filtered(trial, profile, ("trap", number("getegid"))))
    expect_equal(report[0]["caught"], signal.SIGSYS.value, "the signal that the program has handled")
    expect(pending == [True], "a signal has ended the call while the listener thought", seen=pending)
