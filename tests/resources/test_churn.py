"""Many containers, one after the other and at the same time: the machine is afterwards as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from resources.limited import MIB
from support.bundle import with_shell
from support.runtime import process_alive, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resources.limited import LimitedBox

pytestmark = [pytest.mark.slow]

WORKERS = 4
"""Calls at the same time: twice the processors of the machines that these tests know."""
KEPT_CGROUPS = 8
"""More cgroups of a controller than before that other programs may have made meanwhile: fewer than there were lives."""
KEPT_MEMORY = 13 * MIB
"""The same for memory: 65 KiB for each of 200 containers."""
SETTLING = 60.0
"""Seconds at most until the kernel has taken back what it frees later: cgroups, namespaces, slabs."""
HELD = ("SUnreclaim", "Percpu", "KernelStack", "PageTables", "Shmem")
"""Of /proc/meminfo, what a namespace, a mount or a cgroup that nobody sees any more is made of. MemAvailable would tell
of every other program's memory too; a container's own is gone with its processes."""


@pytest.fixture(scope="session")
def counts(lane: str) -> tuple[int, int]:
    """How many containers in sequence, and how many at a time: the emulated machines are ten times slower."""
    return (12, 12) if lane else (200, 50)


def kernel_cgroups() -> dict[str, int]:
    """/proc/cgroups: how many cgroups the kernel has of each controller, removed ones that it still holds too."""
    rows = (line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:])
    return {name: int(number) for name, _, number, _ in rows}


def held_memory() -> int:
    """In bytes, when the kernel has dropped what it can."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(rows[name].split()[0]) for name in HELD) * 1024


def create(box: LimitedBox, ident: str) -> None:
    box.runtime.create(ident, box.bundle, "--pid-file", str(box.directory / ident)).ok()


def end(box: LimitedBox, ident: str) -> None:
    pid = int((box.directory / ident).read_text())
    box.runtime.kill(ident).ok()
    wait_for(lambda: not process_alive(pid), 30.0, f"the end of {ident}")
    box.runtime.delete(ident).ok()


def live(box: LimitedBox, ident: str) -> None:
    """A whole life."""
    create(box, ident)
    box.runtime.start(ident).ok()
    end(box, ident)


@pytest.fixture
def churned(box: LimitedBox) -> Iterator[LimitedBox]:
    """A bundle with limits and no cgroupsPath, so that each container has a cgroup of its own; then the comparison."""
    config = box.limited({"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}, "cpu": {"shares": 512}})
    del config["linux"]["cgroupsPath"]
    box.write(with_shell(config, "exec sleep 1000"))
    live(box, box.ident)  # the first one makes what is kept: compiled filters, the modules of the kernel
    before, cgroups, memory = box.snapshot(), kernel_cgroups(), held_memory()
    yield box
    before.assert_unchanged()
    few = {name: number + KEPT_CGROUPS for name, number in cgroups.items()}
    wait_for(lambda: all(number <= few[name] for name, number in kernel_cgroups().items()), SETTLING, f"at most {few}")
    wait_for(lambda: held_memory() <= memory + KEPT_MEMORY, SETTLING, f"at most {memory + KEPT_MEMORY} bytes in use")


def test_one_after_the_other(churned: LimitedBox, counts: tuple[int, int]) -> None:
    for number in range(counts[0]):
        live(churned, f"{churned.ident}-{number}")


def test_many_at_a_time(churned: LimitedBox, counts: tuple[int, int]) -> None:
    """All of them exist before the first one ends."""
    idents = [f"{churned.ident}-{number}" for number in range(counts[1])]

    def each(call: Callable[[str], object]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(call, idents))

    each(lambda ident: create(churned, ident))
    each(lambda ident: churned.runtime.start(ident).ok())
    assert {entry["id"]: entry["status"] for entry in churned.runtime.list()} == dict.fromkeys(idents, "running")
    each(lambda ident: end(churned, ident))
