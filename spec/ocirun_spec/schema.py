"""JSON Schemas (draft 2020-12) built from the property table: the config, a process, the state, features and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import properties
from .tree import PATTERNS, Node, build

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

JSONSchema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> JSONSchema:
    """The schema of config.json."""
    return _document("OCI container configuration for Linux", build(properties.CONFIG))


def process_schema() -> JSONSchema:
    """The schema of a process object on its own, as `exec --process` reads it."""
    return _document("OCI process for Linux", build(properties.CONFIG).members["process"])


def state_schema() -> JSONSchema:
    """The schema of the state that the `state` command prints and hooks receive."""
    return _document("OCI container state", build(properties.STATE))


def features_schema() -> JSONSchema:
    """The schema of what the `features` command prints."""
    return _document("OCI runtime features", build(properties.FEATURES))


def events_schema() -> JSONSchema:
    """The schema of a line that the `events` command prints; members that it does not have are refused."""
    schema = _document("Container event", build(properties.EVENTS), closed=True)
    stats = {"properties": {"type": {"const": "stats"}}}
    return {**schema, "if": stats, "then": {"required": ["data"]}, "else": {"properties": {"data": False}}}


def validator(schema: JSONSchema) -> Draft202012Validator:
    """A validator for which 1.0 is not an integer, as for Go's decoder that existing runtimes use."""
    from jsonschema import Draft202012Validator, validators

    def is_integer(_checker: object, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer)
    extend: Any = validators.extend
    strict: Draft202012Validator = extend(Draft202012Validator, type_checker=checker)(schema)
    return strict


def _document(title: str, root: Node, closed: bool = False) -> JSONSchema:
    """closed: whether objects have the members of the table only, as in a document that nobody else writes."""
    return {"$schema": _DIALECT, "title": title, **_node(root, closed)}


def _node(node: Node, closed: bool) -> JSONSchema:
    row = node.row
    kind = "object" if row.kind in ("map", "opaque") else row.kind
    result: JSONSchema = {"type": [kind, "null"] if row.nullable else kind}
    if node.members:
        result["properties"] = {name: _node(member, closed) for name, member in node.members.items()}
    if row.required:
        result["required"] = list(row.required)
    if node.item is not None:
        result["items" if row.kind == "array" else "additionalProperties"] = _node(node.item, closed)
    if closed and row.kind == "object":
        result["additionalProperties"] = False
    if row.min_items:
        result["minItems"] = row.min_items
    if row.choices:
        result["enum"] = list(row.choices)
    if row.pattern:
        result["pattern"] = PATTERNS[row.pattern].regex
    if row.low is not None:
        result["minimum"] = row.low
    if row.high is not None:
        result["maximum"] = row.high
    return result
