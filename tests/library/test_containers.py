"""What a container can be told and asked."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from library.conftest import left
from process.test_wait import kept
from support import facility
from support.bundle import Config, with_shell
from support.facility import requires

import ocirun

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@requires(kept, facility.cgroup_v1)
def test_a_life(runtime: ocirun.Runtime, bundle: Path) -> None:
    with runtime.create(bundle, "web") as container:
        made = container.state()
        assert (made.id, made.status, made.bundle) == ("web", "created", str(bundle))
        assert made.created
        assert abs(datetime.now(UTC) - made.created) < timedelta(minutes=1)
        assert [each.id for each in runtime.list()] == ["web"]
        container.start()
        done = container.exec(
            ["sh", "-c", "cat; echo $A$B >&2; exit 4"], input=b"in" * 100_000, env={"A": "1", "B": "2"}
        )
        assert (done.code, done.out, done.err, done.truncated) == (4, "in" * 100_000, "12\n", False)
        container.update(memory="64M", pids_limit=50)
        assert container.usage().memory_limit == 64 << 20
        container.pause()
        assert container.state().status == "paused"
        container.resume()
        events = container.events(interval=0.05)
        found = next(events)
        assert (found.kind, found.id, found.data["pids"]["limit"]) == ("stats", "web", 50)
        with pytest.raises(TimeoutError):
            container.wait(timeout=0.01)
        container.kill("TERM")
        assert container.wait(timeout=10) == 3
        assert list(events) == []
        assert container.state().status == "stopped"
    assert container.wait() == 3
    with pytest.raises(ocirun.UnknownContainer, match=r"^state web: container does not exist$"):
        container.state()


def test_run(launched: ocirun.Runtime, bundle: Path, config: Callable[[str], Config]) -> None:
    config("cat; exit 7")
    done = launched.run(bundle, input=b"text")
    assert (done.code, done.out) == (7, "text")


def test_streams_of_a_created_container(
    launched: ocirun.Runtime, bundle: Path, config: Callable[[str], Config]
) -> None:
    config("cat; echo err >&2")
    file = bundle / "out"
    file.touch()
    with (
        (bundle / "config.json").open("rb") as given,
        file.open("wb") as out,
        launched.create(bundle, "web", stdin=given, stdout=out, stderr=out) as container,
    ):
        container.start()
        container.wait(timeout=10)
    assert file.read_text() == (bundle / "config.json").read_text() + "err\n"


@pytest.fixture
def config(bundle: Path) -> Callable[[str], Config]:
    """Gives the bundle another program."""

    def write(script: str) -> Config:
        file = bundle / "config.json"
        found = with_shell(json.loads(file.read_text()), script)
        file.write_text(json.dumps(found))
        return found

    return write


@requires(facility.cgroup_v1)
def test_an_oom_kill_is_an_event(launched: ocirun.Runtime, bundle: Path, config: Callable[[str], Config]) -> None:
    config("sh -c 'tail /dev/zero'; sleep 1000")
    with launched.create(bundle, "web") as container:
        container.update(memory="16M")
        events = container.events(interval=600)
        starter = threading.Thread(target=container.start)
        starter.start()
        try:
            assert next(events) == ocirun.Event("oom", "web", {})
        finally:
            starter.join()
            events.close()  # type: ignore[attr-defined]


def sentences(runtime: ocirun.Runtime, *words: str) -> str:
    """What the command line says."""
    argv = [*runtime._program, f"--root={runtime.root}", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stderr


def test_failures_are_those_of_the_command_line(launched: ocirun.Runtime, bundle: Path) -> None:
    container = launched.create(bundle, "web")
    container.start()
    asked: list[tuple[Callable[[], object], list[str]]] = [
        (container.start, ["start", "web"]),
        (container.delete, ["delete", "web"]),
        (container.resume, ["resume", "web"]),
        (lambda: container.kill("NONE"), ["kill", "web", "NONE"]),
        (lambda: container.update(memory="1x"), ["update", "--memory=1x", "web"]),
        (lambda: container.exec(["nope"]), ["exec", "web", "nope"]),
        (lambda: launched.create(bundle, "web"), ["create", f"--bundle={bundle}", "web"]),
        (lambda: launched.create(bundle / "none", "new"), ["create", f"--bundle={bundle}/none", "new"]),
        (lambda: launched.get("none"), ["state", "none"]),
        (lambda: launched.get("../none"), ["state", "../none"]),
        (lambda: launched.delete("none"), ["delete", "none"]),
        (lambda: launched.sandbox(["true"], pids=-2).run(), ["do", "--pids=-2", "true"]),
    ]
    for deed, words in asked:
        with pytest.raises(ocirun.Failure) as caught:
            deed()
        problem = caught.value
        said = f"ocirun {problem}\n" + (f"hint: {problem.hint}\n" if problem.hint else "")
        assert said == sentences(launched, *words)
        assert isinstance(problem, ocirun.UnknownContainer) == ("does not exist" in str(problem))
    assert container.state().status == "running"
    with pytest.raises(ocirun.Failure, match="not found") as caught:
        container.exec(["nope"])
    assert (caught.value.code, caught.value.errno, caught.value.where) == (255, 2, "/args/0")


def test_warnings_go_to_the_logger(
    launched: ocirun.Runtime,
    bundle: Path,
    config: Callable[[str], Config],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = config("sleep 1000") | {"hostnam": "x", "annotations": {"org.opencontainers.image.stopSignal": "SIGNONE"}}
    (bundle / "config.json").write_text(json.dumps(found))
    with launched.create(bundle, "web") as container:
        container.start()
        container.kill()
        damaged = Path(launched.root, "damaged")
        damaged.mkdir()
        (damaged / "state.json").write_text("{")
        assert [each.id for each in launched.list()] == ["web"]
        launched.delete("damaged", force=True)
    first, second, third, fourth = [record.getMessage() for record in caplog.records if record.name == "ocirun"]
    assert "create web: /hostnam: unknown property" in first
    assert "'SIGNONE' is no signal" in second
    assert f"{damaged}/state.json: the state cannot be read" in third
    assert fourth.startswith("delete damaged: ")
    assert capfd.readouterr() == ("", "")


def test_the_caller_stays_as_it_was(launched: ocirun.Runtime, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def own() -> list[object]:
        gc.collect()
        status = [
            line
            for line in Path("/proc/self/status").read_text().splitlines()
            if line[:6] in ("Umask:", "SigBlk", "SigIgn", "SigCgt")
        ]
        handlers = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        return [status, handlers, os.getcwd(), sorted(os.listdir("/proc/self/fd")), os.listdir("/proc/self/task")]

    def use() -> None:
        with launched.create(bundle, "web") as container:
            assert not list(Path(launched.root, "web").glob("notify*"))
            container.start()
            assert container.exec(["true"]).code == 0
            next(iter(container.events(interval=0.01)))
            container.usage()
            container.kill("KILL")
            container.wait()
            assert len(launched.list()) == 1
        with pytest.raises(ocirun.UnknownContainer):
            launched.get("web")
        launched.sandbox(["true"]).run()

    monkeypatch.setenv("NOTIFY_SOCKET", "/run/none")
    use()
    before = own()
    use()
    assert own() == before


@requires(kept)
def test_several_wait(launched: ocirun.Runtime, bundle: Path) -> None:
    async def wait() -> list[int | None]:
        waiting = [asyncio.create_task(container.wait_async()) for _ in range(3)]
        await asyncio.sleep(0)
        assert (await container.exec_async(["echo", "hi"])).out == "hi\n"
        container.kill(signal.SIGTERM, all=False)
        return await asyncio.gather(*waiting)

    with launched.create(bundle, "web") as container:
        container.start()
        assert asyncio.run(wait()) == [3, 3, 3]


def test_threads(launched: ocirun.Runtime, bundles: Callable[[str], Path]) -> None:
    codes = {}

    def work(number: int) -> None:
        with launched.create(bundles(f"web-{number}"), f"web-{number}") as container:
            container.start()
            codes[number] = container.exec(["sh", "-c", f"exit {number}"]).code

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert codes == {number: number for number in range(4)}
    assert left(launched) == []
