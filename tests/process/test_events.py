"""`events`: what it prints when, what it does not miss or wait for, and how it ends.

The tests run on cgroup v1, v2 and both at once.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest
from process.box import Box, one_sentence
from process.events import (
    ALL,
    GREEDY,
    LONG,
    MIB,
    SECONDS,
    SMALL,
    Group,
    following,
    groups,
    limited,
    running,
    stats,
)
from process.limits import WAITS
from process.plain import config_of, plain_box, plain_user_namespace
from support import facility
from support.bundle import with_args, with_shell
from support.facility import need
from support.runtime import process_alive, wait_for

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def test_statistics_again_and_again_until_the_end(box: Box) -> None:
    running(box, **ALL)
    with following(box, "20ms") as events:
        events.wait_for("stats", 1)
        held = len(os.listdir(f"/proc/{events.process.pid}/fd"))
        events.wait_for("stats", 5)
        assert len(os.listdir(f"/proc/{events.process.pid}/fd")) <= held + 1  # one may just be read
        box.runtime.kill(box.ident).ok()
        assert events.end() == 0
        totals = [each["data"]["cpu"]["usage"]["total"] for each in events.lines()]
        assert totals == sorted(totals)
        assert set(events.kinds()) == {"stats"}
    wait_for(lambda: box.runtime.status(box.ident) == "stopped", SECONDS)


def test_a_process_killed_for_want_of_memory(box: Box) -> None:
    """Long before the first statistics; another process of the container, which goes on."""
    group = running(box, memory=SMALL)
    with following(box, LONG) as events:

        def told() -> bool:
            box.exec(GREEDY).expect(137)  # the first may be killed before the watch begins
            return bool(events.kinds())

        wait_for(told, SECONDS, "the event of a killed process")
        assert events.lines()[0] == {"type": "oom", "id": box.ident}
        before = events.kinds().count("oom")
        box.exec(GREEDY).expect(137)
        events.wait_for("oom", before + 1)
        assert box.runtime.status(box.ident) == "running"
        box.runtime.kill(box.ident).ok()
        assert events.end() == 0
        assert events.kinds() == ["oom"] * (before + 1)
        assert before + 1 <= group.kills()


def test_a_container_that_waits_for_memory(box: Box) -> None:
    """cgroup v1 with the OOM killer disabled: nobody is killed, and that it waits is told."""
    need(lambda: "" if "memory" in groups(os.getpid()) else "not this lane: cgroup v2 cannot disable the OOM killer")
    group = running(box, memory={**SMALL, "disableOOMKiller": True})
    with following(box, "20ms") as events:
        events.wait_for("stats")
        box.exec(WAITS, "--detach").ok()
        events.wait_for("oom")
        assert group.kills() == 0
        box.runtime.delete(box.ident, force=True).ok()
        assert events.end() == 0


def test_the_end_of_the_first_process_by_want_of_memory_is_not_missed(box: Box) -> None:
    box.create(with_args(limited(box, memory=SMALL), *GREEDY.split())).ok()
    group = Group(int(box.runtime.state(box.ident)["pid"]))
    with following(box, "20ms") as events:
        events.wait_for("stats")
        box.runtime.start(box.ident).ok()
        assert events.end() == 0
        assert events.kinds().count("oom") == group.kills() == 1


def test_created_and_paused_containers_have_statistics(box: Box) -> None:
    box.create(with_shell(limited(box, **ALL), "exec sleep 1000")).ok()
    assert stats(box)["pids"]["current"] >= 1
    with following(box, "20ms") as events:
        events.wait_for("stats")
        box.runtime.start(box.ident).ok()
        box.runtime.call("pause", box.ident).ok()
        events.wait_for("stats", len(events.lines()) + 2)
        assert box.runtime.status(box.ident) == "paused"
        assert stats(box)["memory"]["usage"]["limit"] == 64 * MIB
        box.runtime.call("resume", box.ident).ok()
        events.wait_for("stats", len(events.lines()) + 2)


@pytest.mark.parametrize("interval", [LONG, "20ms"])
def test_delete_force_does_not_wait_for_it(box: Box, interval: str) -> None:
    before = box.snapshot()
    running(box, **ALL)
    with following(box, interval) as events:
        pid = int(box.runtime.state(box.ident)["pid"])
        watched = f"/proc/{events.process.pid}/fd"
        wait_for(lambda: any("pidfd" in link for link in links(watched)), SECONDS, "events to wait")
        box.runtime.delete(box.ident, force=True).ok()
        assert not process_alive(pid)
        assert events.end() == 0
        assert "oom" not in events.kinds()
    before.assert_unchanged()


def links(folder: str) -> list[str]:
    try:
        return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    except FileNotFoundError:
        return []


def test_the_end_of_a_foreground_run(box: Box) -> None:
    """`run` removes the cgroup at once, with which the kernel signals what waits for events of it: no OOM event."""
    fifo = box.shared / "go"
    os.mkfifo(fifo)
    box.write(with_shell(box.with_shared(limited(box, **ALL)), "read line < /shared/go"))
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-b", str(box.bundle), box.ident]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        try:
            wait_for(lambda: "running" in box.runtime.call("state", box.ident).out, SECONDS, "the container")
            with following(box, "5ms") as events:
                events.wait_for("stats")
                fifo.write_text("\n")
                assert run.wait(SECONDS) == 0
                assert events.end() == 0
                assert set(events.kinds()) == {"stats"}
        finally:
            run.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(box: Box, number: signal.Signals) -> None:
    running(box)
    with following(box, "20ms") as events:
        events.wait_for("stats")
        events.process.send_signal(number)
        assert events.end() == -number
    assert box.runtime.status(box.ident) == "running"


def test_a_reader_that_goes_away_ends_it(box: Box) -> None:
    """At once, and not at the next statistics."""
    running(box)
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "events", "--interval", LONG, box.ident]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as events:
        try:
            wait_for(lambda: any("pidfd" in link for link in links(f"/proc/{events.pid}/fd")), SECONDS)
            assert events.stdout
            assert events.stderr
            events.stdout.close()
            assert events.wait(SECONDS) == 0
            assert events.stderr.read() == b""
        finally:
            events.kill()


def test_an_output_that_takes_nothing_is_said(box: Box) -> None:
    running(box)
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "events", "--stats", box.ident]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    said = "write to the standard output: no space left on device"
    assert done.stderr == f"ocirun events {box.ident}: {said}\n"


def test_an_output_that_does_not_block_gets_whole_lines(box: Box) -> None:
    """More than the pipe holds is written before anybody reads."""
    running(box, **ALL)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "events", "--interval", "1ms", box.ident]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer) as events:
        try:
            wait_for(lambda: not select.select([], [writer], [], 0)[1], SECONDS, "a full pipe")
            os.close(writer)
            box.runtime.kill(box.ident).ok()
            text = bytearray()

            def ended() -> bool:
                try:
                    part = os.read(reader, 1 << 16)
                except BlockingIOError:
                    return False
                text.extend(part)
                return not part

            wait_for(ended, SECONDS, "the end of the output")
            os.close(reader)
            assert text.endswith(b"\n")
            assert {json.loads(line)["type"] for line in text.splitlines()} == {"stats"}
            assert events.wait(SECONDS) == 0
        finally:
            events.kill()


def test_a_stopped_container(box: Box) -> None:
    running(box)
    pid = int(box.runtime.state(box.ident)["pid"])
    box.runtime.kill(box.ident).ok()
    wait_for(lambda: not process_alive(pid), SECONDS)
    for words in (["--stats"], []):
        sentence = one_sentence(box.runtime.call("events", *words, box.ident).expect(1))
        assert sentence == f"events {box.ident}: container not running: it is stopped"


def test_what_a_killed_create_has_left(box: Box) -> None:
    (box.runtime.root / box.ident).mkdir(parents=True)
    sentence = one_sentence(box.runtime.call("events", box.ident).expect(1))
    assert sentence == f"events {box.ident}: container does not exist"


def test_a_container_without_a_cgroup(program: Path) -> None:
    need(facility.root, facility.busybox, plain_user_namespace)
    with plain_box(program) as box:
        box.run(config_of(box, "exec sleep 1000"), "--detach").ok()
        pid = int(box.runtime.state(box.ident)["pid"])
        assert not any(box.ident in str(path) for path in groups(pid).values())
        sentence = one_sentence(box.runtime.call("events", "--stats", box.ident).expect(1))
        said = "the container has no cgroup of its own, so that it has no statistics"
        assert sentence == f"events {box.ident}: {said}"


@pytest.mark.parametrize("interval", ["0s", "-1s", "5", ""])
def test_a_wrong_interval(box: Box, interval: str) -> None:
    sentence = one_sentence(box.runtime.call("events", "--stats", "--interval", interval, "nobody").expect(1))
    expected = f"--interval takes a duration greater than 0, such as 5s, 500ms or 1m30s, not {interval!r}"
    assert sentence == f"events nobody: {expected}"


def test_an_unknown_container(box: Box) -> None:
    assert "container does not exist" in one_sentence(box.runtime.call("events", "nobody").expect(1))
