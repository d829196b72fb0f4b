"""The cache of compiled programs: what finds an entry, what is not believed, and how many stay."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.linux.seccomp import cache

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = bytes(range(32))
PROGRAM = b"\x06\0\0\0\0\0\xff\x7f" * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "root" / ".cache" / "seccomp"
    cache.keep(str(path), DIGEST, PROGRAM)
    return path


@pytest.fixture
def entry(folder: Path) -> Path:
    return folder / DIGEST.hex()


def taken(folder: Path, digest: bytes = DIGEST) -> bytes | None:
    return cache.take(str(folder), digest)


def test_what_is_kept_is_taken(folder: Path) -> None:
    assert taken(folder) == PROGRAM


def test_only_the_owner_has_access(folder: Path, entry: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert entry.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [entry.name]


def test_missing_folder_and_missing_entry(tmp_path: Path, folder: Path) -> None:
    assert taken(tmp_path / "none") is None
    assert taken(folder, bytes(32)) is None


@pytest.mark.parametrize("length", [0, 1, 8, 71, 72, 73, 80, 95])
def test_truncated_entry_is_not_taken(folder: Path, entry: Path, length: int) -> None:
    whole = entry.read_bytes()
    assert len(whole) == 96
    entry.write_bytes(whole[:length])
    assert taken(folder) is None


@pytest.mark.parametrize("place", [0, 8, 40, 72, 95])
def test_damaged_entry_is_not_taken(folder: Path, entry: Path, place: int) -> None:
    content = bytearray(entry.read_bytes())
    content[place] ^= 1
    entry.write_bytes(content)
    assert taken(folder) is None


def test_longer_entry_is_not_taken(folder: Path, entry: Path) -> None:
    entry.write_bytes(entry.read_bytes() + bytes(8))
    assert taken(folder) is None


def test_program_that_the_kernel_would_refuse_is_not_taken(folder: Path) -> None:
    cache.keep(str(folder), DIGEST, bytes(8 * 4097))
    assert taken(folder) is None


def test_entry_of_another_key_is_not_taken(folder: Path, entry: Path) -> None:
    other = bytes(32)
    entry.rename(folder / other.hex())
    assert taken(folder, other) is None


def test_replaced_entry_is_taken_again(folder: Path, entry: Path) -> None:
    entry.write_bytes(b"")
    cache.keep(str(folder), DIGEST, PROGRAM)
    assert taken(folder) == PROGRAM


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_folder_that_others_can_write_to_is_not_used(
    folder: Path, mode: int, capfd: pytest.CaptureFixture[str]
) -> None:
    folder.chmod(mode)
    assert taken(folder) is None
    assert "others can write to it" in capfd.readouterr().err
    with pytest.raises(PermissionError):
        cache.keep(str(folder), bytes(32), PROGRAM)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_entry_that_others_can_write_to_is_not_taken(folder: Path, entry: Path, mode: int) -> None:
    entry.chmod(mode)
    assert taken(folder) is None


def test_folder_and_entry_of_someone_else_are_not_taken(folder: Path, entry: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a file away")
    os.chown(entry, 65534, 65534)
    assert taken(folder) is None
    os.chown(entry, 0, 0)
    assert taken(folder) == PROGRAM
    os.chown(folder, 65534, 65534)
    assert taken(folder) is None


def test_links_are_not_followed(folder: Path, entry: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert taken(link) is None
    real = folder / "real"
    entry.rename(real)
    entry.symlink_to(real)
    assert taken(folder) is None


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_entry_that_is_no_file_is_not_taken(folder: Path, entry: Path, make: Any) -> None:
    entry.unlink()
    make(entry, 0o600)
    assert taken(folder) is None


def test_failed_write_leaves_nothing(folder: Path, entry: Path) -> None:
    entry.unlink()
    entry.mkdir()
    with pytest.raises(IsADirectoryError):
        cache.keep(str(folder), DIGEST, PROGRAM)
    assert [path.name for path in folder.iterdir()] == [entry.name]


def test_oldest_entries_go_and_the_newest_stays(tmp_path: Path) -> None:
    digests = [bytes([index]) * 32 for index in range(cache.LIMIT + 2)]
    for index, digest in enumerate(digests):
        cache.keep(str(tmp_path), digest, PROGRAM)
        os.utime(tmp_path / digest.hex(), ns=(index, index))
        assert len(list(tmp_path.iterdir())) == min(index + 1, cache.LIMIT)
    assert [taken(tmp_path, digest) is None for digest in digests[:3]] == [True, True, False]
    assert taken(tmp_path, digests[-1]) == PROGRAM


def test_newest_stays_even_with_a_clock_that_went_back(tmp_path: Path) -> None:
    future = 1 << 61
    for index in range(cache.LIMIT):
        cache.keep(str(tmp_path), bytes([index]) * 32, PROGRAM)
        os.utime(tmp_path / (bytes([index]) * 32).hex(), ns=(future, future))
    cache.keep(str(tmp_path), b"\xff" * 32, PROGRAM)
    assert taken(tmp_path, b"\xff" * 32) == PROGRAM


def test_key_depends_on_the_whole_profile(profile: dict[str, Any]) -> None:
    other = json.loads(json.dumps(profile))
    assert cache.key(profile) == cache.key(other)
    other["syscalls"][0]["names"].append("close")
    assert cache.key(profile) != cache.key(other)


def test_key_depends_on_the_version(profile: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.key(profile)
    monkeypatch.setattr(cache, "VERSION", "0.0.0")
    assert cache.key(profile) != before


@pytest.mark.parametrize("field", [2, 4], ids=["release", "machine"])
def test_key_depends_on_kernel_and_machine(
    profile: dict[str, Any], monkeypatch: pytest.MonkeyPatch, field: int
) -> None:
    before = cache.key(profile)
    other = list(os.uname())
    other[field] += "-other"
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(other))
    assert cache.key(profile) != before


def test_key_depends_on_the_library(profile: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = cache.key(profile)
    monkeypatch.setattr(cache, "library_folders", lambda: (str(tmp_path),))
    without = cache.key(profile)
    (tmp_path / "libseccomp.so.2.9").write_bytes(b"new")
    (tmp_path / "libseccomp.so.2").symlink_to("libseccomp.so.2.9")
    with_it = cache.key(profile)
    os.utime(tmp_path / "libseccomp.so.2.9", ns=(1, 1))
    assert len({before, without, with_it, cache.key(profile)}) == 4


def test_the_installed_library_is_found() -> None:
    pytest.importorskip("pyseccomp", exc_type=ImportError)
    assert cache.library_identity(cache.library_folders()) != ""
