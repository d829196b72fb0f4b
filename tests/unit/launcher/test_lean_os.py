"""The lean `os` of frozen modules against the real one."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import pytest
from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

PATHS = [
    "",
    ".",
    "/",
    "//",
    "///",
    "a",
    "a/",
    "/a",
    "/a/",
    "a/b",
    "a//b",
    "/a/../b",
    "../a",
    "/..",
    "a/..",
    "a/./b/",
    "//a/b/",
    "é\udcff",
]
PATHS += ["a/../..", "./..", "/a/b/../../..", "..", "../..", "a/b/../../../c", "//..", "///a"]


@pytest.fixture(scope="module")
def lean() -> ModuleType:
    """`lean_os.py` as a module."""
    spec = importlib.util.spec_from_file_location("lean_os", REPOSITORY / "runtime" / "launcher" / "lean_os.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("function", ["dirname", "basename", "isabs", "isdir", "normpath", "abspath"])
def test_paths(lean: ModuleType, function: str) -> None:
    for path in [*PATHS, "/etc", "/etc/passwd", "/etc\0"]:
        assert getattr(lean.path, function)(path) == getattr(os.path, function)(path), path


def test_join(lean: ModuleType) -> None:
    for first in PATHS:
        for second in PATHS:
            assert lean.path.join(first, second, "x") == os.path.join(first, second, "x")


def test_encoding(lean: ModuleType) -> None:
    for path in ["", "é", "\udcff/a"]:
        assert lean.fsencode(path) == os.fsencode(path)
        assert lean.fsdecode(os.fsencode(path)) == path
        assert lean.fsdecode(path) == path
        assert lean.fsencode(os.fsencode(path)) == os.fsencode(path)


def test_every_other_name_is_the_very_same(lean: ModuleType) -> None:
    own = {"path", "environ", "environb", "fsencode", "fsdecode", "makedirs", "annotations", "posix"}
    for name in set(vars(lean)) - own:
        if not name.startswith("__"):
            assert getattr(lean, name) == getattr(os, name), name
    assert lean._exit is os._exit


def test_makedirs(lean: ModuleType, tmp_path: Path) -> None:
    lean.makedirs(f"{tmp_path}/a/b/c/", 0o700)
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o700
    lean.makedirs(f"{tmp_path}/a/b/c", exist_ok=True)
    with pytest.raises(FileExistsError):
        lean.makedirs(f"{tmp_path}/a/b/c")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        lean.makedirs(f"{tmp_path}/file", exist_ok=True)
    with pytest.raises(NotADirectoryError):
        lean.makedirs(f"{tmp_path}/file/below", exist_ok=True)


def test_the_environment_reads_alike(lean: ModuleType) -> None:
    assert lean.environ.get("no such variable") is None
    assert {name: lean.environ[name] for name in ("PATH",) if name in os.environ} == {
        name: os.environ[name] for name in ("PATH",) if name in os.environ
    }
