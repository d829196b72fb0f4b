"""Our table and schemas against the published schemas and their samples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ocirun_spec import jsontext, properties, schema
from ocirun_spec.accept import accept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Samples that we judge otherwise than the published schemas, with the reason.
_EXCEPTIONS = {
    "config/bad/freebsd-vnet-disable.json": "objects of other platforms are accepted without looking into them",
}

OTHER_PLATFORMS = ("/windows", "/solaris", "/vm", "/zos", "/freebsd")


def _judge(folder: str, text: str) -> bool:
    try:
        value = jsontext.loads(text)
    except jsontext.JSONError:
        return False
    schemas = {"config": schema.config_schema, "features": schema.features_schema, "state": schema.state_schema}
    valid: bool = schema.validator(schemas[folder]()).is_valid(value)
    if folder == "config":
        assert (accept(value) is None) == valid
    return valid


def test_published_samples_are_judged_as_published(published: Path) -> None:
    samples = sorted((published / "schema/test").glob("*/*/*.json"))
    assert len(samples) > 10
    different = set()
    for path in samples:
        name = "/".join(path.parts[-3:])
        if _judge(path.parts[-3], path.read_text()) != (path.parts[-2] == "good"):
            different.add(name)
    assert different == set(_EXCEPTIONS)


class _Published:
    """Walks draft-04 schemas that are spread over files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Any] = {}

    def load(self, name: str) -> Any:
        if name not in self.files:
            self.files[name] = json.loads((self.folder / name).read_bytes())
        return self.files[name]

    def walk(self, node: dict[str, Any], file: str, pointer: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if "$ref" in node:
            name, _, path = node["$ref"].partition("#")
            file = name or file
            node = self.load(file)
            for part in path.strip("/").split("/"):
                node = node[part]
            yield from self.walk(node, file, pointer)
            return
        yield pointer, node
        for part in [*node.get("allOf", ()), *node.get("anyOf", ())]:
            yield from self.walk(part, file, pointer)
        for name, member in node.get("properties", {}).items():
            if not (pointer + "/" + name).startswith(OTHER_PLATFORMS):
                yield from self.walk(member, file, f"{pointer}/{name}")
        inner = [node["items"]] if "items" in node else list(node.get("patternProperties", {}).values())
        if isinstance(node.get("additionalProperties"), dict):
            inner.append(node["additionalProperties"])
        for member in inner:
            yield from self.walk(member, file, pointer + "/*")


def _find(table: dict[str, properties.Property], pointer: str) -> properties.Property | None:
    """The row of a pointer; clocks are keys of a map in the text and members in the published schema."""
    for clock in ("boottime", "monotonic"):
        pointer = pointer.replace(f"/timeOffsets/{clock}", "/timeOffsets/*")
    return table.get(pointer)


# Where the table is wider or narrower than the published schemas on purpose, with the reason.
OTHER_BOUNDS = {
    "/linux/devices/*/fileMode": "the text says uint32, engines include the bits of the file's type",
    "/process/oomScoreAdj": "the kernel's range",
    "/process/ioPriority/priority": "0 to 7 in the text",
    "/linux/seccomp/syscalls/*/args/*/index": "a system call has six arguments",
    "/linux/timeOffsets/boottime/nanosecs": "less than a second",
    "/linux/timeOffsets/monotonic/nanosecs": "less than a second",
    "/pid": "a pid is an int",
}
OTHER_CHOICES = {
    "/linux/rootfsPropagation": "the recursive forms that engines write",
}
_HOOKS = ("/hooks/",)


def _compare(published: Path, name: str, rows: tuple[properties.Property, ...]) -> set[str]:
    """Asserts that every published place has a row of the same type and bounds; returns the places that it saw."""
    schemas = _Published(published / "schema")
    table = properties.by_pointer(rows)
    seen = set()
    for pointer, node in schemas.walk(schemas.load(name), name, ""):
        seen.add(pointer)
        if pointer.startswith(OTHER_PLATFORMS):
            continue
        row = _find(table, pointer)
        assert row is not None, f"{name}: {pointer} has no row"
        kind = {"map": "object", "opaque": "object"}.get(row.kind, row.kind)
        assert node.get("type", kind) == kind, pointer
        if "enum" in node and pointer not in OTHER_CHOICES:
            assert set(node["enum"]) == set(row.choices), pointer
        if "minimum" in node and pointer not in OTHER_BOUNDS and not pointer.startswith(_HOOKS):
            assert (node["minimum"], node["maximum"]) == (row.low, row.high), pointer
    return seen


def test_every_published_property_of_the_config_is_in_the_table(published: Path) -> None:
    seen = _compare(published, "config-schema.json", properties.CONFIG)
    assert len(seen) > 250
    assert set(OTHER_BOUNDS) - {"/pid"} <= seen


def test_every_published_property_of_state_and_features_is_in_the_table(published: Path) -> None:
    _compare(published, "state-schema.json", properties.STATE)
    _compare(published, "features-schema.json", properties.FEATURES)


def test_the_table_invents_nothing(published: Path) -> None:
    """A row that is not published must at least be named by the text."""
    text = (published / "config.md").read_text() + (published / "config-linux.md").read_text()
    seen = _compare(published, "config-schema.json", properties.CONFIG)
    for row in properties.CONFIG:
        name = row.pointer.rpartition("/")[2]
        assert row.pointer in seen or name == "*" or f"`{name}`" in text or "/timeOffsets/" in row.pointer, row.pointer


def test_required_members_are_required_by_schema_or_text(published: Path) -> None:
    schemas = _Published(published / "schema")
    strict: dict[str, set[str]] = {}
    for pointer, node in schemas.walk(schemas.load("config-schema.json"), "config-schema.json", ""):
        strict.setdefault(pointer, set()).update(node.get("required", ()))
    ours = {row.pointer: set(row.required) for row in properties.CONFIG}
    # "REQUIRED" in the text, forgotten in the schema.
    more = {
        f"/linux/resources/blockIO/throttle{name}Device/*": {"rate"}
        for name in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")
    }
    more |= {"/linux/memoryPolicy": {"mode"}, "/linux/personality": {"domain"}}
    # Optional in the text since 1.3.
    less = {"/linux/resources/pids": {"limit"}}
    for pointer, names in strict.items():
        row = _find(properties.by_pointer(), pointer)
        if row is not None and not pointer.startswith(OTHER_PLATFORMS):
            expected = (names | more.get(pointer, set())) - less.get(pointer, set())
            assert ours[row.pointer] == expected, pointer
