"""Every problem of a config.json at once, with place, reason and advice. Cold: runs after a refusal, or for `validate`.

Three sources feed the list: the JSON text itself, the schema, and the rules between fields. Warnings come on top, for
what the specification tells a runtime to ignore although the author hardly meant it: unknown properties, unknown
capabilities.
"""

from __future__ import annotations

import copy
import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import jsontext, properties, rules
from .accept import accept
from .mount_options import OPTIONS
from .names import CAPABILITIES, NAMESPACES, RLIMITS
from .positions import Positions, escape
from .schema import config_schema, validator
from .tree import PATTERNS, Node, build

if TYPE_CHECKING:
    from collections.abc import Iterator

Severity = Literal["error", "warning"]

# Words that people know from other places, where likeness of spelling does not help.
_SYNONYMS = {"net": "network", "mnt": "mount", "hostname": "uts", "userns": "user", "netns": "network"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; `line` and `column` count from 1, `pointer` is a JSON pointer, unknown texts are empty."""

    source: str
    line: int
    column: int
    pointer: str
    message: str
    expected: str = ""
    hint: str = ""
    severity: Severity = "error"
    excerpt: str = ""

    def render(self) -> str:
        """`file:line:column: /pointer: message`, then indented lines with the excerpt, what was expected and a hint."""
        place = f"{self.source}:{self.line}:{self.column}: "
        kind = "warning: " if self.severity == "warning" else ""
        where = f"{self.pointer}: " if self.pointer else ""
        lines = [f"{place}{kind}{where}{self.message}", *self.excerpt.splitlines()]
        lines += [f"{name}: {text}" for name, text in (("expected", self.expected), ("hint", self.hint)) if text]
        return "\n    ".join(lines)


def explain(text: str, source: str) -> list[Problem]:
    """All problems of a config's text, in the order of the text; `source` is the file name to show."""
    found: list[Problem] = []
    try:
        config = jsontext.loads(text)
    except jsontext.JSONError as error:
        found.append(Problem(source, error.line, error.column, "", error.message, excerpt=error.excerpt()))
        try:
            # Ambiguous or oversized values still leave a document whose other problems can be told.
            config = json.loads(text)
        except (ValueError, RecursionError):
            return found
    reporter = _Reporter(source, Positions(text))
    found += [reporter.schema_problem(error) for error in validator(config_schema()).iter_errors(config)]
    found += [reporter.rule_problem(*finding) for finding in _rule_findings(config)]
    found += reporter.warnings(config)
    return sorted(found, key=lambda problem: (problem.line, problem.column))


class _Reporter:
    """Turns findings into problems of one text."""

    def __init__(self, source: str, positions: Positions) -> None:
        self.source = source
        self.positions = positions

    def schema_problem(self, error: Any) -> Problem:
        pointer = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        if error.validator == "required":
            name = _missing(error)
            line, column = self.positions.line_column(pointer)
            return Problem(self.source, line, column, f"{pointer}/{name}", f"the member {name} is missing")
        line, column = self.positions.line_column(pointer)
        message = f"{_show(error.instance)} is not allowed here"
        return Problem(self.source, line, column, pointer, message, _expectation(error.schema), _advice(error))

    def rule_problem(self, pointer: str, message: str) -> Problem:
        line, column = self.positions.line_column(pointer)
        name = message.split('"')[1] if message.startswith("the resource limit") else ""
        return Problem(self.source, line, column, pointer, message, hint=_did_you_mean(name, RLIMITS))

    def warnings(self, config: object) -> Iterator[Problem]:
        """Problems of severity "warning": ignored by the runtime, as the specification asks."""
        root = build(properties.CONFIG)
        if isinstance(config, dict):
            yield from self._unknown(config, root, "")
            yield from self._capabilities(config)
            yield from self._options(config)

    def _unknown(self, value: object, node: Node, pointer: str) -> Iterator[Problem]:
        if isinstance(value, dict) and node.row.kind in ("object", "map"):
            for key, item in value.items():
                member = node.members.get(key, node.item)
                place = f"{pointer}/{escape(key)}"
                if member is not None:
                    yield from self._unknown(item, member, place)
                else:
                    yield self._unknown_property(key, node, place)
        elif isinstance(value, list) and node.item is not None:
            for index, item in enumerate(value):
                yield from self._unknown(item, node.item, f"{pointer}/{index}")

    def _unknown_property(self, key: str, node: Node, place: str) -> Problem:
        line, column = self.positions.key_line_column(place)
        hint = _did_you_mean(key, node.members) or _elsewhere(key)
        message = "unknown property, it is ignored"
        return Problem(self.source, line, column, place, message, hint=hint, severity="warning")

    def _capabilities(self, config: dict[str, Any]) -> Iterator[Problem]:
        for pointer, name in _strings(config, ("process", "capabilities"), 2):
            if name not in CAPABILITIES:
                hint = _did_you_mean(name, CAPABILITIES) or _did_you_mean("CAP_" + name, CAPABILITIES)
                line, column = self.positions.line_column(pointer)
                message = f'the capability "{name}" is unknown, it is not granted'
                yield Problem(self.source, line, column, pointer, message, hint=hint, severity="warning")

    def _options(self, config: dict[str, Any]) -> Iterator[Problem]:
        for pointer, name in _strings(config, ("mounts",), 3):
            if "/options/" not in pointer or name in OPTIONS or "=" in name:
                continue
            close = difflib.get_close_matches(name, OPTIONS, 1, 0.85)
            if close:
                line, column = self.positions.line_column(pointer)
                message = f'the option "{name}" is left to the filesystem'
                hint = f"did you mean {close[0]}?"
                yield Problem(self.source, line, column, pointer, message, hint=hint, severity="warning")


def _rule_findings(config: object) -> list[tuple[str, str]]:
    """What the rules find in the part of the config that the schema accepts.

    Rules read their fields without looking at types, so what the schema refuses is taken out first, and findings near
    the holes are dropped. Many rules look at the namespaces: when those are a hole, what counts is what the rules find
    both without any namespace and with all of them.
    """
    rest = copy.deepcopy(config)
    holes: list[str] = []
    while (place := accept(rest)) is not None:
        hole = _take_out(rest, place)
        if not hole:
            return []
        holes.append(hole)
    assert isinstance(rest, dict)
    findings = rules.check(rest)
    if any("/linux/namespaces".startswith(hole) for hole in holes):
        linux = {**rest.get("linux", {}), "namespaces": [{"type": kind} for kind in NAMESPACES]}
        findings = [finding for finding in rules.check({**rest, "linux": linux}) if finding in findings]
    return [
        (pointer, message)
        for pointer, message in findings
        if not any(pointer.startswith(hole) or hole.startswith(pointer) for hole in holes)
    ]


def _take_out(config: Any, place: str) -> str:
    """Removes what the schema refuses, and returns its pointer, or "" if that is the whole document.

    For a missing member that is the object which lacks it; for an item the whole list, so that other items keep their
    index.
    """
    tokens = place.split("/")[1:]
    names = [token.replace("~1", "/").replace("~0", "~") for token in tokens]
    while names:
        parent = config
        for name in names[:-1]:
            parent = parent[int(name)] if isinstance(parent, list) else parent[name]
        if isinstance(parent, dict) and names[-1] in parent:
            del parent[names[-1]]
            return "/" + "/".join(tokens[: len(names)])
        names.pop()
    return ""


def _missing(error: Any) -> str:
    names: list[str] = error.validator_value
    return next(name for name in names if name not in error.instance and f"'{name}'" in error.message)


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _expectation(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "pattern" in schema:
        return next(pattern.words for pattern in PATTERNS.values() if pattern.regex == schema["pattern"])
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "integer":
        return f"an integer from {schema['minimum']} to {schema['maximum']}"
    if kind == "array" and "minItems" in schema:
        return f"an array with {schema['minItems']} or more items"
    article = "an" if kind[0] in "aeiou" else "a"
    return f"{article} {kind}"


def _advice(error: Any) -> str:
    value, schema = error.instance, error.schema
    if "enum" in schema and isinstance(value, str):
        return _did_you_mean(value, schema["enum"])
    if schema.get("type") == "integer":
        if isinstance(value, str) and value.lstrip("-").isdecimal():
            return "write the number without quotes" + (", and in decimal" if value.startswith("0") else "")
        if isinstance(value, float) and value.is_integer():
            return f"write {int(value)}"
    if schema.get("type") == "boolean" and value in ("true", "false"):
        return f"write {value} without quotes"
    return "leave the member out instead of setting it to null" if value is None else ""


def _did_you_mean(name: str, known: Any) -> str:
    """A hint that names the closest known name, or "" if none is close."""
    synonym = _SYNONYMS.get(name)
    if synonym in known and synonym in NAMESPACES:
        return f"did you mean {synonym}?"
    folded = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), folded, 1, 0.7)
    return f"did you mean {folded[close[0]]}?" if close else ""


def _elsewhere(key: str) -> str:
    """A hint that a property of this name belongs to another object."""
    places = [row.pointer for row in properties.CONFIG if row.pointer.endswith("/" + key) and "*" not in row.pointer]
    return f"the specification has {places[0]}" if len(places) == 1 else ""


def _strings(config: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, str]]:
    """The strings exactly `depth` levels below a member of the config, with their pointers."""
    value = config
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    level = [("/" + "/".join(path), value)]
    for _ in range(depth):
        level = [
            (f"{pointer}/{escape(str(key))}", item)
            for pointer, parent in level
            if isinstance(parent, (dict, list))
            for key, item in (parent.items() if isinstance(parent, dict) else enumerate(parent))
        ]
    yield from ((pointer, item) for pointer, item in level if isinstance(item, str))
