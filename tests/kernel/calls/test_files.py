"""Walking a tree that somebody else has prepared: nothing is ever made or opened outside of it."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocirun.kernel import files, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

ENOENT, EEXIST, ENOTDIR, EISDIR, EXDEV, ELOOP = 2, 17, 20, 21, 18, 40


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A root directory full of traps, beside an outside that must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    inside = tmp_path / "root"
    (inside / "real" / "deep").mkdir(parents=True)
    (inside / "file").write_text("content")
    for name, target in {
        "absolute": f"{tmp_path}/outside",
        "relative": "../outside",
        "climb": "../../../../../../../../" + str(tmp_path / "outside"),
        "dangling": "/nowhere/at/all",
        "loop": "loop",
        "good": "/real/deep",
        "proc": "/proc/self/root",
        "to-secret": f"{tmp_path}/outside/secret",
    }.items():
        (inside / name).symlink_to(target)
    fd = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]


def where(fd: int, root: int) -> str:
    """The descriptor's path as seen from the root; closes it."""
    base, path = (os.readlink(f"/proc/self/fd/{each}") for each in (root, fd))
    os.close(fd)
    assert path == base or path.startswith(base + "/"), path
    return path[len(base) :] or "/"


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/a/b", "/a/b"),
        ("a//b/", "/a/b"),
        ("../../a", "/a"),
        ("/a/../..", "/"),
        ("", "/"),
        ("//a", "/a"),
        ("./a/./b", "/a/b"),
    ],
)
def test_clean(path: str, clean: str) -> None:
    assert files.clean(path) == clean


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/real/deep", "/real/deep"),
        (b"real/../file", "/file"),
        (b"../../../file", "/file"),
        (b"/..", "/"),
        (b".", "/"),
        (b"good", "/real/deep"),
        (b"good/../../../../file", "/file"),
    ],
)
def test_open_in_root(root: int, path: bytes, found: str) -> None:
    assert where(files.open_in_root(root, path), root) == found


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (b"absolute", ENOENT),
        (b"absolute/secret", ENOENT),
        (b"relative", ENOENT),
        (b"climb/secret", ENOENT),
        (b"to-secret", ENOENT),
        (b"dangling", ENOENT),
        (b"loop", ELOOP),
        (b"file/x", ENOTDIR),
        (b"none", ENOENT),
    ],
)
def test_links_do_not_lead_out(root: int, path: bytes, number: int) -> None:
    with pytest.raises(raw.KernelError) as caught:
        files.open_in_root(root, path)
    assert (caught.value.errno, caught.value.call, caught.value.detail) == (number, "openat2", path.decode())


def test_magic_links_are_not_followed() -> None:
    proc = files.open_proc()
    with pytest.raises(raw.KernelError) as caught:
        files.open_in_root(proc, b"self/root")
    os.close(proc)
    assert caught.value.errno == ELOOP


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/real/deep", "/real/deep"),
        (b"new", "/new"),
        (b"/new/one/two/", "/new/one/two"),
        (b"good/new", "/real/deep/new"),
        (b"../../new", "/new"),
        (b"", "/"),
        (b"///", "/"),
        (b"./real/./new", "/real/new"),
    ],
)
def test_directories_are_made_inside(root: int, path: bytes, found: str) -> None:
    assert where(files.make_directories(root, path, 0o700), root) == found
    assert where(files.make_directories(root, path), root) == found


def test_mode_of_what_is_made(root: int) -> None:
    fd = files.make_directories(root, b"a/b", 0o750)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o750
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"absolute/x", "{outside}/x"),
        (b"relative/x", "/outside/x"),
        (b"climb/x", "{outside}/x"),
        (b"dangling/x", "/nowhere/at/all/x"),
        (b"dangling", "/nowhere/at/all"),
    ],
)
def test_a_link_to_the_outside_is_a_link_to_a_place_inside(root: int, tmp_path: Path, path: bytes, found: str) -> None:
    """Where the link leads is made inside the root, and the link stays what it is."""
    assert where(files.make_directories(root, path), root) == found.format(outside=tmp_path / "outside")
    assert stat.S_ISLNK(os.stat(path.split(b"/")[0], dir_fd=root, follow_symlinks=False).st_mode)


def test_links_that_lead_nowhere_for_ever_are_given_up(root: int) -> None:
    os.symlink("b/x", "a", dir_fd=root)
    os.symlink("a/x", "b", dir_fd=root)
    with pytest.raises(raw.KernelError) as caught:
        files.make_directories(root, b"a")
    assert caught.value.errno == ELOOP


@pytest.mark.parametrize(
    ("path", "number"),
    [(b"loop", ELOOP), (b"loop/x", ELOOP), (b"file", ENOTDIR), (b"file/x", ENOTDIR)],
)
def test_directories_that_cannot_be_made(root: int, path: bytes, number: int) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(raw.KernelError) as caught:
        files.make_directories(root, path)
    assert caught.value.errno in (number, ENOTDIR)
    assert os.listdir("/proc/self/fd") == before


def test_dots_below_what_is_missing_do_not_lead_out(root: int) -> None:
    with pytest.raises(raw.KernelError) as caught:
        files.make_directories(root, b"none/../../../x")
    assert caught.value.errno == EXDEV


@pytest.mark.parametrize(
    ("path", "found"), [(b"new", "/new"), (b"/a/b/c", "/a/b/c"), (b"good/f", "/real/deep/f"), (b"file", "/file")]
)
def test_files_are_made_inside(root: int, path: bytes, found: str) -> None:
    fd = files.make_file(root, path, 0o600)
    seen = os.fstat(fd)
    assert stat.S_ISREG(seen.st_mode)
    assert found == "/file" or (seen.st_size, stat.S_IMODE(seen.st_mode)) == (0, 0o600)
    assert where(fd, root) == found


def test_a_file_below_a_link_is_made_inside(root: int, tmp_path: Path) -> None:
    assert where(files.make_file(root, b"climb/secret"), root) == f"{tmp_path}/outside/secret"


def test_an_existing_file_keeps_its_content(root: int) -> None:
    os.close(files.make_file(root, b"file"))
    assert (Path(os.readlink(f"/proc/self/fd/{root}")) / "file").read_text() == "content"


@pytest.mark.parametrize("path", [b"to-secret", b"dangling", b"loop", b"loop/x"])
def test_files_are_not_made_through_links(root: int, path: bytes) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(raw.KernelError) as caught:
        files.make_file(root, path)
    assert caught.value.errno in (ELOOP, ENOTDIR)
    assert os.listdir("/proc/self/fd") == before


def test_a_fifo_in_the_place_of_a_file_does_not_hold_us_up(root: int) -> None:
    """An image may bring a fifo or a device there: opening it for writing would wait for a reader, or do worse."""
    os.mkfifo("pipe", dir_fd=root)
    previous = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 2.0, 0.2)
    try:
        fd = files.make_file(root, b"pipe")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert stat.S_ISFIFO(os.fstat(fd).st_mode)
    os.close(fd)


def test_proc_is_verified() -> None:
    proc = files.open_proc()
    assert files.statfs_type(proc) == files.PROC_SUPER_MAGIC
    assert not os.get_inheritable(proc)
    os.close(proc)


def test_what_is_no_proc_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(files, "statfs_type", lambda _fd: files.DEVPTS_SUPER_MAGIC)
    with pytest.raises(raw.KernelError, match=r"Invalid argument"):
        files.open_proc()
    assert os.listdir("/proc/self/fd") == before


def test_write_proc() -> None:
    proc = files.open_proc()
    path = b"%d/oom_score_adj" % os.getpid()
    now = Path("/proc/self/oom_score_adj").read_bytes()
    files.write_proc(proc, path, now)
    with pytest.raises(raw.KernelError) as caught:
        files.write_proc(proc, path, b"nonsense")
    assert (caught.value.call, caught.value.detail) == ("write", path.decode())
    with pytest.raises(raw.KernelError) as caught:
        files.write_proc(proc, b"self/oom_score_adj", now)
    assert caught.value.errno == ELOOP
    with pytest.raises(raw.KernelError) as caught:
        files.write_proc(proc, b"../etc/passwd", b"")
    assert caught.value.errno == EXDEV
    os.close(proc)


def test_write_proc_stays_on_its_filesystem(tmp_path: Path) -> None:
    """Whatever is mounted below: /dev/pts stands for it here."""
    dev = os.open("/dev", os.O_PATH | os.O_DIRECTORY)
    if os.stat("/dev").st_dev == os.stat("/dev/pts").st_dev:
        pytest.skip("not this lane: /dev/pts is no mount here")
    with pytest.raises(raw.KernelError) as caught:
        files.write_proc(dev, b"pts/ptmx", b"")
    os.close(dev)
    assert caught.value.errno == EXDEV
