"""Every problem of a config.json at once, with place, reason and advice. Cold: runs after a refusal, or for `validate`.

Three sources feed the list: the JSON text itself, the schema, and the rules between fields. Warnings come on top, for
what the specification tells a runtime to ignore although the author hardly meant it: unknown properties, unknown
capabilities.
"""

from __future__ import annotations

import json
from typing import Any

from . import jsontext, rules, sound
from .cautions import Cautions
from .names import NAMESPACES, RLIMITS
from .positions import Positions, escape
from .problem import Problem, did_you_mean
from .schema import config_schema, validator
from .sysctl_rules import OF_THE_HOST
from .tree import PATTERNS

SETTABLE = "a container has net.*, fs.mqueue.*, and of kernel.* what concerns sem, shm and msg, for itself"
"""The hint about a parameter of the host's."""


def explain(text: str, source: str) -> list[Problem]:
    """All problems of a config's text, in the order of the text; `source` is the file name to show."""
    found: list[Problem] = []
    try:
        config = jsontext.loads(text)
    except jsontext.JSONError as error:
        found.append(Problem(source, error.line, error.column, "", error.message, excerpt=error.excerpt(), kind="json"))
        try:
            # Ambiguous or oversized values still leave a document whose other problems can be told.
            config = json.loads(text)
        except (ValueError, RecursionError):
            return found
    reporter = _Reporter(source, Positions(text))
    found += [reporter.schema_problem(error) for error in validator(config_schema()).iter_errors(config)]
    found += [reporter.rule_problem(*finding) for finding in _rule_findings(config)]
    found += Cautions(source, reporter.positions).all(config)
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
            message = f"the member {name} is missing"
            return Problem(self.source, line, column, f"{pointer}/{name}", message, kind="schema")
        line, column = self.positions.line_column(pointer)
        message = f"{_show(error.instance)} is not allowed here"
        expected = _expectation(error.schema)
        return Problem(self.source, line, column, pointer, message, expected, _advice(error), kind="schema")

    def rule_problem(self, pointer: str, message: str) -> Problem:
        line, column = self.positions.line_column(pointer)
        name = message.split('"')[1] if message.startswith("the resource limit") else ""
        hint = SETTABLE if message.endswith(OF_THE_HOST) else did_you_mean(name, RLIMITS)
        return Problem(self.source, line, column, pointer, message, hint=hint, kind="rule")


def _rule_findings(config: object) -> list[tuple[str, str]]:
    """What the rules find in the part of the config that the schema accepts.

    Many rules look at the namespaces: when those are unknown, what counts is what the rules find both without any
    namespace and with all of them.
    """
    rest = sound.of_the_schema(config)
    if rest is None:
        return []
    findings = rules.check(rest.config)
    if rest.hides_namespaces():
        findings = [each for each in rules.check(rest.with_namespaces(list(NAMESPACES))) if each in findings]
    return [finding for finding in findings if not rest.near(finding[0])]


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
        return did_you_mean(value, schema["enum"])
    if schema.get("type") == "integer":
        if isinstance(value, str) and value.lstrip("-").isdecimal():
            return "write the number without quotes" + (", and in decimal" if value.startswith("0") else "")
        if isinstance(value, float) and value.is_integer():
            return f"write {int(value)}"
    if schema.get("type") == "boolean" and value in ("true", "false"):
        return f"write {value} without quotes"
    return "leave the member out instead of setting it to null" if value is None else ""
