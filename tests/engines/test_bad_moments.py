"""Bad moments: what drives the runtime dies, several do the same at once, and what is asked for comes too late.

Each of them ends with a success or a clear error, never with a hang (every command here has a timeout), and leaves
nothing (the fixtures compare the host).
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import default_config, with_terminal, write_bundle
from support.command import process_alive, wait_for
from support.engines import Containerd, private_directory, slow_runtime
from support.host import HostSnapshot
from support.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.command import Output

pytestmark = pytest.mark.engines

AT_ONCE = 20
ENDED = "true"


def start(containerd: Containerd, name: str, *args: str) -> int:
    """A detached container; the pid of its init."""
    containerd.run(["--detach", "--null-io"], name, *(args or ("sleep", "600"))).ok()
    return containerd.task_pid(name)


def direct(containerd: Containerd) -> Runtime:
    """The runtime as the shim calls it."""
    return Runtime(containerd.runtime, containerd.runc_root / containerd.namespace, containerd.base / "direct")


def shims(containerd: Containerd) -> list[int]:
    """The pids of its shims, also of those without a task."""
    words = [b"-namespace", containerd.namespace.encode()]
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"containerd-shim-runc-v2" in argv[0] and argv[1:3] == words:
            found.append(int(path.parent.name))
    return found


def again(containerd: Containerd) -> bool:
    """Whether a container named `half` runs; what a failed run has left is removed."""
    containerd.remove_containers()
    done = containerd.run(["--rm"], "half", "echo", "again")
    return done.code == 0 and done.out == "again\n"


def said(done: Output) -> str:
    """The error of a call that must have failed with one."""
    assert done.code > 0, done.details()
    assert done.err.strip() != ""
    return done.err


@pytest.fixture
def breakable(runtime_binary: Path, rootfs: Path) -> Iterator[Containerd]:
    """A containerd that may be killed, with a runtime that can be held when it creates."""
    facility.need(facility.containerd)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        slow = slow_runtime(base, runtime_binary)
        engine = Containerd(base, slow, rootfs, "native" if facility.overlayfs() else "overlayfs")
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture
def runtime(runtime_binary: Path, tmp_path: Path) -> Iterator[Runtime]:
    """The runtime without an engine."""
    before = HostSnapshot.take(tmp_path / "root", scope=[str(tmp_path)])
    with Runtime(runtime_binary, tmp_path / "root", tmp_path / "calls") as found:
        yield found
    before.assert_unchanged()


def test_shim_is_killed_while_the_container_runs(containerd: Containerd) -> None:
    """containerd sees it and has a new shim delete the container by force."""
    pid = start(containerd, "orphan")
    os.kill(containerd.shim_pid("orphan"), signal.SIGKILL)
    wait_for(lambda: not process_alive(pid), 30.0, "the end of the container")
    wait_for(lambda: containerd.task_status("orphan") == "", 30.0, "the end of the task")
    wait_for(lambda: not (direct(containerd).root / "orphan").exists(), 30.0, "the removal of the container")
    containerd.call("containers", "delete", "orphan").ok()


def test_shim_is_killed_and_the_runtime_deletes(containerd: Containerd) -> None:
    """Both may be first: containerd has the container deleted as well."""
    start(containerd, "orphan")
    os.kill(containerd.shim_pid("orphan"), signal.SIGKILL)
    direct(containerd).delete("orphan", force=True).ok()
    wait_for(lambda: containerd.task_status("orphan") == "", 30.0, "the end of the task")


@pytest.mark.parametrize("held", [True, False])
def test_daemon_is_killed_in_the_middle_of_a_create(breakable: Containerd, held: bool) -> None:
    """Before the runtime works, and while it does: the container is made, or not.

    The daemon that comes after it knows the shim and no task, so nothing ends the shim, and the name is taken. When the
    shim is killed, the daemon has the container deleted by force, whatever there is of it.
    """
    hold = breakable.base / "hold-create"
    if held:
        hold.touch()
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(breakable.run, ["--detach", "--null-io"], "half", "sleep", "600")
        wait_for((breakable.base / "called-create").exists, 30.0, "the call of the runtime")
        breakable.crash()
        hold.unlink(missing_ok=True)
        breakable.restart()
        assert client.result(60.0).code >= 0
    for shim in shims(breakable):
        os.kill(shim, signal.SIGKILL)
    wait_for(lambda: not list(direct(breakable).root.glob("half")), 30.0, "the removal of the container")
    wait_for(lambda: again(breakable), 30.0, "the name being free")


def test_exec_in_a_paused_container(containerd: Containerd) -> None:
    start(containerd, "paused")
    containerd.call("tasks", "pause", "paused").ok()
    assert "paused" in said(containerd.exec("paused", "true"))
    assert "paused" in said(direct(containerd).exec("paused", "true"))
    containerd.call("tasks", "resume", "paused").ok()
    containerd.exec("paused", "true").ok()


def test_exec_in_a_stopped_container(containerd: Containerd) -> None:
    start(containerd, "over", ENDED)
    wait_for(lambda: containerd.task_status("over") == "STOPPED", what="the end of the task")
    assert "stopped" in said(containerd.exec("over", "true"))
    assert "stopped" in said(direct(containerd).exec("over", "true"))


def test_many_execs_while_the_container_stops(containerd: Containerd) -> None:
    """Each has run, was killed with the container, or is refused."""
    pid = start(containerd, "ending")
    running = threading.Semaphore(0)

    def once(_: int) -> Output:
        running.release()
        return containerd.exec("ending", "sh", "-c", "echo ran")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(once, number) for number in range(AT_ONCE)]
        for _ in calls:
            running.acquire()
        containerd.call("tasks", "kill", "--signal", "SIGKILL", "ending").ok()
        done = [call.result(60.0) for call in calls]
    assert not process_alive(pid)
    for each in done:
        if each.code == 0:
            assert each.out == "ran\n"
        elif each.code != 128 + signal.SIGKILL:
            said(each)


def test_two_deletes_of_a_task_at_once(containerd: Containerd) -> None:
    start(containerd, "twice", ENDED)
    wait_for(lambda: containerd.task_status("twice") == "STOPPED", what="the end of the task")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: containerd.call("tasks", "delete", "twice"), range(2)))
    assert 0 in [each.code for each in done]
    assert all("not found" in said(each) for each in done if each.code != 0)


def test_two_deletes_of_a_container_at_once(runtime: Runtime, tmp_path: Path) -> None:
    """One of them may come when there is nothing any more."""
    bundle = write_bundle(tmp_path / "bundle", default_config(ENDED))
    runtime.run("twice", bundle, "--detach").ok()
    runtime.wait_status("twice", "stopped")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: runtime.delete("twice"), range(2)))
    assert 0 in [each.code for each in done]
    assert all("does not exist" in said(each) for each in done if each.code != 0)


def test_nobody_listens_on_the_console_socket(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "console"
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(path))
    bundle = write_bundle(tmp_path / "bundle", with_terminal(default_config("sleep", "600")))
    assert "connection refused" in said(runtime.create("mute", bundle, "--console-socket", str(path)))
    assert runtime.list() == []


def test_console_socket_is_closed_early(runtime: Runtime, tmp_path: Path) -> None:
    """The receiver hangs up without taking the terminal: an error, or a container without anybody who sees it."""
    bundle = write_bundle(tmp_path / "bundle", with_terminal(default_config("sleep", "600")))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "console"))
        listener.listen(1)

        def hang_up() -> None:
            listener.settimeout(30.0)
            listener.accept()[0].close()

        receiver = threading.Thread(target=hang_up)
        receiver.start()
        done = runtime.create("mute", bundle, "--console-socket", str(tmp_path / "console"))
        receiver.join()
    if done.code:
        said(done)
        assert runtime.list() == []
    else:
        runtime.delete("mute", force=True).ok()
