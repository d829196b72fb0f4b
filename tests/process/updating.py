"""A container whose limits are changed, and its cgroups' files, found as the runtime has recorded them: any version."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence, read_json
from support.bundle import default_config, with_cgroup, with_shell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from process.box import Box
    from support.bundle import Config
    from support.runtime import Result

MIB = 1 << 20
Resources = dict[str, Any]
KEPT: Resources = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB},
    "cpu": {"shares": 2048, "quota": 50000, "period": 100000},
    "pids": {"limit": 40},
}
"""What most of the containers have before."""
_COUNTERS = ("usage", "pressure", "peak", "failcnt", "stat", "procs", "tasks", "threads")


def config_of(box: Box, resources: Resources, script: str = "exec sleep 1000") -> Config:
    """A waiting program in a cgroup named like the container."""
    return with_shell(with_cgroup(default_config(), f"/{box.ident}", resources), script)


def started(box: Box, resources: Resources | None = None, script: str = "exec sleep 1000") -> None:
    """It runs, with these limits or the usual ones."""
    box.run(config_of(box, KEPT if resources is None else resources, script), "--detach").ok()


def update(box: Box, *options: str, resources: object = None) -> Result:
    """`update` with options, or with JSON on standard input as engines do it."""
    if resources is None:
        return box.runtime.call("update", *options, box.ident)
    return box.runtime.call("update", "--resources=-", *options, box.ident, stdin=json.dumps(resources).encode())


def directories(box: Box) -> dict[str, Path]:
    """The container's cgroups by controller; ``unified`` is the cgroup2."""
    record = read_json(box.runtime.root / box.ident / "state.json")
    return {name: Path(path) for name, path in record["cgroup"]["paths"].items()}


def on_v2(box: Box) -> bool:
    """Its limits are on cgroup v2."""
    return set(directories(box)) == {"unified"}


def find(box: Box, *files: str) -> Path:
    """The first of these files that the container's cgroups have; without one the test is another lane's."""
    for directory in directories(box).values():
        for file in files:
            if (directory / file).exists():
                return directory / file
    pytest.skip(f"not this lane: its cgroups have no {' or '.join(files)}")


def value(box: Box, *files: str) -> str:
    """What it reads."""
    return find(box, *files).read_text().strip()


def settable(box: Box) -> dict[str, str]:
    """Every file of the container's cgroups that can be written and read, but for counters, with its content."""
    found = {}
    for directory in set(directories(box).values()):
        for path in sorted(directory.iterdir()):
            counts = any(word in path.name for word in _COUNTERS)
            if path.is_file() and path.stat().st_mode & 0o600 == 0o600 and not counts:
                found[str(path)] = path.read_text(errors="replace")
    devices = directories(box).get("devices")
    if devices:
        found["devices.list"] = "\n".join(sorted((devices / "devices.list").read_text().splitlines()))
    assert len(found) >= 4
    return found


def kept(box: Box) -> Resources:
    """The limits in the container's own configuration."""
    config = read_json(box.runtime.root / box.ident / "config.json")
    resources: Resources = config["linux"].get("resources", {})
    return resources


def refused(box: Box, result: Result, before: dict[str, str], kept_before: Resources) -> str:
    """The sentence of a refused update, after which everything is as it was.

    Controllers of a cgroup2 that it has enabled stay so, and say what they say in a cgroup that nobody has touched. A
    cpuset of cgroup v2 without a value of its own has what its parent has instead: the kernel lets no inhabited one
    become empty.
    """
    sentence = one_sentence(result.expect(1))
    after = settable(box)
    enabled = {path: after.pop(path) for path in set(after) - set(before)}
    expected = {**before, **untouched(box, enabled)}
    found = {**after, **enabled}
    differing = {
        path: (text, found.get(path))
        for path, text in expected.items()
        if found.get(path) != text and (text != "\n" or found.get(path) != wide(path))
    }
    assert not differing, differing
    assert kept(box) == kept_before
    assert set(os.listdir(box.runtime.root / box.ident)) - {"start"} == {"config.json", "state.json"}
    return sentence.removeprefix(f"update {box.ident}: ")


def wide(path: str) -> str:
    """What a cpuset of cgroup v2 has without a value of its own."""
    file = Path(path)
    above = file.parent.parent / f"{file.name}.effective"
    own = file.name in ("cpuset.cpus", "cpuset.mems") and (file.parent / "cgroup.events").exists()
    return above.read_text() if own else ""


def untouched(box: Box, paths: Iterable[str]) -> dict[str, str]:
    """What these files of the container's cgroup2 would say if nobody had written to them: those of one beside it."""
    group = directories(box).get("unified")
    if not group:
        return {}
    beside = group.with_name(f"{group.name}-beside")
    beside.mkdir()
    try:
        return {path: (beside / Path(path).name).read_text() for path in paths if Path(path).parent == group}
    finally:
        beside.rmdir()


@contextmanager
def same_controllers() -> Iterator[None]:
    """What a hybrid host's cgroup2 passes on from its root is again what it was."""
    file = Path("/sys/fs/cgroup/unified/cgroup.subtree_control")
    before = file.read_text().split() if file.exists() else []
    yield
    for name in set(file.read_text().split() if file.exists() else []) - set(before):
        file.write_text(f"-{name}")
