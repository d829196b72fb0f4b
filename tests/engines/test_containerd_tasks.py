"""containerd's tasks, beyond a plain life: their events, memory's end, pauses, terminals and many programs at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.command import process_alive, wait_for
from support.engines import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Containerd

pytestmark = pytest.mark.engines

LIMIT = 64 << 20
AT_ONCE = 20


class Events:
    """What `ctr events` has printed so far."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def of(self, container: str) -> list[tuple[str, dict[str, Any]]]:
        """Topic and event of all that is about one container, in their order."""
        found = []
        for line in self._daemon.log().splitlines():
            head, brace, rest = line.partition(" {")
            event = json.loads(brace + rest) if brace else {}
            if event.get("container_id") == container:
                found.append((head.split()[-1], event))
        return found

    def topics(self, container: str) -> list[str]:
        """The topics alone."""
        return [topic for topic, _ in self.of(container)]

    def wait(self, container: str, topic: str) -> dict[str, Any]:
        """The first event of this topic."""
        wait_for(lambda: topic in self.topics(container), 30.0, f"the event {topic}")
        return next(event for each, event in self.of(container) if each == topic)


@contextmanager
def events(containerd: Containerd) -> Iterator[Events]:
    """`ctr events` that is known to listen: it prints nothing when it begins."""
    listener = Daemon(containerd.argv("events"), containerd.base / "events")
    try:
        label = ("namespaces", "label", containerd.namespace, "unit=listening")
        listener.wait(lambda: containerd.call(*label).code == 0 and "/namespaces/update" in listener.log())
        yield Events(listener)
    finally:
        listener.stop()


def start(containerd: Containerd, name: str, *args: str, options: tuple[str, ...] = ()) -> int:
    """A detached container; the pid of its init."""
    containerd.run(["--detach", "--null-io", *options], name, *(args or ("sleep", "600"))).ok()
    return containerd.task_pid(name)


def test_events_of_a_life(containerd: Containerd) -> None:
    with events(containerd) as heard:
        pid = start(containerd, "heard")
        containerd.exec("heard", "sh", "-c", "exit 3").expect(3)
        containerd.call("tasks", "pause", "heard").ok()
        containerd.call("tasks", "resume", "heard").ok()
        containerd.call("tasks", "kill", "--signal", "SIGKILL", "heard").ok()
        wait_for(lambda: containerd.task_status("heard") == "STOPPED", what="the end of the task")
        containerd.call("tasks", "delete", "heard")
        heard.wait("heard", "/tasks/delete")
        topics = heard.topics("heard")
        assert [topic for topic in topics if topic.startswith("/tasks/")] == [
            *("/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit"),
            *("/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete"),
        ]
        assert heard.wait("heard", "/tasks/start")["pid"] == pid
        exits = [event for topic, event in heard.of("heard") if topic == "/tasks/exit"]
        assert [each["exit_status"] for each in exits] == [3, 137]


def test_out_of_memory_is_an_event(containerd: Containerd) -> None:
    with events(containerd) as heard:
        # Its child is what the kernel kills: the cgroup, where the shim listens, has to outlive that.
        script = "sh -c 'exec tail /dev/zero'; exec sleep 600"
        start(containerd, "hungry", "sh", "-c", script, options=("--memory-limit", str(LIMIT)))
        heard.wait("hungry", "/tasks/oom")


def test_paused_task_is_not_deleted(containerd: Containerd) -> None:
    start(containerd, "paused")
    containerd.call("tasks", "pause", "paused").ok()
    done = containerd.call("tasks", "delete", "paused")
    assert done.code != 0
    assert "task must be stopped before deletion" in done.err
    containerd.call("tasks", "resume", "paused").ok()
    assert containerd.exec("paused", "echo", "alive").ok().out == "alive\n"


def test_paused_task_is_deleted_by_force(containerd: Containerd) -> None:
    pid = start(containerd, "paused")
    containerd.call("tasks", "pause", "paused").ok()
    containerd.call("tasks", "delete", "--force", "paused")
    assert not process_alive(pid)
    assert containerd.task_status("paused") == ""


def test_many_programs_at_once(containerd: Containerd) -> None:
    start(containerd, "crowd")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(lambda number: containerd.exec("crowd", "echo", str(number)), range(AT_ONCE)))
    assert [each.ok().out for each in done] == [f"{number}\n" for number in range(AT_ONCE)]


def test_exec_on_a_terminal_that_changes_its_size(containerd: Containerd) -> None:
    start(containerd, "console")
    # ctr sets the first size when the program runs already, which is a signal too.
    script = "until [ \"$(stty size)\" = '24 80' ]; do usleep 20000; done; "
    script += "trap 'stty size; exit 7' WINCH; echo ready; while :; do usleep 20000; done"
    argv = containerd.argv("tasks", "exec", "--tty", "--exec-id", "resized", "console", "sh", "-c", script)
    with containerd.program(argv) as program:
        program.terminal.read_until("ready", 30.0)
        program.terminal.resize(33, 101)
        assert program.wait(30.0) == 7
        assert "33 101" in program.terminal.text


def test_exec_is_killed_by_its_id(containerd: Containerd) -> None:
    start(containerd, "target")
    containerd.call("tasks", "exec", "--detach", "--exec-id", "worker", "target", "sleep", "601").ok()
    assert "sleep 601" in containerd.exec("target", "ps", "-o", "args").ok().out
    containerd.call("tasks", "kill", "--exec-id", "worker", "--signal", "SIGKILL", "target").ok()
    wait_for(
        lambda: "sleep 601" not in containerd.exec("target", "ps", "-o", "args").ok().out, 30.0, "the program's end"
    )
    assert containerd.task_status("target") == "RUNNING"


def test_attach_to_a_task_that_reads(containerd: Containerd) -> None:
    """Another client sees what the task prints after the first has gone; the first held its streams."""
    with containerd.interactive(["--detach"], "quiet", "sh", "-c", "read line; echo got $line; exit 6") as first:
        assert first.wait(30.0) == 0
    with containerd.program(containerd.argv("tasks", "attach", "quiet")) as second:
        second.terminal.send("typed\r")
        second.terminal.read_until("got typed", 30.0)
        assert second.wait(30.0) == 6
