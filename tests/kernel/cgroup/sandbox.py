"""Stand-ins and children for the cgroup tests: a host, facts, and processes that enter cgroups for real."""

from __future__ import annotations

import json
import os
import select
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import facility

from ocirun.facts import Facts
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.linux import cgroup
from ocirun.linux.cgroup import groupfs

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE = 10.0
NAME = f"/ocirun-test-{os.getpid()}"


class Host:
    """What the steps see of the lead's host."""

    def __init__(self) -> None:
        self.pid = 0
        self.record: dict[str, Any] = {"cgroup": None}
        self.cgroup_fd = -1
        self.saved: list[str] = []
        self.told = -1

    def save(self) -> None:
        self.saved.append(json.dumps(self.record))
        if self.told >= 0:
            os.write(self.told, self.saved[-1].encode() + b"\n")


class Container:
    """Prepared cgroups and one waiting process in them."""

    def __init__(self, config: dict[str, Any], ident: str = "box") -> None:
        self.config = config
        self.host = Host()
        self.facts = Facts()
        self.prepared = cgroup.prepare(config, self.facts, ident, False)
        self.entering = cgroup.inside(config, self.prepared)

    @property
    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = self.host.record["cgroup"]
        return record

    def create(self) -> None:
        for step in self.prepared:
            step.do(step, self.host)  # type: ignore[arg-type]

    def start(self, body: Callable[[], int] | None = None) -> int:
        """Clone the process as the parent would, let it enter, then run `body` (its exit status) or wait for ever."""
        ready, told = os.pipe()
        pid, pidfd = raw.clone3(0, 17, self.host.cgroup_fd)
        if pid == 0:
            status = 99
            try:
                for step in self.entering:
                    step.do(step, None)  # type: ignore[arg-type]
                os.write(told, b"x")
                os.close(told)
                status = body() if body else _wait()
            except BaseException:  # noqa: BLE001 # it is the child's last word
                traceback.print_exc()
            finally:
                os._exit(status)
        assert pid > 0, os.strerror(-pid)
        os.close(told)
        assert os.read(ready, 1) == b"x"
        os.close(ready)
        os.close(pidfd)
        self.host.pid = pid
        for adopting in cgroup.adopt(self.config, self.facts, self.prepared):
            adopting.do(adopting, self.host)  # type: ignore[arg-type]
        return pid

    def undo(self) -> list[str]:
        if not self.host.record["cgroup"]:
            return []
        cgroup.kill_all(self.record, 9)
        if self.host.pid:
            with suppress(ChildProcessError):
                os.waitpid(self.host.pid, 0)
        return cgroup.remove(self.record)


def _wait() -> int:
    while True:
        select.select([], [], [], 60)


def spawn(body: Callable[[], int] = _wait) -> int:
    """A plain child."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(body())
        finally:
            os._exit(98)
    return pid


def config(path: str = NAME, **resources: Any) -> dict[str, Any]:
    """A configuration with that cgroupsPath."""
    return {"linux": {"cgroupsPath": path, "resources": resources}}


def until(condition: Callable[[], bool]) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        select.select([], [], [], 0.002)


def left_behind() -> list[str]:
    """Directories of these tests in any hierarchy."""
    return [str(path) for path in Path("/sys/fs/cgroup").glob(f"*{NAME}*")] + [
        str(path) for path in Path("/sys/fs/cgroup").glob(f"{NAME[1:]}*")
    ]


def clean_up() -> None:
    """Take away what a failed test has left, so that the next one can run."""
    for top in left_behind():
        for path in reversed(groupfs.tree(top)):
            for pid in groupfs.processes(path):
                os.kill(pid, 9)
            until(lambda path=path: not groupfs.processes(path))  # type: ignore[misc]
            with suppress(OSError):
                os.rmdir(path)


def in_private_cgroup2(body: Callable[[], None]) -> None:
    """Run `body` in a child whose own mount namespace has a cgroup2 on /sys/fs/cgroup; its failure is the test's."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            kernel.unshare(kernel.CLONE_NEWNS)
            raw.call("mount", raw.MOUNT, b"none", b"/", None, 0x4000 | 1 << 18, None)  # MS_REC | MS_PRIVATE
            if facility.cgroup_v2():
                raw.call("mount", raw.MOUNT, b"none", b"/sys/fs/cgroup", b"cgroup2", 0, None)
            body()
            assert left_behind() == []
            status = 0
        except BaseException:  # noqa: BLE001 # it is the child's last word
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, "see stderr"
