"""What an import costs, in modules, and that options have the names of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.bundle import REPOSITORY

import ocirun
from ocirun import options
from ocirun.library.options import ExecOptions, Limits, SandboxOptions, words

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.budget]

COLD = {"asyncio", "email", "http", "jsonschema", "multiprocessing", "pyseccomp", "socket", "ssl", "tempfile", "xml"}
OWN = 34
"""Modules of ours that the first use loads."""
STEPS = """
import sys
sys.path[:0] = {folders!r}
import json
found = []
for step in ("import ocirun", "ocirun.Failure", "ocirun.Runtime('/none', program='/none').sandbox(['true'], pids=3)"):
    before = set(sys.modules)
    exec(step)
    found.append(sorted(set(sys.modules) - before))
print(json.dumps(found))
"""


def test_what_is_loaded(tmp_path: Path) -> None:
    """In an interpreter without `site`, which imports some for an editable installation."""
    folders = [str(REPOSITORY / each) for each in ("runtime", "spec")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", STEPS.format(folders=folders)], capture_output=True, text=True, check=True
    )
    imported, first, used = json.loads(done.stdout)
    assert imported == ["__future__", "ocirun"]
    assert COLD & set(first) == set()
    assert len([name for name in first if name.startswith("ocirun")]) <= OWN
    assert used == []


def test_names() -> None:
    assert all(getattr(ocirun, name).__name__ == name for name in ocirun.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ocirun.Nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "command", "left"),
    [
        (SandboxOptions, "do", {"tty", "print-config", "id"}),
        (Limits, "update", {"resources"}),
        (
            ExecOptions,
            "exec",
            {"tty", "process", "detach", "pid-file", "preserve-fds", "console-socket", "pidfd-socket"},
        ),
    ],
)
def test_options_are_those_of_the_command_line(kind: type, command: str, left: set[str]) -> None:
    table = next(each for each in options.COMMANDS if each.name == command).options
    there = {each.name for each in table if not each.hidden}
    assert {name.replace("_", "-") for name in kind.__annotations__} == there - left


def test_words() -> None:
    given = {"bind": ["a", "-b"], "env": {"A": "1", "B": ""}, "cpus": 0.00001, "pids": 3, "force": True, "all": False}
    assert words(given | {"user": None, "read_only": "x"}) == [
        "--bind=a", "--bind=-b", "--env=A=1", "--env=B=", "--cpus=0.000010", "--pids=3", "--force", "--read-only=x",
    ]  # fmt: skip
