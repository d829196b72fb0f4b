"""Nothing is left, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from library.conftest import left, program
from support.bundle import REPOSITORY, with_hook
from support.command import wait_for
from support.host import HostSnapshot

import ocirun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.privileged]

STUBBORN = ["sh", "-c", "trap '' TERM INT; echo ready; while :; do sleep 1000; done"]


class StopError(Exception):
    """Something of the caller's."""


def test_with_ends_a_container(launched: ocirun.Runtime, bundle: Path) -> None:
    process: ocirun.Process | None = None

    def work() -> None:
        nonlocal process
        with launched.create(bundle, "web") as container:
            container.start()
            process = container.popen(STUBBORN, stdout=subprocess.PIPE)
            assert process.stdout
            with process.stdout:
                assert process.stdout.readline() == b"ready\n"
            raise StopError

    with pytest.raises(StopError):
        work()
    assert process
    assert process.wait() == 128 + signal.SIGKILL
    assert left(launched) == []


def test_with_ends_what_a_runtime_has_made(launched: ocirun.Runtime, bundles: Callable[[str], Path]) -> None:
    def work() -> None:
        with ocirun.Runtime(launched.root, program=launched._program) as runtime:
            runtime.create(bundles("web"), "web").start()
            runtime.popen(bundles("run"), stdout=subprocess.DEVNULL)
            for each in ("other", "web"):
                with pytest.raises(ocirun.Failure, match="already in use"):
                    runtime.create(bundles("again"), each)
            raise StopError

    other = launched.create(bundles("other"), "other")
    with pytest.raises(StopError):
        work()
    assert [each.id for each in launched.list()] == ["other"]
    other.delete()


def test_a_sandbox_that_will_not_end(runtime: ocirun.Runtime) -> None:
    process: ocirun.Process | None = None

    def work() -> None:
        nonlocal process
        with runtime.sandbox(STUBBORN) as box:
            process = box.popen(stdout=subprocess.PIPE)
            assert process.stdout
            with process.stdout:
                assert process.stdout.readline() == b"ready\n"
            assert runtime.get(process.id).state().status == "running"
            raise StopError

    with pytest.raises(StopError):
        work()
    assert process
    assert process.wait() == 128 + signal.SIGKILL
    assert left(runtime) == []


def test_an_exec_whose_time_is_over(launched: ocirun.Runtime, bundle: Path) -> None:
    with launched.create(bundle, "web") as container:
        container.start()
        with pytest.raises(TimeoutError):
            container.exec(STUBBORN, timeout=0.5)
        wait_for(lambda: "trap '' TERM" not in container.exec(["ps"]).out, what="the end of the program")
        assert container.state().status == "running"


@pytest.mark.parametrize("after", [1, 2, 3, 4], ids=["stop", "kill-program", "kill-call", "wait"])
def test_what_is_interrupted_while_it_is_killed(
    launched: ocirun.Runtime, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """After one of the calls that `kill` makes."""
    left_to_do = after

    def interrupting(done: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            nonlocal left_to_do
            result = done(*args)
            left_to_do -= 1
            if not left_to_do:
                raise StopError
            return result

        return call

    def work() -> None:
        with ocirun.Runtime(launched.root, program=launched._program) as runtime, monkeypatch.context() as patched:
            process = runtime.sandbox(STUBBORN).popen(stdout=subprocess.PIPE)
            assert process.stdout
            with process.stdout:
                assert process.stdout.readline() == b"ready\n"
            patched.setattr(signal, "pidfd_send_signal", interrupting(signal.pidfd_send_signal))
            patched.setattr(subprocess.Popen, "wait", interrupting(subprocess.Popen.wait))
            process.kill()

    with pytest.raises(StopError):
        work()
    assert left(launched) == []


def test_killing_what_has_ended(launched: ocirun.Runtime) -> None:
    process = launched.sandbox(["sh", "-c", "exit 3"]).popen()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.kill()
    assert process.wait() == 3


def test_an_id_in_use_is_another_s(launched: ocirun.Runtime, bundle: Path) -> None:
    """Killed while it finds out, the call deletes nothing."""
    with launched.create(bundle, "web") as container:
        process = launched.popen(bundle, "web")
        process.kill()
        assert container.state().status == "created"


def test_a_flood_of_output(launched: ocirun.Runtime) -> None:
    done = launched.sandbox(["sh", "-c", "yes | head -c 1000000; sleep 1000 & exit 3"]).run(limit=1000)
    assert (done.code, len(done.stdout), done.truncated, done.stderr) == (3, 1000, True, b"")


def test_cancelled(launched: ocirun.Runtime, bundles: Callable[[str], Path]) -> None:
    async def main() -> None:
        with launched.create(bundles("web"), "web") as container:
            container.start()
            tasks: list[asyncio.Task[object]] = [
                asyncio.create_task(launched.sandbox(STUBBORN).run_async()),
                asyncio.create_task(container.exec_async(STUBBORN)),
                asyncio.create_task(launched.run_async(bundles("run"))),
                asyncio.create_task(container.wait_async()),
            ]
            await asyncio.sleep(0.2)  # wherever they are then
            for each in tasks:
                each.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in ends] == [asyncio.CancelledError] * 4
            assert [each.id for each in launched.list()] == ["web"]

    asyncio.run(main())
    assert left(launched) == []


SCRIPT = """
import os, subprocess, sys
import ocirun

root, bundle, *program = sys.argv[1:]
with ocirun.Runtime(root, program=program) as runtime:
    {deed}
"""
DEEDS = {
    "create": "runtime.create(bundle, 'web')",
    "sandbox": "runtime.sandbox(['sh', '-c', 'echo; sleep 1000']).popen().wait()",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_interrupted(tmp_path: Path, bundle: Path, deed: str) -> None:
    """Ctrl-C, while a hook of `create` runs or a sandbox: its end is waited for."""
    before = HostSnapshot.take(scope=[str(tmp_path), f"/{tmp_path.name}-"])
    hook = f"echo >{tmp_path}/said; exec sleep 1000"
    file = bundle / "config.json"
    file.write_text(json.dumps(with_hook(json.loads(file.read_text()), "createRuntime", "/bin/sh", "-c", hook)))
    argv = [sys.executable, "-c", SCRIPT.format(deed=DEEDS[deed]), str(tmp_path / "root"), str(bundle)]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}/runtime:{REPOSITORY}/spec"}
    with (
        (tmp_path / "out").open("wb") as out,
        subprocess.Popen(
            [*argv, *program("launcher")], env=environment, stdout=out, stderr=subprocess.PIPE, text=True
        ) as caller,
    ):
        wait_for(lambda: (tmp_path / "said").exists() or (tmp_path / "out").stat().st_size, what="its begin")
        caller.send_signal(signal.SIGINT)
        _, said = caller.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert caller.returncode == -signal.SIGINT
    before.assert_unchanged()
    assert [each.name for each in (tmp_path / "root").iterdir() if each.name != "@cache"] == []


def test_a_handler_that_raises_while_it_forks(launched: ocirun.Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception of a handler must not lose the child."""
    begin: Callable[..., None] = subprocess.Popen.__init__

    def interrupted(*args: object, **options: object) -> None:
        begin(*args, **options)
        signal.raise_signal(signal.SIGUSR1)

    def stop(number: int, frame: object) -> None:
        raise StopError

    assert threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGUSR1, stop)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(subprocess.Popen, "__init__", interrupted)
            with pytest.raises(StopError):
                launched.sandbox(STUBBORN).popen()
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert left(launched) == []
    assert launched._running == set()
