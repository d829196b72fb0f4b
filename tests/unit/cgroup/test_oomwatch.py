"""What counts as a process killed for want of memory: the kernel's signals and its count put together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ocirun.linux.cgroup import oomwatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = 100.0


class Counted:
    """A file that counts, and a watch of it; with an eventfd as on cgroup v1."""

    def __init__(self, file: Path, v1: bool) -> None:
        self.file = file
        self.set(2)
        self.event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) if v1 else -1
        self.watch = oomwatch.Watch(os.open(file, os.O_RDONLY), self.event)

    def set(self, kills: int, disabled: int = 0) -> None:
        self.file.write_text(f"oom_kill_disable {disabled}\nunder_oom 0\noom_kill {kills}\n")


@pytest.fixture
def v1(tmp_path: Path) -> Iterator[Counted]:
    counted = Counted(tmp_path / "memory.oom_control", v1=True)
    yield counted
    counted.watch.close()


def test_kills_since_the_watch_began_are_told_once(tmp_path: Path) -> None:
    counted = Counted(tmp_path / "memory.events", v1=False)
    watch = counted.watch
    assert watch.take() == 0
    counted.set(5)
    assert (watch.take(), watch.take(), watch.ended) == (3, 0, False)
    assert watch.patience(LONG) == LONG
    watch.close()


def test_a_signal_is_no_kill_yet_and_makes_impatient(v1: Counted) -> None:
    assert v1.watch.patience(LONG) == LONG
    os.eventfd_write(v1.event, 1)
    assert v1.watch.take() == 0
    assert v1.watch.patience(LONG) < 1
    assert v1.watch.patience(0.001) == 0.001
    v1.set(3)
    assert (v1.watch.take(), v1.watch.take()) == (1, 0)


def test_a_kill_without_a_signal_is_one_too(v1: Counted) -> None:
    """The whole machine had no memory."""
    v1.set(4)
    assert v1.watch.take() == 2


def test_with_the_oom_killer_disabled_each_signal_is_told(v1: Counted) -> None:
    v1.set(2, disabled=1)
    os.eventfd_write(v1.event, 1)
    assert (v1.watch.take(), v1.watch.take()) == (1, 0)
    assert v1.watch.patience(LONG) == LONG


def test_with_the_cgroup_everything_ends(v1: Counted) -> None:
    """Removing it signals once more."""
    read, write = os.pipe()  # what cannot be read at a place, like a file of a removed cgroup
    watch = oomwatch.Watch(read, v1.event)
    os.eventfd_write(v1.event, 1)
    assert (watch.take(), watch.ended) == (0, True)
    os.close(read)
    os.close(write)


def test_without_the_controller_there_is_nothing_to_watch(tmp_path: Path) -> None:
    assert oomwatch.watch({"paths": {"unified": str(tmp_path)}}) is None
    assert oomwatch.watch({"paths": {"memory": str(tmp_path)}}) is None
    assert oomwatch.watch({"paths": {"pids": str(tmp_path)}}) is None


def test_a_kernel_without_event_control_leaves_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "memory.oom_control").write_text("oom_kill 0\n")
    before = os.listdir("/proc/self/fd")
    assert oomwatch.watch({"paths": {"memory": str(tmp_path)}}) is None
    assert os.listdir("/proc/self/fd") == before
