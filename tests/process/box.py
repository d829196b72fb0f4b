"""What the tests of this folder share: one container in a directory of its own, driven by the built program.

Rules: a box has its own `--root`, and an id that no other test of this machine uses; what it starts it ends.
"""

from __future__ import annotations

import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.bundle import Config, default_config, make_rootfs, with_mount, with_shell, write_bundle
from support.host import HostSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.runtime import Result, Runtime

_count = itertools.count(1)

NAMESPACE_FILES = ("cgroup", "ipc", "mnt", "net", "pid", "uts", "user")


class _Absent:
    """A member that is not there, as a value; it appears in the names of tests."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


class Box:
    """A runtime with a private root, a bundle, and the id of the container that most tests need only one of."""

    def __init__(self, runtime: Runtime, directory: Path) -> None:
        self.runtime = runtime
        self.directory = directory
        self.bundle = directory / "bundle"
        self.ident = self.name("box")
        self.shared = directory / "shared"
        self.shared.mkdir()

    @property
    def rootfs(self) -> Path:
        """The container's files, as the host sees them; made by the first look."""
        found = self.bundle / "rootfs"
        return found if found.exists() else make_rootfs(found)

    def name(self, word: str) -> str:
        """A container id that nobody else uses."""
        return f"{word}-{os.getpid()}-{next(_count)}"

    def write(self, config: Config) -> Path:
        """Put the config into the bundle."""
        return write_bundle(self.bundle, config)

    def run(self, config: Config, *options: str) -> Result:
        """`run` this config, in the foreground."""
        return self.runtime.run(self.ident, self.write(config), *options)

    def create(self, config: Config, *options: str) -> Result:
        """`create` this config."""
        return self.runtime.create(self.ident, self.write(config), *options)

    def shell(self, script: str, config: Config | None = None) -> str:
        """Standard output of a script as the container's program, which has to succeed."""
        config = default_config() if config is None else config
        return self.run(with_shell(config, script)).ok().out

    def start_sleeper(self, config: Config | None = None) -> int:
        """A running container that waits to be killed; returns its pid."""
        config = with_shell(default_config() if config is None else config, "exec sleep 1000")
        self.run(config, "--detach").ok()
        return int(self.runtime.state(self.ident)["pid"])

    def exec(self, script: str, *options: str) -> Result:
        """A script through `exec` in the running container."""
        return self.runtime.exec(self.ident, "sh", "-c", script, options=options)

    def snapshot(self) -> HostSnapshot:
        """The host as far as it has to do with this box."""
        return HostSnapshot.take(self.runtime.root, scope=[str(self.directory), self.ident])

    def calls(self, lines: Sequence[Sequence[str]]) -> list[Result]:
        """Several command lines at the same time."""
        with ThreadPoolExecutor(len(lines)) as pool:
            return list(pool.map(lambda line: self.runtime.call(*line), lines))

    def with_shared(self, config: Config) -> Config:
        """Show the box's `shared` folder as /shared in the container."""
        return with_mount(config, "/shared", "bind", str(self.shared), "bind")


def namespaces_of(pid: int | str = "self") -> dict[str, str]:
    """The namespaces of a process, e.g. {"uts": "uts:[4026531838]"}."""
    return {name: str(Path(f"/proc/{pid}/ns/{name}").readlink()) for name in NAMESPACE_FILES}


def changed(config: Config, pointer: str, value: Any) -> Config:
    """The config with the member at a JSON pointer replaced, or removed for ABSENT; ``-`` appends to a list."""
    *path, last = pointer.removeprefix("/").split("/")
    place: Any = config
    for key in path:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    if isinstance(place, list):
        if last == "-":
            place.append(value)
        else:
            place[int(last)] = value
    elif value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return config


def one_sentence(result: Result) -> str:
    """The error that a failed call printed: exactly one line of the program, which is also the logged one."""
    lines = [line for line in result.err.splitlines() if line.startswith("ocirun")]
    assert len(lines) == 1, result.details()
    sentence = lines[0].removeprefix("ocirun ")
    assert result.last_error == sentence, result.details()
    assert not sentence.endswith("."), sentence
    return sentence


def status_lines(text: str) -> dict[str, str]:
    """/proc/PID/status as a table."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def read_json(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text())
