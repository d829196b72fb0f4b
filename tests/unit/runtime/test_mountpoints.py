"""Which entries go, and which stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocirun import mountpoints

if TYPE_CHECKING:
    from pathlib import Path


def note(path: Path, place: str) -> bytes:
    found = path.lstat()
    return b"%d %d %s" % (found.st_dev, found.st_ino, place.encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "a b" / "c").mkdir(parents=True)
    (made / "file").touch()
    return made


def test_the_last_goes_first(root: Path) -> None:
    mountpoints.remove(
        str(root), [note(root / "a b", "/a b"), note(root / "a b/c", "/a b/c"), note(root / "file", "/file")]
    )
    assert list(root.iterdir()) == []


def test_a_path_of_the_host(root: Path) -> None:
    mountpoints.remove(str(root), [note(root / "a b/c", f"{root}/a b/c")])
    assert list((root / "a b").iterdir()) == []


def test_what_is_not_empty_stays(root: Path) -> None:
    (root / "file").write_text("x")
    mountpoints.remove(str(root), [note(root / "a b", "/a b"), note(root / "file", "/file")])
    assert (root / "a b/c").is_dir()
    assert (root / "file").read_text() == "x"


def test_another_entry_of_that_name_stays(root: Path) -> None:
    noted = [note(root / "a b/c", "/a b/c"), note(root / "file", "/file")]
    (root / "a b/c").rename(root / "a b/d")
    (root / "a b/c").mkdir()
    (root / "file").rename(root / "other")
    (root / "file").symlink_to("other")
    mountpoints.remove(str(root), noted)
    assert (root / "a b/c").is_dir()
    assert (root / "file").is_symlink()
    assert (root / "other").exists()


@pytest.mark.security
def test_nothing_outside_of_the_root_goes(root: Path) -> None:
    """A directory on the way has become a link, up or absolute."""
    outside = root.parent / "outside"
    (outside / "c").mkdir(parents=True)
    noted = note(outside / "c", "/a b/c")
    for target in ("../outside", str(outside)):
        (root / "a b").rename(root / f"moved{len(target)}")
        (root / "a b").symlink_to(target)
        mountpoints.remove(str(root), [noted, note(outside / "c", "/../outside/c")])
        assert (outside / "c").is_dir()
        (root / "a b").unlink()
        (root / "a b").mkdir()


def test_a_root_that_is_gone(tmp_path: Path) -> None:
    mountpoints.remove(str(tmp_path / "none"), [b"1 2 /x"])
