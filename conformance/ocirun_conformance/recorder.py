"""Hooks and programs that leave facts in a folder: when each ran, what it read, in which namespaces."""

from __future__ import annotations

import contextlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from . import config as configs
from . import probe
from .case import Fails, expect
from .probe import Report
from .trial import ok, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from .config import Config
    from .runtime import Call
    from .trial import Container, Trial

BEFORE_PIVOT = ("prestart", "createRuntime", "createContainer")
STAGES = (*BEFORE_PIVOT, "startContainer", "poststart", "poststop")
INSIDE = "/shared"
HELD_MILLISECONDS = 8000


class Recorder:
    """A folder of the host that a configuration's container has at /shared.

    folder: on the host; program: the probe at a path that is on the host only.
    """

    def __init__(self, trial: Trial, config: Config) -> None:
        self.config = config
        self.folder = trial.path / "shared"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.program: Path = trial.path / "host-only"
        # a copy where everybody may look: the cache belongs to the suite's user
        shutil.copy(trial.program, self.program)
        self.program.chmod(0o755)
        configs.add_mount(config, INSIDE, "bind", str(self.folder), "bind")

    def _place(self, stage: str) -> str:
        return INSIDE if stage in ("startContainer", "program") else str(self.folder)

    def _actions(self, stage: str, name: str, actions: Sequence[Sequence[object]]) -> list[str]:
        place = self._place(stage)
        recorded = [["into", f"{place}/{name}"], ["mark", f"{place}/order", name]]
        return probe.argv(*recorded, *actions)

    def hook(self, stage: str, name: str = "", *actions: Sequence[object], **members: Any) -> None:
        """Append a hook that records its name and then does these actions. members: further ones of the entry."""
        argv = self._actions(stage, name or stage, actions or [["report"], ["stdin"]])
        path = "/probe" if stage == "startContainer" else str(self.program)
        entry = {"path": path, "args": [path, *argv[1:]], **members}
        self.config.setdefault("hooks", {}).setdefault(stage, []).append(entry)

    def runs(self, *actions: Sequence[object]) -> None:
        """The program records "program" and then does these actions."""
        self.config["process"]["args"] = self._actions("program", "program", actions or [["wait"]])

    def hold(self, stage: str, name: str = "") -> None:
        """Append a hook that waits until it is let go, but not for ever."""
        release = f"{self._place(stage)}/release"
        self.hook(stage, name, ["stdin"], ["report"], ["hold", release, HELD_MILLISECONDS])

    def release(self) -> None:
        """Let those go that wait."""
        (self.folder / "release").touch()

    @property
    def marks(self) -> list[tuple[str, int]]:
        """Who ran and when, in nanoseconds of CLOCK_MONOTONIC, in order."""
        try:
            lines = (self.folder / "order").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(name, int(when)) for name, when in (line.split() for line in lines)]

    @property
    def order(self) -> list[str]:
        """Who ran, in order."""
        return [name for name, _ in self.marks]

    def when(self, name: str) -> int:
        """When it ran first; fails the case if it did not."""
        expect(name in self.order, f"{name} did not run", seen=self.order)
        return dict(reversed(self.marks))[name]

    def await_mark(self, name: str) -> None:
        """Until it has run."""
        wait_until(lambda: name in self.order, f"{name} to run")

    def report(self, name: str) -> Report:
        """What it wrote; fails the case if it did not run."""
        expect((self.folder / name).exists(), f"{name} did not run", seen=self.order)
        lines = (self.folder / name).read_text("utf-8", "surrogateescape").split("\n")[:-1]
        return Report([json.loads(each) for each in lines])

    def action(self, name: str, action: str) -> dict[str, Any]:
        """The line of one of its actions; waits for it."""
        wait_until(lambda: any(line["action"] == action for line in self.report(name).lines), f"{name} to do {action}")
        return next(line for line in self.report(name).lines if line["action"] == action)

    def state(self, name: str) -> dict[str, Any]:
        """The state that a hook read from its standard input."""
        text = self.action(name, "stdin")["text"]
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Fails(f"the {name} hook reads no JSON object from its standard input", seen=text)
        return document


@contextlib.contextmanager
def beside(
    recorder: Recorder, operation: Callable[[], Call], name: str, *, later: bool = False
) -> Iterator[Future[Call]]:
    """While the operation is under way and the hook of that name waits; lets it go in the end.

    later: the hook need not have begun when the operation returns.
    """
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(operation)
        try:
            wait_until(lambda: name in recorder.order or (call.done() and not later), f"the {name} hook")
            expect(name in recorder.order, f"the operation returns without running the {name} hook")
            yield call
        finally:
            recorder.release()


def live(trial: Trial, recorder: Recorder) -> Container:
    """From create to delete; the program is running before it is killed."""
    made = trial.created(recorder.config)
    live_on(made, recorder)
    return made


def live_on(made: Container, recorder: Recorder) -> None:
    """From start to delete of a created container."""
    ok(made.start(), "start")
    recorder.await_mark("program")
    ok(made.kill("KILL"), "kill")
    made.wait()
    ok(made.delete(), "delete")
