"""The runtime is killed at any moment: `delete --force` always succeeds and leaves the host as it was.

Two ways to choose the moment: at random within the measured life of a command, with a fixed seed, and at the system
calls of each process that the command consists of. `./dev faults` takes all of these, the tests a few.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING

import pytest
from security import stopper
from security.box import Box, Config, minimal_config
from security.lives import WHOLE, clean_up, command_line, finish, prepare, spawn
from support.bundle import with_hook, with_namespace, with_user_namespace
from support.command import Output, wait_for
from support.host import HostSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.security, pytest.mark.privileged, pytest.mark.slow]

ROUNDS = 200 if WHOLE else 40
SAMPLE = 3
MIDDLE = {"create joining": 1, "exec": 1}
"""The number of the middle process, which is killed at each of its calls."""
SEED = 20210530
COMMANDS = ("create", "start", "run", "run --detach", "exec", "delete", "delete --force", "kill")


def life(box: Box, name: str, bundle: Path) -> float:
    """How long the command takes, in seconds; for a foreground run until its program runs."""
    prepare(box, name, bundle)
    began = time.monotonic()
    process = spawn(box, command_line(box, name, bundle))
    if name == "run":
        wait_for(lambda: box.runtime.call("state", box.ident).code == 0, what="the container")
        wait_for(lambda: box.runtime.status(box.ident) == "running", what="the program")
        process.kill()
    finish(process)
    taken = time.monotonic() - began
    box.runtime.delete(box.ident, force=True).ok()
    return taken


def test_killed_at_random_moments(box: Box) -> None:
    """Uniform over the command's life, and a little more, so that some rounds find a command that is just over."""
    bundle = box.write(minimal_config("sleep", "600"))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    chosen = random.Random(SEED)
    lives = {name: life(box, name, bundle) for name in COMMANDS}
    killed = 0
    for number in range(ROUNDS):
        name = COMMANDS[number % len(COMMANDS)]
        prepare(box, name, bundle)
        delay = chosen.uniform(0, lives[name] * 1.1)
        process = spawn(box, command_line(box, name, bundle))
        deadline = time.monotonic() + delay
        # A sleep would be too coarse for lives of ten milliseconds.
        while time.monotonic() < deadline:
            pass
        process.kill()
        killed += finish(process) == -9
        clean_up(box, before, f"round {number}: {name} killed after {delay * 1000:.2f} ms")
    assert killed > ROUNDS // 2, f"only {killed} of {ROUNDS} commands were still there to be killed"


def setting(box: Box, name: str) -> Config:
    """Hooks of both sides at every point; `joining` makes a middle process clone the container's."""
    # A foreground run goes on to undo what it made, so its program has to end.
    config = minimal_config(*(("true",) if name == "run" else ("sleep", "600")))
    if name == "create joining":
        with_user_namespace(config)
        with_namespace(config, "network", f"/proc/{os.getpid()}/ns/net")
    elif name != "create":
        for stage in ("createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
            with_hook(config, stage, "/bin/true")
    return config


def stopped(box: Box, argv: Sequence[str], process: int, call: int) -> tuple[Output, list[list[int]], int]:
    """(output, system calls of each process, exit code) of a command whose `process` is killed at that `call`."""
    report = box.base / "report"
    done = box.raw(sys.executable, "-I", "-S", stopper.__file__, str(report), str(process), str(call), *argv)
    found = json.loads(report.read_text())
    return done, found["calls"], found["code"]


@pytest.mark.parametrize("name", [*COMMANDS, "create joining", "update"])
def test_killed_at_each_call(box: Box, name: str) -> None:
    """Each process that the command consists of, at each of its system calls: so between any two steps of the plan.

    Where the command itself lives on, it says what has become of its process, and takes all back.
    """
    bundle = box.write(setting(box, name))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    prepare(box, name, bundle)
    argv = command_line(box, name, bundle)
    stopped(box, argv, -1, 0)[0].ok()
    box.runtime.delete(box.ident, force=True).ok()
    prepare(box, name, bundle)
    calls = stopped(box, argv, -1, 0)[1]
    clean_up(box, before, f"{name} not killed")
    moments = [(process, at) for process, made in enumerate(calls) for at in range(1, len(made) + 1)]
    if not WHOLE:
        middle = [each for each in moments if each[0] == MIDDLE.get(name)]
        moments = middle + random.Random(SEED).sample(moments, SAMPLE)
    killed = dict.fromkeys(range(len(calls)), 0)
    for process, at in moments:
        moment = f"{name}: process {process} killed at call {at} of {len(calls[process])}"
        prepare(box, name, bundle)
        done, made, code = stopped(box, argv, process, at)
        if len(made) <= process or len(made[process]) != at:
            clean_up(box, before, moment)
            continue  # it has found less to do
        killed[process] += 1
        if process == 0:
            assert code == -9, moment
        else:
            assert_told(moment, done, code)
            if code == 1 and name.startswith(("create", "run")):
                before.assert_unchanged()
        clean_up(box, before, moment)
    print(f"{name}: {sum(killed.values())} kills of {len(moments)}, by process {killed}")
    assert sum(killed.values()) > len(moments) * 9 // 10


def assert_told(moment: str, done: Output, code: int) -> None:
    """One sentence for what failed; none where the program was just begun, and is told of by its status."""
    lines = [line for line in done.err.splitlines() if not line.startswith("hint: ")]
    assert code in (0, 1, 137, 255), f"{moment}: {done.err}"
    assert len(lines) == (code in (1, 255)) or (code == 0 and "poststop" in done.err), f"{moment}: {code} {done.err}"
    assert "internal error" not in done.err, f"{moment}: {done.err}"
    assert "Traceback" not in done.err, f"{moment}: {done.err}"


def test_killed_twice(box: Box) -> None:
    """A `delete --force` that is killed too does not make it worse."""
    bundle = box.write(minimal_config("sleep", "600"))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    chosen = random.Random(SEED)
    lives: dict[str, float] = {name: life(box, name, bundle) for name in ("create", "delete --force")}
    for number in range(20):
        for name, taken in lives.items():
            process = spawn(box, command_line(box, name, bundle))
            time.sleep(chosen.uniform(0, taken))
            process.kill()
            process.wait()
        clean_up(box, before, f"round {number}")


def test_delete_does_not_wait_for_a_foreground_run(box: Box) -> None:
    """The one who waits for the program holds no lock; it finds the container deleted and says the program's status."""
    bundle = box.write(minimal_config("sleep", "600"))
    process = spawn(box, command_line(box, "run", bundle))
    wait_for(lambda: box.runtime.call("state", box.ident).code == 0, what="the container")
    wait_for(lambda: box.runtime.status(box.ident) == "running", what="the program")
    done = box.runtime.delete(box.ident, force=True).ok()
    assert finish(process) == 128 + 9
    assert done.seconds < 5
    assert (box.base / "said").read_text() == ""
