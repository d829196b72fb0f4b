"""Small files, short functions, and no trace of where they were written."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest
from meta.sources import FOLDERS, parsed, python_files, tracked_files
from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.meta]

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
GENERATED = {REPOSITORY / "spec" / "ocirun_spec" / "accept.py"}
FORBIDDEN = re.compile(
    "|".join([r"(?<![\w.])/work" + "/", "/tmp/bash" + "_", "Co-Authored" + "-By", r"\b" + "TO" + r"DO\b", "FIX" + "ME"])
)


@pytest.mark.parametrize("path", python_files(*FOLDERS), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_and_functions_are_short(path: Path) -> None:
    if path in GENERATED:
        return
    assert len(path.read_text().splitlines()) < LONGEST_FILE
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 < LONGEST_FUNCTION, f"{node.name} in line {node.lineno}"


def test_generated_files_say_so() -> None:
    for path in GENERATED:
        assert "generate" in path.read_text()[:600].lower()


def test_nothing_tells_where_it_was_written() -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if FORBIDDEN.search(line):
                found.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize("line", ["in /work" + "/main", "see /tmp/bash" + "_jobs", "# TO" + "DO: later"])
def test_the_pattern_can_find_something(line: str) -> None:
    assert FORBIDDEN.search(line)
    assert not FORBIDDEN.search("of the overlay's dir/work/ and a build/work/x")
