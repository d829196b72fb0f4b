"""Latency through engines: what a person or a kubelet waits for, with one runtime beside another (`--engines`).

Rules: each engine has an instance of its own for each runtime, made by the tests' harness, and a container that lives
for `exec`; an operation is a command of the engine's own client, for CRI a call over its socket. The parts that belong
to the runtime are counted in rounds of their own, whose times are not mixed with the others.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support import facility
from support.bundle import make_rootfs
from support.docker import DOCKER_IMAGE, Docker
from support.engines import PODMAN_IMAGE, Containerd, Podman, private_directory
from support.pods import CriError, Pods

from .rounds import Rounds, add
from .timing import CommandFailedError, Spawner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .operations import Sample
    from .rounds import PassResult
    from .runtimes import Candidate

COUNTED_ROUNDS = 5
SHORT, LONG = ("/bin/true",), ("/bin/sleep", "100000")
COMMANDS = (
    "create",
    "start",
    "state",
    "exec",
    "kill",
    "delete",
    "ps",
    "update",
    "features",
    "run",
    "events",
    "--version",
)
# In place of the runtime. What engines ignore stays ignored, and what Python ignores does not become so.
COUNTER = """\
#!{python} -IS
import os, signal, sys, time
began = time.perf_counter_ns()
argv = [{runtime!r}, *sys.argv[1:]]
pid = os.posix_spawn(argv[0], argv, os.environ, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
line = f"{{time.perf_counter_ns() - began}} {{' '.join(argv[1:])}}\\n"
os.write(os.open({calls!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), line.encode())
sys.exit(code)
"""

Operation = Callable[[], int]


@dataclass
class Instance:
    """One engine with one runtime; `operations` are done in their order and return nanoseconds."""

    kind: str
    candidate: Candidate
    base: Path
    close: Callable[[], object] = lambda: None
    begin: Callable[[], object] = lambda: None
    operations: dict[str, Operation] = field(default_factory=dict)
    _begun: bool = False

    @property
    def name(self) -> str:
        """The runtime's short name."""
        return self.candidate.name

    @property
    def program(self) -> Path:
        """What the engine calls: a link to the runtime, until `count`."""
        return self.base / "program" / self.name

    @property
    def calls(self) -> Path:
        """A line for each call since `count`: nanoseconds, and the arguments."""
        return self.base / "program" / "calls"

    def link(self) -> None:
        """Let the engine call the runtime itself."""
        self.program.parent.mkdir()
        self.program.symlink_to(self.candidate.path)

    def count(self) -> None:
        """From now on each call of the runtime is noted."""
        text = COUNTER.format(python=sys.executable, runtime=str(self.candidate.path), calls=str(self.calls))
        new = self.program.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o755)
        new.replace(self.program)

    def sample(self) -> Sample:
        """Each operation once."""
        if not self._begun:
            self.begin()
            self._begun = True
        return {title: operation() for title, operation in self.operations.items()}

    def clean(self) -> None:
        """What is left is removed with the engine."""


def _containerd(one: Instance, rootfs: Path) -> None:
    engine = Containerd(one.base, one.program, rootfs, "native" if facility.overlayfs() else "overlayfs")
    call, ids = Spawner(one.base).nanoseconds, itertools.count()
    fifos = ("--fifo-dir", str(one.base / "fifo"))
    one.close = engine.close
    one.begin = lambda: call(engine.run_argv(["--detach"], "long", *LONG))
    one.operations = {
        "ctr run --rm": lambda: call(engine.run_argv(["--rm"], f"short{next(ids)}", *SHORT)),
        "ctr tasks exec": lambda: call(
            engine.argv("tasks", "exec", "--exec-id", f"exec{next(ids)}", *fifos, "long", *SHORT)
        ),
    }


def _docker(one: Instance, rootfs: Path) -> None:
    engine = Docker(one.base, one.program, rootfs)
    call = Spawner(one.base, engine.env).nanoseconds
    one.close = engine.close
    one.begin = lambda: call(engine.argv("run", "--detach", "--name", "long", DOCKER_IMAGE, *LONG))
    one.operations = {
        "docker run --rm": lambda: call(engine.argv("run", "--rm", DOCKER_IMAGE, *SHORT)),
        "docker exec": lambda: call(engine.argv("exec", "long", *SHORT)),
    }


def _podman(one: Instance, rootfs: Path) -> None:
    engine = Podman(one.base, one.program, rootfs)
    call = Spawner(one.base, engine.env).nanoseconds
    one.close = engine.close
    one.begin = lambda: call(engine.run_argv("--network", "none", "--detach", "--name", "long", PODMAN_IMAGE, *LONG))
    one.operations = {
        "podman run --rm": lambda: call(engine.run_argv("--network", "none", "--rm", PODMAN_IMAGE, *SHORT)),
        "podman exec": lambda: call(engine.argv("exec", "long", *SHORT)),
    }


def _cri(one: Instance, rootfs: Path) -> None:
    engine = Pods(one.base, one.program, rootfs, "native" if facility.overlayfs() else "overlayfs")
    made: list[str] = []
    one.close = engine.close
    one.operations = {
        "RunPodSandbox": lambda: _timed(lambda: made.append(engine.pod())),
        "Create- and StartContainer": lambda: _timed(lambda: made.append(engine.run(made[0], *LONG))),
        "ExecSync": lambda: _timed(lambda: engine.exec(made[1], *SHORT)),
        "Stop- and RemovePodSandbox": lambda: _timed(lambda: engine.remove_pod(made.pop(0)), made.clear),
    }


def _timed(call: Callable[[], object], then: Callable[[], object] = lambda: None) -> int:
    began = time.perf_counter_ns()
    try:
        call()
    except CriError as error:
        raise CommandFailedError(str(error)) from error
    passed = time.perf_counter_ns() - began
    then()
    return passed


ENGINES = {
    "containerd": (_containerd, facility.containerd),
    "CRI": (_cri, facility.containerd),
    "Docker": (_docker, facility.docker),
    "Podman": (_podman, facility.podman),
}


class EnginePass(Rounds):
    """The engines that are here with every runtime; use as `EnginePass(...).measure(engines, candidates)`."""

    def measure(self, engines: Sequence[str], candidates: Sequence[Candidate]) -> PassResult:
        """`engines` are keys of ENGINES. Whatever was made is removed on every way out."""
        with ExitStack() as stack:
            rootfs = make_rootfs(stack.enter_context(private_directory()) / "rootfs")
            instances = []
            for kind in engines:
                make, probe = ENGINES[kind]
                reason = probe()
                if reason:
                    self.result["remarks"].append(f"without {kind}: {reason}")
                    continue
                for candidate in candidates:
                    one = Instance(kind, candidate, stack.enter_context(private_directory()))
                    one.link()
                    make(one, rootfs)
                    stack.callback(one.close)
                    instances.append(one)
            able = self.warm_up(instances)
            self.time(able)
            self._count(able)
        return self.result

    def _count(self, instances: list[Instance]) -> None:
        """How often each operation calls the runtime, for what, and how long that takes in all."""
        for one in list(instances):
            one.count()
            names: dict[str, list[str]] = {}
            try:
                for _ in range(min(COUNTED_ROUNDS, self.result["rounds"])):
                    for title in one.operations:
                        names[title] = self._count_one(one, title)
            except (CommandFailedError, OSError) as error:
                self.drop(instances, one, error)
                continue
            told = "; ".join(f"{title}: {', '.join(words) or 'nothing'}" for title, words in names.items())
            remark = f"{one.kind} calls the runtime for {told}"
            if remark not in self.result["remarks"]:
                self.result["remarks"].append(remark)

    def _count_one(self, one: Instance, title: str) -> list[str]:
        """The commands that one operation asked for."""
        one.calls.write_text("")
        one.operations[title]()
        lines = [line.split() for line in one.calls.read_text().splitlines()]
        add(self.result["calls"], one.kind, one.name, {title: len(lines)})
        add(self.result["within"], one.kind, one.name, {title: sum(int(line[0]) for line in lines)})
        return [next((word for word in line if word in COMMANDS), "another command") for line in lines]
