"""Each dependency is pinned, and listed with its licence; the list is a bill of materials that others can read."""

from __future__ import annotations

import importlib.metadata
import json
import re
from importlib.resources import files

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from release import dependencies
from support.bundle import REPOSITORY

pytestmark = [pytest.mark.meta]

OURS = {"ocirun", "pip"}
SPDX = set(json.loads(files("cyclonedx.schema").joinpath("_res/spdx.SNAPSHOT.schema.json").read_text())["enum"])
NAMED = [row for row in dependencies.rows() if row["kind"] == "pypi"]
DEBIAN = [row for row in dependencies.rows() if row["kind"] == "debian"]


def test_all_that_is_named_is_listed() -> None:
    wanted = set(dependencies.pinned()) | set(dependencies.constrained())
    assert {dependencies.normal(row["name"]) for row in NAMED} == wanted, "wanted: a row in release/dependencies.tsv"
    lists = {name: words for name, words in dependencies.dev_lists().items() if name != "SUITE"}
    assert set(lists) == set(dependencies.LISTS)
    wanted = {each for words in lists.values() for each in words}
    wanted |= {row["name"] for row in DEBIAN if row["for"] == "package"}
    assert {row["name"] for row in DEBIAN} == wanted, "wanted: a row in release/dependencies.tsv"
    names = [(row["kind"], row["name"].lower()) for row in dependencies.rows()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", dependencies.rows(), ids=lambda row: row["name"])
def test_a_row(row: dict[str, str]) -> None:
    """It says what it is for, in which part, and under which licences of SPDX."""
    words = re.split(r" (?:AND|OR|WITH) ", row["licence"])
    assert {word for word in words if word not in SPDX} <= {"GCC-exception-3.1", "Linux-syscall-note"}
    assert dependencies.parts(row)
    assert row["purpose"] or row["for"]
    if row["kind"] == "pypi":
        assert re.fullmatch(r"[\d.]+(\.post\d+)?", dependencies.version(row))
        assert set(row["for"].split()) <= {each["name"] for each in NAMED}


def test_what_is_installed_is_what_is_listed() -> None:
    """Versions, and licences as far as packages state them in SPDX's words."""
    rows = {dependencies.normal(row["name"]): row for row in NAMED}
    found = {dependencies.normal(each.name): each for each in importlib.metadata.distributions()}
    installed = {name: each.version for name, each in found.items() if name not in OURS}
    assert installed == {name: dependencies.version(rows[name]) if name in rows else "" for name in installed}
    stated = {name: str(each.metadata["License-Expression"]) for name, each in found.items() if name in rows}
    stated = {name: licence for name, licence in stated.items() if licence != "None"}
    assert len(stated) > 20
    assert stated == {name: rows[name]["licence"] for name in stated}


def test_the_page_is_current() -> None:
    page = (REPOSITORY / "docs" / "dependencies.md").read_text()
    assert page == dependencies.page(), "./dev sbom page >docs/dependencies.md"


def test_the_bill_of_materials() -> None:
    text = json.dumps(dependencies.bom())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    names = {each["bom-ref"] for each in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    assert {each["ref"] for each in bom["dependencies"]} == names
    assert {ref for each in bom["dependencies"] for ref in each["dependsOn"]} <= names
    required = {each["name"] for each in bom["components"] if each["scope"] == "required"}
    assert {"jeepney", "rpds-py", "libseccomp2", "zlib1g-dev"} <= required
    assert not {"pytest", "gcc", "rich"} & required


def test_compiled_libraries_can_be_copied() -> None:
    """Their bytecode does not hold the time of the source (PEP 552), which is another one in an installation."""
    compiled = list(dependencies.LIBRARIES.rglob("*.pyc"))
    assert len(compiled) > 50
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\1\0\0\0"}
