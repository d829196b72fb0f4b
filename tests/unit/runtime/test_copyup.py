"""tmpcopyup's copy, on real directories."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from ocirun.linux.mounts import copyup

if TYPE_CHECKING:
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not this lane: owners and devices need root")
NAMES = ["plain", "-n", " ", "new\nline", "ü", "\udcff\udcfe", "..x", "*", "a" * 255]


def copied(source: Path, target: Path) -> Path:
    target.mkdir()
    opened = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in (source, target)]
    copyup.copy_tree(*opened)
    for fd in opened:
        os.close(fd)
    return target


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything that a copy keeps, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        seen = path.lstat()
        content: object = None
        if stat.S_ISREG(seen.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(seen.st_mode):
            content = os.readlink(path)
        kept = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_rdev, content)
        found[str(path.relative_to(root))] = kept
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    return root


def test_an_empty_directory(source: Path, tmp_path: Path) -> None:
    source.chmod(0o1750)
    os.utime(source, ns=(1, 2_000_000_003))
    assert tree(copied(source, tmp_path / "target")) == tree(source)


def test_files_directories_and_names(source: Path, tmp_path: Path) -> None:
    (source / "deep" / "deeper").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (source / "deep" / "deeper" / name).write_bytes(b"x" * number)
    (source / "large").write_bytes(os.urandom(3 << 20))
    (source / "set").write_bytes(b"")
    (source / "set").chmod(0o6751)
    (source / "closed").write_bytes(b"secret")
    (source / "closed").chmod(0)
    os.utime(source / "deep" / "deeper", ns=(5, 7))
    os.utime(source / "deep", ns=(11, 13))
    before = tree(source)
    assert tree(copied(source, tmp_path / "target")) == before
    assert tree(source) == before


def test_symlinks_are_copied_not_followed(source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (source / "out").symlink_to(outside)
    (source / "dangling").symlink_to("nowhere")
    (source / "loop").symlink_to("loop")
    (source / "up").symlink_to("../../..")
    os.utime(source / "out", ns=(17, 19), follow_symlinks=False)
    target = copied(source, tmp_path / "target")
    assert tree(target) == tree(source)
    assert outside.read_text() == "untouched"
    assert outside.lstat().st_mtime_ns != 19


def test_a_fifo_is_made_anew_and_never_opened(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "pipe", 0o640)
    target = copied(source, tmp_path / "target")
    assert stat.S_ISFIFO((target / "pipe").lstat().st_mode)
    assert tree(target) == tree(source)


@needs_root
def test_owners_and_devices(source: Path, tmp_path: Path) -> None:
    (source / "file").write_text("x")
    os.chown(source / "file", 1234, 4321)
    (source / "file").chmod(0o6755)
    (source / "link").symlink_to("file")
    os.chown(source / "link", 7, 8, follow_symlinks=False)
    (source / "directory").mkdir()
    os.chown(source / "directory", 1, 2)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(source / "socket", stat.S_IFSOCK | 0o600)
    assert tree(copied(source, tmp_path / "target")) == tree(source)


def test_descriptors_are_closed(source: Path, tmp_path: Path) -> None:
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "file").write_text("x")
    before = os.listdir("/proc/self/fd")
    copied(source, tmp_path / "target")
    assert os.listdir("/proc/self/fd") == before
