"""Many containers, many cycles, many clients. `./dev soak` runs all of it; the tests run a small part.

What is long-lived is looked at before and after: descriptors and memory (VmRSS, kB) of a foreground `run` and of
`events`. Nothing is judged by time; figures are printed.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import pytest
from security.box import minimal_config
from soak.history import Answer, wrong
from support.bundle import with_cgroup, write_bundle
from support.command import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from security.box import Box
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged, pytest.mark.slow]

WHOLE = bool(os.environ.get("OCIRUN_SOAK"))
CONTAINERS = 1000 if WHOLE else 24
CYCLES = 5000 if WHOLE else 60
OPERATIONS = 20_000 if WHOLE else 400
CLIENTS = 16
IDS = 200 if WHOLE else 12
SEED = 5736
COMMANDS = ("create", "create", "start", "start", "state", "exec", "kill", "delete", "force")
TINY = {"pids": {"limit": 4}, "memory": {"limit": 16 << 20}}


@pytest.fixture
def bundles(box: Box) -> Iterator[Path]:
    """A folder for the bundles of many containers, which share one root filesystem."""
    yield box.base / "bundles"
    left = [each["id"] for each in box.runtime.list()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda ident: box.runtime.delete(ident, force=True), left))


def bundle_of(box: Box, folder: Path, ident: str) -> Path:
    """With limits of its own, and the box's root filesystem."""
    config = with_cgroup(minimal_config("sleep", "6000"), f"/{box.ident}/{ident}", TINY)
    config["root"]["path"] = str(box.rootfs)
    config["root"]["readonly"] = True
    bundle = folder / ident
    bundle.mkdir(parents=True, exist_ok=True)
    return write_bundle(bundle, config)


def remove_parents(box: Box) -> None:
    for parent in Path("/sys/fs/cgroup").glob(f"*/{box.ident}"):
        parent.rmdir()


def listing(box: Box) -> tuple[int, float]:
    """How many there are, and how long `list` took."""
    began = time.monotonic()
    return len(box.runtime.list()), time.monotonic() - began


def test_many_containers_alive(box: Box, bundles: Path) -> None:
    idents = [f"{box.ident}-{at}" for at in range(CONTAINERS)]
    steps = []
    for at, ident in enumerate(idents, 1):
        box.runtime.create(ident, bundle_of(box, bundles, ident)).ok()
        box.runtime.start(ident).ok()
        if at % (CONTAINERS // 4) == 0:
            count, seconds = listing(box)
            assert count == at
            steps.append(f"{count}: {seconds * 1000:.0f} ms")
    for ident in idents:
        assert box.runtime.status(ident) == "running"
    for ident in idents:
        box.runtime.kill(ident).ok()
    for ident in idents:
        box.runtime.wait_status(ident, "stopped")
        box.runtime.delete(ident).ok()
    assert box.runtime.list() == []
    remove_parents(box)
    print(f"{CONTAINERS} containers alive at once; list of {', '.join(steps)}")


def footprint(pid: int) -> tuple[int, int]:
    """Open descriptors, VmRSS in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), resident


def test_many_cycles(box: Box, bundles: Path) -> None:
    """Runs and execs beside a foreground `run` and an `events`, which stay as they are."""
    kept, other = f"{box.ident}-kept", f"{box.ident}-other"
    bundle = bundle_of(box, bundles, kept)
    short = minimal_config("true")
    short["root"] = {"path": str(box.rootfs)}
    (bundles / "short").mkdir()
    write_bundle(bundles / "short", short)
    with subprocess.Popen(box.command("run", "--bundle", str(bundle), kept), stdin=subprocess.DEVNULL) as run:
        wait_for(lambda: box.runtime.call("state", kept).code == 0, what="the container")
        wait_for(lambda: box.runtime.status(kept) == "running", what="the program")
        command = box.command("events", "--interval", "1s", kept)
        told = box.base / "events"
        with told.open("wb") as out, subprocess.Popen(command, stdout=out) as events:
            box.runtime.exec(kept, "true").ok()
            wait_for(lambda: told.stat().st_size > 0, what="an event")
            before = {each: footprint(each) for each in (run.pid, events.pid)}
            for _ in range(CYCLES):
                box.runtime.run(other, bundles / "short").ok()
                box.runtime.exec(kept, "true").ok()
            now = {each: footprint(each) for each in (run.pid, events.pid)}
            box.runtime.delete(kept, force=True).ok()
    assert {each: fds for each, (fds, _) in now.items()} == {each: fds for each, (fds, _) in before.items()}
    assert all(resident <= before[each][1] + 1024 for each, (_, resident) in now.items()), (before, now)
    remove_parents(box)
    print(f"{CYCLES} cycles of run and exec; descriptors and kB before {before}, after {now}")


class Clients:
    """Random commands on random ids, side by side; what each was told, by id."""

    def __init__(self, box: Box, bundles: Path) -> None:
        self.box = box
        self.idents = [f"{box.ident}-{at}" for at in range(IDS)]
        self.bundles = {ident: bundle_of(box, bundles, ident) for ident in self.idents}
        self.answers: dict[str, list[Answer]] = {ident: [] for ident in self.idents}
        self.failures: set[str] = set()
        self.lock = Lock()

    def work(self, number: int) -> None:
        """One client's share; its choices depend on its number alone."""
        chosen = random.Random(SEED + number)
        for _ in range(OPERATIONS // CLIENTS):
            command, ident = chosen.choice(COMMANDS), chosen.choice(self.idents)
            began = time.monotonic()
            done = self.call(command, ident)
            ended = time.monotonic()
            said = done.err
            if command == "state" and done.code == 0:
                said = done.out.partition('"status": "')[2].partition('"')[0]
            with self.lock:
                self.answers[ident].append(Answer(command, began, ended, done.code == 0, said))
                if done.code:
                    self.failures.add(done.err)

    def call(self, command: str, ident: str) -> Result:
        """One command of runtime.md, or `exec` or `delete --force`."""
        runtime = self.box.runtime
        match command:
            case "create":
                return runtime.create(ident, self.bundles[ident])
            case "exec":
                return runtime.exec(ident, "true")
            case "force":
                return runtime.delete(ident, force=True)
            case "delete":
                return runtime.delete(ident)
            case _:
                return runtime.call(command, ident, *(["KILL"] if command == "kill" else []))


@pytest.mark.skipif(not WHOLE, reason="not this lane: ./dev soak runs it")
def test_every_answer_is_legal(box: Box, bundles: Path) -> None:
    """No answer contradicts another, whatever was done at the same time."""
    clients = Clients(box, bundles)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(clients.work, range(CLIENTS)))
    contradictions = {ident: found for ident, answers in clients.answers.items() if (found := wrong(answers))}
    assert not contradictions, "\n".join(map(repr, contradictions.items()))
    assert not [each for each in clients.failures if "Traceback" in each or "internal error" in each]
    for ident in clients.idents:
        box.runtime.delete(ident, force=True).ok()
    remove_parents(box)
    count = sum(map(len, clients.answers.values()))
    print(f"{count} answers to {CLIENTS} clients about {IDS} ids, all legal; {len(clients.failures)} kinds of failures")
