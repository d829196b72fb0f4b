"""What the tests of `events` share: a container's own cgroups wherever they are, and an `events` that goes on."""

from __future__ import annotations

import functools
import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.bundle import Config, default_config, with_cgroup
from support.runtime import wait_for

from ocirun.linux.cgroup import hierarchy
from ocirun_spec import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema import Draft202012Validator
    from process.box import Box

MIB = 1 << 20
SECONDS = 20
CHECKED = 10
"""How many documents of one output are held against the schema."""
LONG = "1h"
"""An interval that no test waits for."""
UNIFIED = "unified"
NO_LIMIT = ((1 << 63) - 4096, (1 << 64) - 1)
"""What the memory's limit is without one: v1 counts in pages, v2 says max."""

SMALL = {"limit": 24 * MIB, "swap": 24 * MIB}
GREEDY = "dd if=/dev/zero of=/dev/null bs=64M count=1"
ALL = {
    "memory": {"limit": 64 * MIB},
    "pids": {"limit": 50},
    "cpu": {"quota": 90000, "period": 100000},
}


@functools.cache
def _validator() -> Draft202012Validator:
    return schema.validator(schema.events_schema())


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """The document, which the schema takes."""
    problems = [error.message for error in _validator().iter_errors(document)]
    assert problems == [], document
    return document


def stats(box: Box) -> dict[str, Any]:
    """`data` of one `events --stats`."""
    (line,) = box.runtime.call("events", "--stats", box.ident).ok().out.splitlines()
    document = checked(json.loads(line))
    assert (document["type"], document["id"]) == ("stats", box.ident)
    data: dict[str, Any] = document["data"]
    return data


def groups(pid: int) -> dict[str, Path]:
    """Controller (``unified`` for cgroup2) to directory, of the cgroups that a process is in."""
    found = hierarchy.discover()
    mounts = {name: each.mount for each in found.v1 for name in each.controllers}
    if found.unified:
        mounts[UNIFIED] = found.unified.mount
    directories = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else [UNIFIED]:
            if name in mounts:
                directories[name] = Path(mounts[name] + path)
    return directories


class Group:
    """The files of a container's cgroups, by their names in v1 and v2."""

    def __init__(self, pid: int) -> None:
        self.groups = groups(pid)

    def path(self, controller: str, v1: str, v2: str) -> Path:
        """Where the controller is."""
        if controller in self.groups:
            return self.groups[controller] / v1
        return self.groups[UNIFIED] / v2

    def number(self, controller: str, v1: str, v2: str) -> int:
        """A file with one number; one that a kernel does not have has 0."""
        path = self.path(controller, v1, v2)
        return int(path.read_text()) if path.exists() else 0

    def table(self, controller: str, v1: str, v2: str) -> dict[str, int]:
        """A file of ``name number`` lines."""
        lines = self.path(controller, v1, v2).read_text().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def kills(self) -> int:
        """How many processes were killed for want of memory."""
        return self.table("memory", "memory.oom_control", "memory.events")["oom_kill"]


def limited(box: Box, **resources: Any) -> Config:
    """The usual configuration with these limits, in a cgroup named like the container."""
    return with_cgroup(default_config(), f"/{box.ident}", resources)


def running(box: Box, **resources: Any) -> Group:
    """A running container with these limits, which sleeps; its cgroups."""
    return Group(box.start_sleeper(limited(box, **resources)))


class Following:
    """A running `events` of a box's container, with its output in files."""

    def __init__(self, box: Box, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.box = box
        self.process = process
        self.out = out
        self.err = err
        self._seen: list[dict[str, Any]] = []

    def lines(self) -> list[dict[str, Any]]:
        """The documents so far; what is written is whole lines, each at once."""
        text = self.out.read_text()
        assert text == "" or text.endswith("\n")
        for line in text.splitlines()[len(self._seen) :]:
            document = json.loads(line)
            assert document["id"] == self.box.ident
            # all would take longer than the next ones need to come, on an emulated machine
            self._seen.append(checked(document) if len(self._seen) < CHECKED else document)
        return list(self._seen)

    def kinds(self) -> list[str]:
        """The type of each."""
        return [each["type"] for each in self.lines()]

    def wait_for(self, kind: str, count: int = 1) -> None:
        """Until there are `count` of a type."""
        wait_for(lambda: self.kinds().count(kind) >= count, SECONDS, f"{count} documents of type {kind}")

    def end(self) -> int:
        """The exit code, when it ends by itself; an error would have been said."""
        code = self.process.wait(SECONDS)
        assert self.err.read_text() == ""
        return code


@contextmanager
def following(box: Box, interval: str) -> Iterator[Following]:
    """`events --interval`; ended at the latest behind the block."""
    stem = box.directory / box.name("events")
    out, err = stem.with_suffix(".out"), stem.with_suffix(".err")
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "events", "--interval", interval, box.ident]
    with out.open("wb") as output, err.open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=box.runtime.env)
    try:
        yield Following(box, process, out, err)
    finally:
        process.kill()
        process.wait()
