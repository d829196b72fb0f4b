"""The circumstances of one case: bundles, containers, what was tried, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import config as configs
from . import host, probe
from .case import Fails, expect
from .probe import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .config import Config
    from .runtime import Call, Runtime

CGROUP = f"/ocirun-conformance-{os.getpid()}"
"""The folder of all cgroups of this run."""


def wait_until(holds: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Poll; fail the case when it does not come true."""
    end = time.monotonic() + seconds
    while not holds():
        expect(time.monotonic() < end, f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.005)


class Bundle:
    """A folder with a rootfs, which has the probe at /probe, and a config.json. config: what was last written there."""

    def __init__(self, path: Path, program: Path) -> None:
        self.path = path
        self.rootfs = path / "rootfs"
        self.config: Config = {}
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "mnt"):
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy(program, self.rootfs / "probe")
        (self.rootfs / "probe").chmod(0o755)

    def write(self, config: Config) -> None:
        """Write config.json."""
        self.config = config
        (self.path / "config.json").write_text(json.dumps(config, indent=1))


class Container:
    """One id of the runtime. Operations give the call; whether it succeeded is the caller's question, or `ok`'s."""

    def __init__(self, trial: Trial, bundle: Bundle, ident: str) -> None:
        self.trial = trial
        self.bundle = bundle
        self.ident = ident
        self._pid = 0
        self._pidfd = -1
        self._out: Path | None = None

    def _call(
        self,
        operation: str,
        *,
        stdin: int = subprocess.DEVNULL,
        terminal: bool = False,
        lists: Mapping[str, Sequence[str]] | None = None,
        leaked: Sequence[int] = (),
        **values: str,
    ) -> Call:
        filled = {
            "id": self.ident,
            "bundle": str(self.bundle.path),
            "pid_file": str(self.pid_file),
            "console_socket": "",
            "signal": "",
            **values,
        }
        runtime = self.trial.runtime
        out = self.trial.new_file(operation)
        if operation == "create":
            self._out = out
        argv = runtime.command(operation, filled, terminal=terminal, lists=lists)
        return runtime.call(argv, out, stdin=stdin, leaked=leaked)

    @property
    def pid_file(self) -> Path:
        """Where create writes the process id, if the adapter asks it to."""
        return self.trial.path / f"{self.ident}.pid"

    def create(self, *, stdin: int = subprocess.DEVNULL, console_socket: str = "", leaked: Sequence[int] = ()) -> Call:
        """The operation create. leaked: descriptors that the runtime inherits."""
        terminal = bool(console_socket)
        return self._call("create", stdin=stdin, terminal=terminal, leaked=leaked, console_socket=console_socket)

    def execute(self, *program: str, options: Sequence[str] = (), leaked: Sequence[int] = ()) -> Call:
        """The operation exec, in the foreground."""
        return self._call("exec", lists={"options": options, "program": program}, leaked=leaked)

    def start(self) -> Call:
        """The operation start."""
        return self._call("start")

    def query(self) -> Call:
        """The operation state."""
        return self._call("state")

    def kill(self, number: str = "KILL") -> Call:
        """The operation kill."""
        return self._call("kill", signal=number)

    def delete(self) -> Call:
        """The operation delete."""
        return self._call("delete")

    def force(self) -> Call:
        """Delete it in whatever state it is."""
        return self._call("force")

    def checkpoint(self, images: Path) -> Call:
        """The operation checkpoint, into a folder."""
        return self._call("checkpoint", images=str(images))

    def restore(self, images: Path) -> Call:
        """The operation restore, from a folder; the process is another one then."""
        self._pid = 0
        return self._call("restore", images=str(images))

    def state(self) -> dict[str, Any]:
        """The state document; fails the case if there is none."""
        return document(ok(self.query(), "state"), "state")

    @property
    def status(self) -> str:
        """The status that state tells."""
        return str(self.state().get("status"))

    @property
    def pid(self) -> int:
        """The container's process on the host: from the pid file, or else from the state."""
        if not self._pid:
            try:
                self._pid = int(self.pid_file.read_text())
            except (OSError, ValueError):
                self._pid = int(self.state().get("pid") or 0)
        return self._pid

    def watch(self) -> None:
        """Hold on to the process, so that its end can be waited for."""
        if self._pidfd < 0 and self.pid > 0:
            try:
                self._pidfd = os.pidfd_open(self.pid)
            except ProcessLookupError:
                return
            self.trial.defer(lambda: os.close(self._pidfd))

    def wait(self, seconds: float = 20.0) -> None:
        """Until the process has ended; fails the case when it does not."""
        if self._pidfd >= 0:
            ready, _, _ = select.select([self._pidfd], [], [], seconds)
            expect(ready, f"the container's process did not end within {seconds:g} s")

    @property
    def output(self) -> str:
        """What the container has written so far on its standard output."""
        return self._out.read_text("utf-8", "surrogateescape") if self._out else ""

    @property
    def report(self) -> Report:
        """The whole lines of the probe so far."""
        lines = self.output.split("\n")[:-1]
        try:
            return Report([json.loads(line) for line in lines])
        except ValueError:
            raise Fails("the container's standard output is not what the probe writes", seen=self.output) from None

    def await_lines(self, count: int) -> Report:
        """Until the probe has written that many lines."""
        wait_until(lambda: self.output.count("\n") >= count, f"{count} lines of the program")
        return self.report


def document(call: Call, operation: str) -> dict[str, Any]:
    """The JSON object that a call has printed; fails the case if it is none."""
    try:
        found = json.loads(call.out)
    except ValueError:
        raise Fails(f"{operation} does not print JSON", seen=call.out) from None
    expect(isinstance(found, dict), f"{operation} does not print an object", seen=call.out)
    printed: dict[str, Any] = found
    return printed


def ok(call: Call, what: str) -> Call:
    """Fail the case unless the call succeeded."""
    expect(call.code == 0, f"{what} failed with exit code {call.code}", expected=0, seen=call.err.strip()[-2000:])
    return call


class Trial:
    """What one case works with. path: its own folder; version: the ociVersion that configurations name.

    rounds: how often a race is run.
    """

    def __init__(
        self, runtime: Runtime, path: Path, program: Path, *, version: str, rootless: bool = False, rounds: int = 1
    ) -> None:
        self.runtime = runtime
        self.path = path
        self.program = program
        self.version = version
        self.rootless = rootless
        self.rounds = rounds
        self.bundles: list[Bundle] = []
        self.containers: list[Container] = []
        self._deferred: list[Callable[[], object]] = []
        self._files = 0
        self._cgroups = 0

    def new_file(self, name: str) -> Path:
        """A path for something that a call writes."""
        self._files += 1
        return self.path / f"{self._files:03}-{name}.out"

    def defer(self, undo: Callable[[], object]) -> None:
        """Call this at the end, last first."""
        self._deferred.append(undo)

    @cached_property
    def token(self) -> str:
        """A name that no other case of this or another run has."""
        return f"{os.getpid()}-{self.path.name}"

    @property
    def cgroup(self) -> str:
        """The folder of this case's cgroups, below which each configuration has its own; none when rootless."""
        return "" if self.rootless else f"{CGROUP}/{self.path.name}"

    def config(self, *actions: Sequence[object]) -> Config:
        """A configuration that runs these actions of the probe; `report` when there are none."""
        argv = probe.argv(*(actions or [["report"]]))
        self._cgroups += 1
        cgroup = f"{self.cgroup}/{self._cgroups}" if self.cgroup else ""
        return configs.minimal(self.version, argv, cgroup, rootless=self.rootless)

    def bundle(self, config: Config | None = None) -> Bundle:
        """A new bundle, with a config.json unless it is None."""
        made = Bundle(self.path / f"bundle-{len(self.bundles)}", self.program)
        self.bundles.append(made)
        if config is not None:
            made.write(config)
        return made

    def container(self, source: Config | Bundle | None = None, ident: str = "") -> Container:
        """An id that is not taken, with a bundle; nothing is called yet."""
        bundle = source if isinstance(source, Bundle) else self.bundle(self.config() if source is None else source)
        made = Container(self, bundle, ident or f"oc-{self.token}-{len(self.containers)}")
        self.containers.append(made)
        return made

    def created(self, source: Config | Bundle | None = None) -> Container:
        """A container for which create succeeded."""
        made = self.container(source)
        ok(made.create(), "create")
        made.watch()
        return made

    def started(self, source: Config | Bundle | None = None) -> Container:
        """A container for which create and start succeeded."""
        made = self.created(source)
        ok(made.start(), "start")
        return made

    def ended(self, source: Config | Bundle | None = None) -> Container:
        """A container whose program has ended."""
        made = self.started(source)
        made.wait()
        return made

    def run(self, source: Config | Bundle | None = None) -> Report:
        """What the probe says in a container that ends by itself; it must have written a line."""
        made = self.ended(source)
        report = made.report
        expect(len(report), "the program wrote nothing", seen=self.runtime.calls[-1].err)
        return report

    def refused(self, source: Config | Bundle, what: str) -> Call:
        """That create fails and leaves no container. what: the mistake, such as "a relative cwd"."""
        made = self.container(source)
        call = made.create()
        expect(call.code != 0, f"create takes {what}")
        expect(made.query().code != 0, f"create refused {what}, but state knows a container")
        return call

    def run_unless_refused(self, source: Config | Bundle) -> Report | None:
        """What the probe has told when the program has ended, or None when create fails."""
        made = self.container(source)
        if made.create().code != 0:
            return None
        made.watch()
        ok(made.start(), "start")
        made.wait()
        return made.report

    def refused_at_last(self, source: Config | Bundle, what: str) -> Call:
        """That create or start fails, for what may be found only when the program is to run."""
        made = self.container(source)
        call = made.create()
        if call.code == 0:
            made.watch()
            call = made.start()
        expect(call.code != 0, f"neither create nor start refuses {what}")
        return call

    def clean(self) -> list[str]:
        """End and remove all that is left; what could not be. Never raises."""
        problems: list[str] = []
        self.runtime.cleans = True
        for made in reversed(self.containers):
            self._remove(made, problems)
        for undo in reversed(self._deferred):
            try:
                undo()
            except (OSError, subprocess.SubprocessError, Fails) as problem:
                problems.append(f"{problem}")
        problems += host.unmount_below(self.path)
        if self.cgroup:
            problems += host.remove_cgroups(self.cgroup)
        return problems

    def _remove(self, made: Container, problems: list[str]) -> None:
        try:
            pid = made.pid if made.pid_file.exists() else 0
        except (OSError, Fails) as problem:
            pid = 0
            problems.append(f"{made.ident}: {problem}")
        try:
            if made.query().code == 0:
                made.force()
        except (OSError, Fails) as problem:
            problems.append(f"{made.ident}: {problem}")
        # also when the runtime has hung
        if pid > 0 and host.is_in_bundle(pid, made.bundle.path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
