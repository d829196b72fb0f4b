"""Each system call of a command fails once: either the command can do without, or one sentence says what failed.

Whatever the command answers, `delete --force` afterwards leaves the host as it was. `./dev faults` lets each call fail,
the tests each `EVERY`th. strace(1) injects the error; the kernel does nothing of the call.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest
from security.box import plain_config
from security.lives import clean_up, command_line, prepare
from support import facility
from support.command import CommandTimeoutError, run_command, wait_for
from support.host import HostSnapshot

if TYPE_CHECKING:
    from pathlib import Path

    from security.box import Box
    from support.command import Output

pytestmark = [pytest.mark.security, pytest.mark.privileged, pytest.mark.slow]

EVERY = 1 if os.environ.get("OCIRUN_FAULTS") else 101
COMMANDS = (
    "create", "start", "run", "exec", "delete", "delete --force", "update", "kill", "pause", "resume", "mounts add",
)  # fmt: skip
MAKERS = ("create", "run", "exec", "mounts add")
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$", re.MULTILINE)
TOLD_TO_NOBODY = ("exit", "exit_group", "rt_sigreturn", "brk")
"""Calls that do not return, or have no way to say that they failed."""


class Fault(NamedTuple):
    """The `number`th time, from one on, that a process makes this call."""

    call: str
    number: int


UNCHECKED = Fault("mmap", 1)
"""The dynamic loader's first memory: it does not look at the answer."""


def traced(box: Box, name: str, bundle: Path, *options: str) -> Output:
    """One life of the command under a strace that its end does not wait for."""
    argv = ["strace", "-D", "-q", "-o", str(box.base / "calls.txt"), *options, *command_line(box, name, bundle)]
    return run_command(argv, box.base / "raw")


def ended(output: Path) -> str:
    """The trace once its first process has ended in it, or ""."""
    text = output.read_text()
    return text if re.search(rf"^{text.partition(' ')[0]} +\+\+\+ exited", text, re.MULTILINE) else ""


def faults(text: str, *, own: bool) -> list[Fault]:
    """What can fail according to a trace: per call as many times as the process makes it that makes it most often.

    own: whether the command's first process counts, or its others, until they become the container's program.
    """
    counts: Counter[tuple[str, str]] = Counter()
    first = text.partition(" ")[0]
    gone = set() if own else {first}
    for pid, call, rest in LINE.findall(text):
        if pid in gone or (own and pid != first):
            continue
        counts[pid, call] += 1
        if call == "execve" and not own and rest.endswith(" = 0"):
            gone.add(pid)
    most: dict[str, int] = {}
    for (_, call), count in counts.items():
        most[call] = max(count, most.get(call, 0))
    # The first execve is strace's own.
    least = {"execve": 2} | dict.fromkeys(TOLD_TO_NOBODY, sys.maxsize)
    return [Fault(call, at) for call, count in most.items() for at in range(least.get(call, 1), count + 1)]


def wrong(fault: Fault, done: Output) -> str:
    """What is not as it should be in the command's answer; "" when all is well."""
    if done.code == 0 or (fault == UNCHECKED and done.code < 0):
        return ""
    if "Traceback" in done.err or "internal error" in done.err:
        return "not a sentence"
    lines = [line for line in done.err.splitlines() if not line.startswith("hint:")]
    # The words may be what cannot be written.
    return "" if len(lines) == 1 or (fault.call == "write" and not lines) else f"{len(lines)} lines"


def inject(box: Box, name: str, bundle: Path, fault: Fault, *, own: bool) -> tuple[bool, str]:
    """(whether the command succeeded, what is wrong) when this call fails, in one process or in all."""
    prepare(box, name, bundle)
    error = ["-e", f"inject={fault.call}:error=EIO:when={fault.number}"]
    try:
        done = traced(box, name, bundle, *([] if own else ["-f"]), *error)
    except CommandTimeoutError as problem:
        return False, f"{fault}: {problem}"
    found = wrong(fault, done)
    return done.code == 0, f"{fault}: {found}: exit code {done.code}\n{done.details()}" if found else ""


@pytest.mark.parametrize(("name", "own"), [*((name, True) for name in COMMANDS), *((name, False) for name in MAKERS)])
def test_each_call_fails_once(box: Box, name: str, own: bool) -> None:
    facility.need(facility.strace)
    # A foreground run waits for the program.
    bundle = box.write(plain_config(*(("true",) if name == "run" else ("sleep", "600"))))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    prepare(box, name, bundle)
    traced(box, name, bundle, "-f").ok()
    clean_up(box, before, "without a fault")
    found = faults(wait_for(lambda: ended(box.base / "calls.txt"), what="the trace"), own=own)
    problems, spared = [], []
    for fault in found[len(name) % EVERY :: EVERY]:
        succeeded, problem = inject(box, name, bundle, fault, own=own)
        if problem:
            problems.append(problem)
        if succeeded:
            spared.append(fault)
        clean_up(box, before, f"{name}, {fault}")
    print(f"{name}, {'itself' if own else 'its children'}: {len(found)} calls; succeeded without {spared}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("name", "fault", "own"),
    [
        ("exec", Fault("pidfd_open", 2), True),  # the process that it has just taken over waited for ever
        ("exec", Fault("sendmsg", 1), False),  # the middle process, too, did what its parent does then
        ("mounts add", Fault("close", 1), False),  # so did the process that enters the container
        ("create", Fault("close", 1), False),  # the first process did what its parent does then
        ("create", Fault("recvmsg", 2), False),  # both gave up, and nobody had words for that
        ("run", Fault("recvmsg", 2), False),  # a program that was not executed had run
    ],
)
def test_a_failure_that_was_found(box: Box, name: str, fault: Fault, own: bool) -> None:
    facility.need(facility.strace)
    bundle = box.write(plain_config("sleep", "600"))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    assert inject(box, name, bundle, fault, own=own)[1] == ""
    clean_up(box, before, f"{name}, {fault}")


def test_a_middle_process_that_is_killed(box: Box) -> None:
    """Before it has said which process it made, which has the channel open too."""
    facility.need(facility.strace)
    bundle = box.write(plain_config("sleep", "600"))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    prepare(box, "exec", bundle)
    done = traced(box, "exec", bundle, "-f", "-e", "inject=sendmsg:signal=KILL:when=1:error=EIO")
    assert done.code != 0
    clean_up(box, before, "exec")
