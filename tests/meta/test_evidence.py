"""The evidence: each requirement that the specification lays on a runtime, and each property, names what shows it.

`tests/evidence/requirements.tsv` has the requirement's id, what it demands, and the tests; `properties.tsv` the
document, the property's pointer, and the tests. A test is named as pytest prints it, without the parameters when all of
them count. A cited test must exist, and at least one of each row works on containers: a planner's unit test alone is no
evidence.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.bundle import REPOSITORY

from ocirun_spec.properties import CONFIG, FEATURES, STATE

EVIDENCE = REPOSITORY / "tests" / "evidence"
SHARED = Path(os.environ.get("OCIRUN_SHARED", REPOSITORY.parent / "shared"))
DOCUMENTS = {"CONFIG": CONFIG, "STATE": STATE, "FEATURES": FEATURES}
LEAVES = ("string", "integer", "boolean", "opaque")
ON_A_KERNEL = tuple(
    f"tests/{lane}/" for lane in ("process", "kernel", "security", "engines", "vm", "selinux", "systemd")
)
LONGEST = 160
"""Characters of a summary."""


def rows(name: str) -> list[list[str]]:
    """The lines of a table below its head."""
    with (EVIDENCE / name).open(newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """Every test of the project, with and without its parameters."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    found = {line for line in done.stdout.splitlines() if "::" in line}
    return found | {name.partition("[")[0] for name in found}


@pytest.mark.parametrize("name", ["requirements.tsv", "properties.tsv"])
def test_every_row_names_tests_that_exist(name: str, collected: set[str]) -> None:
    for first, second, tests in rows(name):
        cited = tests.split(" ")
        assert second, first
        assert len(second) <= LONGEST, first
        assert [test for test in cited if test not in collected] == [], (first, second)
        assert any(test.startswith(ON_A_KERNEL) for test in cited), (first, second)


def test_every_requirement_of_a_runtime_is_shown() -> None:
    table = SHARED / "requirements.tsv"
    if not table.exists():
        pytest.skip(f"needs the list of requirements in {table}")
    with table.open(newline="") as file:
        asked = [row["id"] for row in csv.DictReader(file, delimiter="\t") if row["subject"] == "runtime"]
    assert [row[0] for row in rows("requirements.tsv")] == asked


def test_every_property_is_shown() -> None:
    leaves = [[name, row.pointer] for name, table in DOCUMENTS.items() for row in table if row.kind in LEAVES]
    assert [row[:2] for row in rows("properties.tsv")] == leaves
