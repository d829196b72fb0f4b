"""The fast check: fresh, fast, and of one mind with jsonschema on the schema from the same table."""

from __future__ import annotations

import copy
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocirun_spec import generate, properties, rules, schema
from ocirun_spec.accept import accept, accept_process, accept_resources
from ocirun_spec.positions import escape
from ocirun_spec.tree import Node, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

_VALIDATOR = schema.validator(schema.config_schema())
_TREE = build(properties.CONFIG)

_JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    6,
    1.0,
    1001,
    70_000,
    1 << 32,
    1_000_000_000,
    1 << 63,
    1 << 64,
    -(1 << 63) - 1,
    "",
    "x",
    "a",
    "1\n",
    "0-3, 7",
    "rw",
    "rw\n",
    "2MB",
    "2MB\n",
    "02MB",
    "MB",
    "٢MB",
    "MB:0=20",
    "MB:0\n",
    "user",
    "rslave",
    "SCMP_ACT_LOG",
    [],
    [None],
    ["x", 1],
    [[]],
    {},
    {"a/b~c": 1},
    {"a": "b"},
    {"type": "c", "path": ""},
)


def _places(value: object) -> set[str]:
    """Where jsonschema finds fault, a missing member being at its own place."""
    found = set()
    for error in _VALIDATOR.iter_errors(value):
        place = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        if error.validator == "required":
            found |= {f"{place}/{name}" for name in error.validator_value if name not in error.instance}
        else:
            found.add(place)
    return found


def _agree(value: object) -> None:
    places, place = _places(value), accept(value)
    assert (place is None) == (not places), (place, places, value)
    assert place is None or place in places


def _sample(node: Node) -> Any:
    """The smallest value that a place accepts."""
    row = node.row
    if row.kind in ("object", "map", "opaque"):
        return {name: _sample(node.members[name]) for name in row.required}
    if row.kind == "array":
        assert node.item is not None
        return [_sample(node.item) for _ in range(row.min_items)]
    if row.kind == "boolean":
        return False
    if row.kind == "integer":
        return row.low
    return row.choices[0] if row.choices else {"page size": "2MB", "MB line": "MB:"}.get(row.pattern, "")


def _around(pointer: str, value: object) -> object:
    """The smallest document in which a pointer pattern of the table has a value."""
    names = pointer.split("/")[1:]
    nodes = [_TREE]
    for name in names:
        nodes.append(child := nodes[-1].item if name == "*" else nodes[-1].members[name])  # type: ignore[arg-type]
        assert child is not None
    for name, node in zip(reversed(names), reversed(nodes[:-1]), strict=True):
        member = {"k/~" if name == "*" else name: value}
        value = [value] if node.row.kind == "array" else _sample(node) | member
    return value


@pytest.mark.parametrize("row", properties.CONFIG, ids=lambda row: row.pointer or "/")
def test_each_property_is_judged_like_jsonschema_does(row: properties.Property) -> None:
    for junk in _JUNK:
        _agree(_around(row.pointer, junk))
    if row.kind == "integer":
        assert row.low is not None
        assert row.high is not None
        for number in (row.low - 1, row.low, row.high, row.high + 1):
            _agree(_around(row.pointer, number))
        assert accept(_around(row.pointer, row.high)) is None
        assert accept(_around(row.pointer, row.high + 1)) is not None


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        if value:
            yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)


def _mutate(value: Any, random: Random) -> None:
    containers = list(_containers(value))
    if not containers:
        return
    holder = random.choice(containers)
    key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match random.randrange(4):
        case 0:
            del holder[key]
        case 1:
            holder[key] = copy.deepcopy(random.choice(_JUNK))
        case 2 if isinstance(holder, list):
            holder.append(holder[key])
        case 2:
            holder[random.choice(("path", "type", "zz", "names"))] = holder[key]
        case _:
            other = random.choice(containers)
            holder[key] = copy.deepcopy(random.choice(list(other.values() if isinstance(other, dict) else other)))


@settings(deadline=None, max_examples=150)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_both_agree_on_damaged_configs(bases: list[dict[str, Any]], random: Random, wounds: int) -> None:
    value = copy.deepcopy(random.choice(bases))
    for _ in range(wounds):
        _mutate(value, random)
    _agree(value)


@pytest.fixture(scope="session")
def bases(engine_configs: dict[str, dict[str, Any]], published: Path) -> list[dict[str, Any]]:
    samples = sorted((published / "schema/test/config/good").glob("*.json"))
    return [*engine_configs.values(), *(json.loads(path.read_bytes()) for path in samples)]


def test_the_checked_in_module_is_what_the_table_gives() -> None:
    assert generate.TARGET.read_text(encoding="utf-8") == generate.source(), "run python -m ocirun_spec.generate"
    assert generate.main(["--check"]) == 0


def test_configs_of_engines_are_accepted(engine_configs: dict[str, dict[str, Any]]) -> None:
    for name, config in engine_configs.items():
        assert accept(config) is None, name
        assert rules.check(config) == [], name
        assert accept_process(config["process"]) is None, name
        assert rules.check_process(config["process"]) == [], name
        assert accept_resources(config["linux"]["resources"]) is None, name


def test_parts_are_judged_on_their_own() -> None:
    assert accept_process({"cwd": "/"}) is None
    assert accept_process({}) == "/cwd"
    assert accept_process([]) == ""
    assert accept_process({"cwd": "/", "user": {"uid": True}}) == "/user/uid"
    assert accept_resources({"pids": {"limit": 1.0}}) == "/pids/limit"
    process = schema.validator(schema.process_schema())
    assert process.is_valid({"cwd": "/"})
    assert not process.is_valid({})


def test_a_large_config_is_judged_quickly(engine_configs: dict[str, dict[str, Any]]) -> None:
    largest = max(engine_configs.values(), key=lambda config: len(json.dumps(config)))
    assert len(json.dumps(largest)) > 10_000
    times = []
    for _ in range(100):
        start = time.perf_counter()
        accept(largest)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.0003
