"""Runtimes side by side: what they say when a system call fails, and what they leave when they are killed.

python -m security.faulttable [--seconds N] RUNTIME…: each command's calls fail, and are the last ones of a process that
is killed there, in a random order that is the same each time, for N seconds each. It counts, and judges nothing. A
runtime with threads makes its calls in another order each time, so that not every kill comes about.

An answer "names" something when it has the error in words or the call's name. What is left is what is there after
`delete --force`; it is swept away before the next one.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from security.box import Box, plain_config
from security.lives import command_line, prepare
from security.test_faults import TOLD_TO_NOBODY, Fault, ended
from security.test_killed import SEED, stopped
from security.trace import LINE
from support.command import CommandTimeoutError, run_command, wait_for
from support.host import HostSnapshot
from support.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.command import Output

    Moments = Iterator[Callable[[], str]]

COMMANDS = ("create", "run", "exec", "start", "delete")
ANSWERS = ("went on", "names", "other words", "nothing said", "crashed", "hung", "left")
LONGEST = 10.0
CRASHES = ("goroutine ", "Traceback", "internal error", "fatal error: ")


def faults(text: str) -> list[Fault]:
    """Per call as many as the process or thread makes that makes most, while it is the runtime's."""
    counts: Counter[tuple[str, str]] = Counter()
    first, gone, programs = text.partition(" ")[0], set(), {}
    for line in filter(None, map(LINE.match, text.splitlines())):
        pid, call = line["pid"], line["call"] or line["resumed"]
        if line["call"]:
            programs[pid] = line["rest"]
            counts[pid, call] += pid not in gone
        itself = pid == first or programs.get(pid, "").startswith('"/proc/self/exe"')
        if call == "execve" and line["rest"].endswith(" = 0") and not itself:
            gone.add(pid)
    most: dict[str, int] = {}
    for (_, call), count in counts.items():
        most[call] = max(count, most.get(call, 0))
    # The first execve is strace's own.
    return [
        Fault(call, at)
        for call, count in most.items()
        if call not in TOLD_TO_NOBODY
        for at in range(2 if call == "execve" else 1, count + 1)
    ]


def traced(box: Box, argv: Sequence[str], *options: str) -> Output:
    """The command and all that it makes under strace(1), which its end does not wait for."""
    head = ["strace", "-D", "-f", "-q", "-o", str(box.base / "calls.txt"), *options]
    return run_command([*head, *argv], box.base / "raw", timeout=LONGEST)


def answer(done: Output, call: str) -> str:
    """Which of the answers this is."""
    said = done.err.lower()
    if done.code == 0:
        return "went on"
    if done.code < 0 or any(word in done.err for word in CRASHES):
        return "crashed"
    return "names" if "input/output error" in said or call in said else "other words" if said else "nothing said"


def sweep(box: Box, before: HostSnapshot) -> bool:
    """`delete --force`, and whether that was not enough: then the rest is taken away by hand."""
    try:
        box.runtime.call("delete", "--force", box.ident, timeout=LONGEST)
        before.assert_unchanged()
    except AssertionError:
        for _ in range(3):
            _remove(before.difference(before.again()))
            shutil.rmtree(box.runtime.root, ignore_errors=True)
        before.assert_unchanged()
        return True
    return False


def _remove(lines: Sequence[str]) -> None:
    for line in sorted(lines, reverse=True):  # processes, mounts, cgroups from below
        kind, _, what = line.removeprefix("+ ").partition(": ")
        try:
            if kind == "processes":
                os.kill(int(what.split()[0]), signal.SIGKILL)
            elif kind == "mounts":
                subprocess.run(["umount", "--lazy", what.partition(" from ")[0]], check=False)
            elif kind == "cgroups":
                thaw = Path(what, "freezer.state")
                if thaw.exists():
                    thaw.write_text("THAWED")
                Path(what).rmdir()
        except OSError:
            continue


def failing(box: Box, name: str, bundle: Path) -> Moments:
    """For each fault what does it and tells the answer."""
    prepare(box, name, bundle)
    argv = command_line(box, name, bundle)
    traced(box, argv).ok()
    box.runtime.call("delete", "--force", box.ident)

    def one(fault: Fault) -> str:
        return answer(traced(box, argv, "-e", f"inject={fault.call}:error=EIO:when={fault.number}"), fault.call)

    for fault in faults(wait_for(lambda: ended(box.base / "calls.txt"), what="the trace")):
        yield partial(one, fault)


def killed(box: Box, name: str, bundle: Path) -> Moments:
    """The same for each kill."""
    prepare(box, name, bundle)
    argv = command_line(box, name, bundle)
    calls = stopped(box, argv, -1, 0)[1]
    box.runtime.call("delete", "--force", box.ident)

    def one(process: int, at: int) -> str:
        made = stopped(box, argv, process, at)[1]
        return "killed" if len(made) > process and len(made[process]) == at else "missed"

    for process, made in enumerate(calls):
        for at in range(1, len(made) + 1):
            yield partial(one, process, at)


def measure(path: Path, name: str, way: Callable[[Box, str, Path], Moments], seconds: float) -> Counter[str]:
    """How many there are, and of those that were tried in this time each answer's number."""
    base = Path(tempfile.mkdtemp(prefix="sec-", dir="/tmp"))
    found: Counter[str] = Counter()
    try:
        box = Box(Runtime(path, base / "root", base / "calls"), base, base.name)
        bundle = box.write(plain_config(*(("true",) if name == "run" else ("sleep", "600"))))
        before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
        moments = list(way(box, name, bundle))
        sweep(box, before)
        random.Random(SEED).shuffle(moments)
        found["of"] = len(moments)
        end = time.monotonic() + seconds
        for moment in moments:
            if time.monotonic() > end:
                break
            prepare(box, name, bundle)
            try:
                found[moment()] += 1
            except CommandTimeoutError:
                found["hung"] += 1
            found["tried"] += 1
            found["left"] += sweep(box, before)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("runtime", type=Path, nargs="+")
    asked = parser.parse_intermixed_args()
    for way, columns in ((failing, ANSWERS), (killed, ("killed", "hung", "left"))):
        print(f"\n| runtime, command | tried of | {' | '.join(columns)} |\n|{'---|' * (2 + len(columns))}", flush=True)
        for path in asked.runtime:
            for name in COMMANDS:
                found = measure(path, name, way, asked.seconds)
                numbers = " | ".join(str(found[column]) for column in columns)
                print(f"| {path.name}, {name} | {found['tried']} of {found['of']} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
