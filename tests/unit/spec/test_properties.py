"""What every row of the table must say."""

from __future__ import annotations

import pytest

from ocirun_spec import properties, schema
from ocirun_spec.properties import __main__ as spec_table
from ocirun_spec.tree import PATTERNS, build

_ALL = (*properties.CONFIG, *properties.STATE, *properties.FEATURES)
_DOCUMENTS = [properties.CONFIG, properties.STATE, properties.FEATURES, properties.EVENTS]


@pytest.mark.parametrize("row", _ALL, ids=lambda row: row.pointer or "/")
def test_rows_are_complete(row: properties.Property) -> None:
    assert row.owner in properties.OWNERS
    assert row.since in ("1.0.0", "1.0.2", "1.1.0", "1.2.0", "1.2.1", "1.3.0")
    assert row.status == "applied" or row.reason
    assert not row.pattern or row.pattern in PATTERNS
    assert (row.kind == "integer") == (row.low is not None and row.high is not None)


@pytest.mark.parametrize("row", properties.EVENTS, ids=lambda row: row.pointer or "/")
def test_rows_of_another_document_have_no_version(row: properties.Property) -> None:
    assert (row.owner, row.since, row.status) == ("events", "-", "applied")
    assert (row.kind == "integer") == (row.low is not None and row.high is not None)


@pytest.mark.parametrize("rows", _DOCUMENTS, ids=len)
def test_pointers_are_unique_and_parents_exist(rows: tuple[properties.Property, ...]) -> None:
    assert len(properties.by_pointer(rows)) == len(rows)
    tree = build(rows)
    for row in rows:
        if row.kind in ("array", "map"):
            assert row.pointer + "/*" in properties.by_pointer(rows)
        if row.required:
            assert all(f"{row.pointer}/{name}" in properties.by_pointer(rows) for name in row.required)
    assert tree.row.pointer == ""


def test_each_property_has_one_owner() -> None:
    owned = [row for owner in properties.OWNERS for row in properties.owned_by(owner)]
    assert sorted(row.pointer for row in owned) == sorted(row.pointer for row in properties.CONFIG)


def test_patterns_say_the_same_in_both_languages() -> None:
    import re

    samples = [
        "",
        "x",
        "rwm",
        "rw\n",
        "0-3,7",
        "0-3\n",
        "2MB",
        "MB",
        "MB:1",
        "MB:\n",
        "1GB",
        "10KB",
        "CAP_X",
        "CAP_",
        "CAP_x",
        "a\nb",
        "\n",
        "0MB",
        "1 MB",
        "²MB",
    ]
    for name, pattern in PATTERNS.items():
        for v in samples:
            refused = bool(eval(pattern.refuses, {"v": v}))
            assert refused == (re.search(pattern.regex, v) is None), (name, v)


def test_schemas_are_schemas_and_features_may_be_null() -> None:
    makers = (schema.config_schema, schema.process_schema, schema.state_schema, schema.features_schema)
    for make in (*makers, schema.events_schema):
        schema.validator(make()).check_schema(make())
    features = schema.validator(schema.features_schema())
    versions = {"ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0"}
    assert features.is_valid({**versions, "hooks": None, "linux": {"seccomp": {"enabled": None}, "cgroup": None}})
    assert not features.is_valid({**versions, "ociVersionMin": None})
    assert not features.is_valid({**versions, "hooks": [None]})
    state = schema.validator(schema.state_schema())
    assert state.is_valid({"ociVersion": "1.3.0", "id": "x", "status": "running", "pid": 1, "bundle": "/b"})
    assert not state.is_valid({"ociVersion": "1.3.0", "id": "x", "status": "paused", "pid": 1, "bundle": "/b"})


def test_the_printed_table_has_a_line_for_every_property(capsys: pytest.CaptureFixture[str]) -> None:
    assert spec_table.main([]) == 0
    head, *table, blank, count = capsys.readouterr().out.splitlines()
    assert (head.split(), blank) == (list(spec_table.HEAD), "")
    assert [line.split()[1] for line in table] == [row.pointer or "/" for row in _ALL]
    assert count.startswith(f"{len(table)} properties: ")


def test_the_events_are_printed_when_they_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert spec_table.main(["events"]) == 0
    table = capsys.readouterr().out.splitlines()[1:-2]
    assert [line.split()[1] for line in table] == [row.pointer or "/" for row in properties.EVENTS]


def test_an_unknown_document_has_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert spec_table.main(["image"]) == 2
    assert capsys.readouterr() == ("", "no document image; there are config, state, features, events\n")
