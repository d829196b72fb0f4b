"""A block device of a test's own: a loop device on a file of 1 MiB."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import facility

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1 << 20


class Disk:
    """`path` of its node on the host, its `number` as ``major:minor``, and `entry`, the same for a configuration."""

    def __init__(self, path: str) -> None:
        self.path = path
        folder = Path("/sys/class/block", Path(path).name)
        self.number = (folder / "dev").read_text().strip()
        self.scheduler = folder / "queue/scheduler"
        major, minor = self.number.split(":")
        self.entry = {"major": int(major), "minor": int(minor)}


@contextmanager
def loop_disk(file: Path) -> Iterator[Disk]:
    """The device on this file, which it makes; the test is skipped where loop devices cannot be made."""
    file.write_bytes(bytes(SIZE))
    tool = facility.find_program("losetup") or "losetup"
    done = subprocess.run([tool, "--show", "-f", file], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"not this lane: {done.stderr.strip()}")
    path = done.stdout.strip()
    try:
        yield Disk(path)
    finally:
        subprocess.run([tool, "-d", path], check=True)
