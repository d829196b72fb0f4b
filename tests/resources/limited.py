"""A box whose container has cgroups by either driver, and what these say, by meaning and not by the kernel's file.

Rules: a test of this folder names no cgroup version and no path of one; where the container is, its record says.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from process.box import Box, one_sentence, read_json
from support.bundle import default_config, with_cgroup, without_namespace
from support.runtime import process_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.bundle import Config
    from support.runtime import Runtime

MIB = 1 << 20
CGROUPFS = "cgroupfs"
SYSTEMD = "systemd"
Resources = dict[str, Any]


def chosen_driver(program: Path) -> str:
    """What OCIRUN_DRIVER says; else systemd on the lane of that name, as soon as `features` claims that driver."""
    if named := os.environ.get("OCIRUN_DRIVER"):
        assert named in (CGROUPFS, SYSTEMD), f"OCIRUN_DRIVER={named}"
        return named
    if os.environ.get("OCIRUN_LANE") != SYSTEMD:
        return CGROUPFS
    done = subprocess.run([program, "features"], check=True, stdout=subprocess.PIPE, timeout=60)
    claimed: bool = json.loads(done.stdout)["linux"]["cgroup"]["systemd"]
    return SYSTEMD if claimed else CGROUPFS


def runtime_options(driver: str) -> tuple[str, ...]:
    """The global options that choose the driver."""
    return ("--systemd-cgroup",) if driver == SYSTEMD else ()


def _number(text: str) -> int:
    return int(text)


def _named(name: str) -> Callable[[str], int]:
    """A number of a file of ``name value`` lines."""

    def found(text: str) -> int:
        return int(dict(line.split() for line in text.splitlines())[name])

    return found


def _nanoseconds(text: str) -> int:
    return _named("usage_usec")(text) * 1000


Source = tuple[str, str, "Callable[[str], int]"]

MEANINGS: dict[str, tuple[Source, Source]] = {
    # meaning: on cgroup v1 and on v2: controller, file, how the number is read
    "memory limit": (("memory", "memory.limit_in_bytes", _number), ("memory", "memory.max", _number)),
    "memory usage": (("memory", "memory.usage_in_bytes", _number), ("memory", "memory.current", _number)),
    "oom kills": (
        ("memory", "memory.oom_control", _named("oom_kill")),
        ("memory", "memory.events", _named("oom_kill")),
    ),
    "pids limit": (("pids", "pids.max", _number), ("pids", "pids.max", _number)),
    "pids": (("pids", "pids.current", _number), ("pids", "pids.current", _number)),
    "refused forks": (("pids", "pids.events", _named("max")), ("pids", "pids.events", _named("max"))),
    "cpu quota": (("cpu", "cpu.cfs_quota_us", _number), ("cpu", "cpu.max", lambda text: int(text.split()[0]))),
    "cpu time": (("cpuacct", "cpuacct.usage", _number), ("cpu", "cpu.stat", _nanoseconds)),
    "throttled periods": (
        ("cpu", "cpu.stat", _named("nr_throttled")),
        ("cpu", "cpu.stat", _named("nr_throttled")),
    ),
    "frozen": (
        ("freezer", "freezer.state", lambda text: int(text == "FROZEN")),
        ("", "cgroup.events", _named("frozen")),
    ),
}
"""Sizes in bytes, times in nanoseconds, the quota in microseconds."""


class LimitedBox(Box):
    """A box that knows where its containers are; `driver` is CGROUPFS or SYSTEMD."""

    def __init__(self, runtime: Runtime, directory: Path, driver: str) -> None:
        super().__init__(runtime, directory)
        self.driver = driver

    def path(self, ident: str = "") -> str:
        """cgroupsPath in the form of the driver: a cgroup named by the container."""
        name = ident or self.ident
        return f"system.slice:ocirun:{name}" if self.driver == SYSTEMD else f"/{name}"

    def limited(self, resources: Resources | None = None, ident: str = "") -> Config:
        """The usual configuration with these limits."""
        return with_cgroup(default_config(), self.path(ident), resources)

    def seeing(self, resources: Resources | None = None) -> Config:
        """The same without a cgroup namespace, so that the program sees its place from the hierarchy's root."""
        return without_namespace(self.limited(resources), "cgroup")

    def groups(self, ident: str = "") -> dict[str, Path]:
        """The container's directories by controller, ``unified`` for that of cgroup2, as its record has them."""
        record = read_json(self.runtime.root / (ident or self.ident) / "state.json")
        return {name: Path(path) for name, path in record["cgroup"]["paths"].items()}

    def directories(self, ident: str = "") -> list[Path]:
        """Each of them once."""
        return list(dict.fromkeys(self.groups(ident).values()))

    def read(self, meaning: str, ident: str = "", below: str = "") -> int:
        """A number of MEANINGS from the container's cgroup, or from one `below` it."""
        groups = self.groups(ident)
        v1, v2 = MEANINGS[meaning]
        controller, file, number = v1 if v1[0] in groups else v2
        directory = groups.get(controller) or groups["unified"]
        return number((directory / below / file).read_text().strip())

    def make_below(self, name: str) -> None:
        """A cgroup below the container's, in every hierarchy. A new cpuset of v1 is empty and gets its parent's."""
        groups = self.groups()
        for directory in self.directories():
            (directory / name).mkdir(parents=True)
        if "cpuset" in groups:
            for each in (*reversed((groups["cpuset"] / name).relative_to(groups["cpuset"]).parents), Path(name)):
                for file in ("cpuset.cpus", "cpuset.mems"):
                    value = (groups["cpuset"] / each.parent / file).read_text()
                    (groups["cpuset"] / each / file).write_text(value)

    def move(self, pid: int, below: str) -> None:
        """Put a process there."""
        for directory in self.directories():
            (directory / below / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        """`ps`: the processes of the container, ascending."""
        found: list[int] = json.loads(self.runtime.call("ps", "--format", "json", self.ident).ok().out)
        return found

    def refusal(self, resources: Resources, command: str = "create") -> str:
        """The sentence of a call that is refused and leaves nothing behind."""
        bundle = self.write(self.limited(resources))
        before = self.snapshot()
        sentence = one_sentence(self.runtime.call(command, "--bundle", str(bundle), self.ident).expect(1))
        before.assert_unchanged()
        return sentence


def has_ended(found: Iterable[int]) -> bool:
    """Whether none of these processes lives any more.

    Those of `exec` are children of the host's first process, and the container's own ends after they are reaped.
    """
    return not any(map(process_alive, found))


def own_places(pid: int | str) -> str:
    """/proc/PID/cgroup."""
    return Path(f"/proc/{pid}/cgroup").read_text()


def rows(text: str) -> dict[str, str]:
    """/proc/PID/cgroup as controller to path; a named hierarchy has its name and cgroup2 ``unified``."""
    found = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        found.update(dict.fromkeys(names.split(",") if names else ["unified"], path))
    return found
