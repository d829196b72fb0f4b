"""The private library folder: found beside the executable, and refused when it is not to be trusted."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ocirun import cold
from ocirun.errors import Failure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose launcher seems to be running; sys.path is put back afterwards."""
    tmp_path.chmod(0o755)
    packages = tmp_path / "lib" / "ocirun" / "site-packages"
    packages.mkdir(parents=True, mode=0o755)
    executable = tmp_path / "bin" / "ocirun"
    executable.parent.mkdir()
    executable.touch()
    for folder in (packages, packages.parent):
        folder.chmod(0o755)
    monkeypatch.setitem(sys.modules, "_ocirun", SimpleNamespace(executable=str(executable)))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return packages


def test_without_the_launcher_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_ocirun", None)
    before = list(sys.path)
    cold.enable()
    assert sys.path == before


def test_packages_come_last_and_once(installed: Path) -> None:
    before = list(sys.path)
    cold.enable()
    cold.enable()
    assert sys.path[: len(before)] == before
    assert sys.path[len(before) :] == [str(installed.parent), str(installed)]


def test_missing_standard_library_is_added(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    cold.enable()
    stdlib = os.path.dirname(os.__file__)
    assert sys.path[:2] == [stdlib, os.path.join(stdlib, "lib-dynload")]


@pytest.mark.parametrize("mode", [0o775, 0o757])
@pytest.mark.parametrize("which", ["library", "packages"])
def test_folder_that_others_can_write_to_is_refused(installed: Path, mode: int, which: str) -> None:
    folder = installed if which == "packages" else installed.parent
    folder.chmod(mode)
    with pytest.raises(Failure, match="others can write to") as caught:
        cold.enable()
    assert caught.value.where == str(folder)
    assert str(installed) not in sys.path


@pytest.mark.parametrize("which", ["library", "packages"])
def test_folder_of_someone_else_is_refused(installed: Path, which: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a folder away")
    folder = installed if which == "packages" else installed.parent
    os.chown(folder, 12345, 0)
    with pytest.raises(Failure, match="belongs to uid 12345"):
        cold.enable()
    assert str(installed) not in sys.path


def test_owner_of_the_executable_may_own_the_folder(installed: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a folder away")
    for path in (installed, installed.parent, installed.parents[2] / "bin" / "ocirun"):
        os.chown(path, 12345, 0)
    cold.enable()
    assert sys.path[-1] == str(installed)


def test_missing_folder_is_told(installed: Path) -> None:
    installed.rmdir()
    with pytest.raises(Failure, match="no such file or directory") as caught:
        cold.enable()
    assert caught.value.where == str(installed)
