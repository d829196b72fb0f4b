"""The measured sequence: what is called, in which order, and what counts.

One sequence covers two containers of a bundle pair:

    short:  run
    long:   create · start · state · exec · kill · (wait, not counted) · delete
    long:   create, start (not counted) · delete --force

`lifecycle` is the sum of the create, start, state, kill and delete of the first long container.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from support.command import wait_for

from .timing import COMMAND_TIMEOUT, CommandFailedError, Measure, Spawner, reap, wait_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .runtimes import Candidate

LIFECYCLE = ("create", "start", "state", "kill", "delete")
OPERATIONS = ("run", "lifecycle", *LIFECYCLE, "exec", "delete --force")
TITLES = {"lifecycle": "+".join(LIFECYCLE)}

Sample = dict[str, int]


@dataclass(frozen=True)
class Waiting:
    """Memory of what waits, KiB (smaps_rollup of proc(5)): a created container's init, a `run` in the foreground."""

    rss: int
    pss: int
    foreground: int


def memory(pid: int) -> dict[str, int]:
    """KiB by the names of smaps_rollup, such as Rss and Pss."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, _, value = line.partition(":")
        fields[key] = int(value.split()[0])
    return fields


class Subject:
    """One runtime with `--root` in `state`; every container that it makes has an id that starts with `prefix`."""

    def __init__(self, candidate: Candidate, directory: Path, state: Path, prefix: str) -> None:
        self.candidate = candidate
        self.root = state / candidate.name
        self.spawner = Spawner(directory)
        self.prefix = prefix
        self._pid_file = directory / "pid"
        self._count = 0
        directory.mkdir(parents=True)

    @property
    def name(self) -> str:
        """The runtime's short name."""
        return self.candidate.name

    def argv(self, *args: str) -> list[str]:
        """The command line of one call."""
        return [str(self.candidate.path), "--root", str(self.root), *args]

    def sequence(self, bundles: Mapping[str, Path], measure: Measure) -> Sample:
        """One pass over all operations; `measure` decides what the numbers are."""
        self.spawner.adopted = 0
        sample = {"run": measure(self.run(bundles))}
        container = self._new_id()
        sample["create"] = measure(self._create(container, bundles))
        pid = self._init_pid()
        sample["start"] = measure(self.argv("start", container))
        sample["state"] = measure(self.argv("state", container))
        sample["exec"] = measure(self.argv("exec", container, "/bin/true"))
        self.spawner.adopted = pid
        sample["kill"] = measure(self.argv("kill", container, "KILL"))
        self._wait_init(pid)
        sample["delete"] = measure(self.argv("delete", container))
        container = self._new_id()
        self.spawner.nanoseconds(self._create(container, bundles))
        self.spawner.nanoseconds(self.argv("start", container))
        self.spawner.adopted = self._init_pid()
        sample["delete --force"] = measure(self.argv("delete", "--force", container))
        self.spawner.adopted = 0
        reap()
        return sample

    def run(self, bundles: Mapping[str, Path]) -> list[str]:
        """The command line of a container that ends at once."""
        return self.argv("run", "--bundle", str(bundles["short"]), self._new_id())

    def create(self, bundles: Mapping[str, Path]) -> str:
        """A container that waits; its id."""
        container = self._new_id()
        self.spawner.nanoseconds(self._create(container, bundles))
        return container

    def remove(self, container: str) -> None:
        """End a container and delete it, without the time that a runtime waits for its end by itself."""
        self.spawner.nanoseconds(self.argv("kill", container, "KILL"))
        reap()
        self.spawner.nanoseconds(self.argv("delete", "--force", container))
        reap()

    def waiting(self, bundles: Mapping[str, Path]) -> Waiting:
        """Memory of a created container's init, and of a `run` whose container is running."""
        container = self._new_id()
        self.spawner.nanoseconds(self._create(container, bundles))
        init = memory(self._init_pid())
        self.spawner.nanoseconds(self.argv("delete", "--force", container))
        reap()
        container = self._new_id()
        self._pid_file.unlink()
        bundle, pid_file = str(bundles["long"]), str(self._pid_file)
        with self.spawner.beside(self.argv("run", "--bundle", bundle, "--pid-file", pid_file, container)) as pid:
            wait_for(lambda: self._pid_file.exists() and program(self._init_pid()) == "sleep", COMMAND_TIMEOUT)
            foreground = memory(pid)["Rss"]
            self.spawner.nanoseconds(self.argv("kill", container, "KILL"))
        return Waiting(init["Rss"], init["Pss"], foreground)

    def clean(self) -> None:
        """Remove every container that is left; a runtime that fails here is not asked again."""
        if not self.root.is_dir():
            return
        for entry in sorted(self.root.iterdir()):
            if entry.name.startswith(self.prefix):
                try:
                    self.spawner.adopted = 0
                    self.spawner.nanoseconds(self.argv("delete", "--force", entry.name))
                except CommandFailedError:
                    continue
        reap()

    def _new_id(self) -> str:
        self._count += 1
        return f"{self.prefix}-{self.name}-{self._count}"

    def _create(self, container: str, bundles: Mapping[str, Path]) -> list[str]:
        bundle = str(bundles["long"])
        return self.argv("create", "--bundle", bundle, "--pid-file", str(self._pid_file), container)

    def _init_pid(self) -> int:
        return int(self._pid_file.read_text())

    def _wait_init(self, pid: int) -> None:
        """The adopted init is waited for and reaped, as a shim does before it calls delete."""
        if not wait_process(pid, COMMAND_TIMEOUT):
            raise CommandFailedError(f"{self.name}: the container's process {pid} outlived its kill")
        self.spawner.adopted = 0
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            return


def program(pid: int) -> str:
    """The name of what a process executes; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def lifecycle(sample: Mapping[str, int]) -> int:
    """Sum of the four steps that make and remove a container."""
    return sum(sample[step] for step in LIFECYCLE)
