"""Each system call of a command fails once: either the command needs it not, or one sentence says what failed.

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
from security.box import minimal_config, plain_config
from security.lives import clean_up, command_line, finish, prepare
from support import facility
from support.command import run_command, wait_for
from support.host import HostSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from security.box import Box
    from support.command import Output

pytestmark = [pytest.mark.security, pytest.mark.privileged, pytest.mark.slow]

EVERY = int(os.environ.get("OCIRUN_FAULTS_EVERY", "101"))
COMMANDS = ("create", "start", "run", "exec", "delete", "delete --force", "update", "kill", "pause", "resume")
MAKERS = ("create", "run", "exec")
NEEDED = ("capset",)
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$", re.MULTILINE)
TOLD_TO_NOBODY = ("exit", "exit_group", "rt_sigreturn")
ERROR = "EIO"


class Fault(NamedTuple):
    """The `number`th time, from one on, that a process makes this call."""

    call: str
    number: int


def traced(box: Box, name: str, bundle: Path, *options: str) -> Output:
    """One life of the command under a strace that its end does not wait for."""
    argv = ["strace", "-D", "-q", "-o", str(box.base / "calls.txt"), *options, *command_line(box, name, bundle)]
    return run_command(argv, box.base / "raw")


def faults(text: str, *, own: bool) -> list[Fault]:
    """What can fail according to a trace: per call as many times as the process makes it that makes it most often.

    own: whether the command's first process counts, or its others, until they become the container's program.
    """
    counts: Counter[tuple[str, str]] = Counter()
    first = text.partition(" ")[0]
    gone = {first} if not own else set()
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
    lines = [line for line in done.err.splitlines() if not line.startswith("hint:")]
    if done.code == 0:
        return "succeeded without it" if fault.call in NEEDED else ""
    if "Traceback" in done.err or "internal error" in done.err:
        return "not a sentence"
    return "" if len(lines) == 1 else f"{len(lines)} lines"


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
    problems = []
    for fault in found[len(name) % EVERY :: EVERY]:
        prepare(box, name, bundle)
        inject = f"inject={fault.call}:error={ERROR}:when={fault.number}"
        done = traced(box, name, bundle, *([] if own else ["-f"]), "-e", inject)
        if problem := wrong(fault, done):
            problems.append(f"{fault}: {problem}: exit code {done.code}\n{done.details()}")
        clean_up(box, before, f"{name}, {fault}")
    print(f"{name}: {len(found)} faults")
    assert not problems, "\n".join(problems)


def ended(output: Path) -> str:
    """The trace once its first process has ended in it, or ""."""
    text = output.read_text()
    return text if f"{text.partition(' ')[0]} +++ exited" in text.replace("  ", " ") else ""
