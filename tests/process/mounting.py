"""What the tests of mounts share: mounts of the host made for a test, and the container's table of mounts, parsed."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from support import facility

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.box import Box
    from support.bundle import Config


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo: the mount's own options, its propagation, the filesystem and the superblock's options."""

    options: frozenset[str]
    propagation: str
    kind: str
    superblock: frozenset[str]


def parse(text: str) -> dict[str, Mount]:
    """By mount point; of several on one point the last, which is on top (proc_pid_mountinfo(5))."""
    found = {}
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        if separator:
            fields, words = left.split(), right.split()
            options, own = frozenset(fields[5].split(",")), frozenset(words[2].split(","))
            found[fields[4]] = Mount(options, " ".join(fields[6:]), words[0], own)
    return found


def mounts_in(box: Box, config: Config) -> dict[str, Mount]:
    """What a container of this config has mounted."""
    return parse(box.shell("cat /proc/self/mountinfo", config))


def last(config: Config) -> str:
    """The JSON pointer of the last mount."""
    return f"/mounts/{len(config['mounts']) - 1}"


@contextmanager
def mounted(where: Path, *arguments: str) -> Iterator[Path]:
    """mount(8) something of the host's there, until the end."""
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, str(where)], check=True, timeout=60)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-R", "-l", str(where)], check=True, timeout=60)


@contextmanager
def loop_device(file: Path, *options: str) -> Iterator[str]:
    """A block device that is the file."""
    command = ["losetup", "--find", "--show", *options, str(file)]
    device = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=60)


def image(file: Path, mebibytes: int = 8) -> Path:
    """An ext4 in a file."""
    facility.need(facility.root)
    program = facility.find_program("mkfs.ext4")
    if program is None:
        pytest.skip("mkfs.ext4 is not installed")
    with file.open("wb") as opened:
        opened.truncate(mebibytes << 20)
    subprocess.run([program, "-q", str(file)], check=True, timeout=60)
    return file
