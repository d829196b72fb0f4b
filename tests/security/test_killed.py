"""The runtime is killed at any moment: `delete --force` always succeeds and leaves the host as it was.

Two ways to choose the moment: at random within the measured life of a command, with a fixed seed, and at each system
call that changes something outside the runtime, one after the other.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
from security.box import Box, minimal_config
from security.lives import clean_up, command_line, finish, prepare, spawn
from support import facility
from support.command import wait_for
from support.host import HostSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.security, pytest.mark.privileged, pytest.mark.slow]

ROUNDS = 200
SEED = 20210530
COMMANDS = ("create", "start", "run", "run --detach", "exec", "delete", "delete --force", "kill")
MOST_CALLS = 40


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


# Per command: the calls that change something outside the process. Each is a moment to die, before the call happens.
CHANGES = (
    "mkdir,rename,renameat,renameat2,unlink,unlinkat,rmdir,write,clone3,bind,listen,sendmsg,connect,pidfd_send_signal"
)


def changes(box: Box, argv: Sequence[str]) -> list[tuple[str, int]]:
    """(call, its number in the runtime's own process) of a whole life of the command."""
    output = box.base / "calls.txt"
    trace = ["strace", "-e", f"trace={CHANGES}", "-e", "signal=none", "-o", str(output)]
    finish(spawn(box, [*trace, *argv]))
    counts: dict[str, int] = {}
    found = []
    for line in output.read_text().splitlines():
        call, bracket, _ = line.partition("(")
        if bracket and call in CHANGES.split(","):
            counts[call] = counts.get(call, 0) + 1
            found.append((call, counts[call]))
    return found


@pytest.mark.parametrize("name", ["create", "start", "run", "exec", "delete", "delete --force"])
def test_killed_at_each_call_that_changes_something(box: Box, name: str) -> None:
    facility.need(facility.strace)
    # A foreground run goes on to undo what it made, so its program has to end.
    bundle = box.write(minimal_config(*(("true",) if name == "run" else ("sleep", "600"))))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    prepare(box, name, bundle)
    moments = changes(box, command_line(box, name, bundle))
    box.runtime.delete(box.ident, force=True).ok()
    assert moments, "the trace shows no change at all"
    if len(moments) > MOST_CALLS:
        moments = random.Random(SEED).sample(moments, MOST_CALLS)
    killed = 0
    for call, number in moments:
        prepare(box, name, bundle)
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
        process = spawn(box, ["strace", "-qq", "-o", "/dev/null", *inject, *command_line(box, name, bundle)])
        killed += finish(process) == -9
        clean_up(box, before, f"{name} killed at {call} number {number}")
    assert killed == len(moments), f"{len(moments) - killed} of {len(moments)} calls did not come again"


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
