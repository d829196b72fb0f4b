"""The same doors everywhere: a step's function lives beside its planner and takes the step and one side's view."""

from __future__ import annotations

import ast

import pytest
from meta.sources import modules, parsed, statements, subsystem

from ocirun.explaining.calls import CALLS

pytestmark = [pytest.mark.meta]

VIEW = {"OutsideStep": "host", "InsideStep": "scene"}


def calls(module: str) -> list[tuple[str, ast.Call]]:
    """(kind of step, the call that makes it)."""
    return [
        (node.func.id, node)
        for node in ast.walk(parsed(modules()[module]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in VIEW
    ]


def functions(module: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in parsed(modules()[module]).body if isinstance(node, ast.FunctionDef)}


def in_package(module: str) -> dict[str, ast.FunctionDef]:
    """The functions that a module defines, and those that it imports by name from beside it."""
    found = functions(module)
    for node in statements(module, lazily=False):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module in modules()
            and subsystem(node.module) == subsystem(module)
        ):
            there = functions(node.module)
            found.update({alias.name: there[alias.name] for alias in node.names if alias.name in there})
    return found


PLANNERS = [name for name in modules() if subsystem(name) and calls(name)]
OTHERS = {"ocirun.join", "ocirun.mounting", "ocirun.tracing.recorder"}
"""`exec` and `mounts` enter a running container, each in an order of its own; --trace puts marks between the steps."""


@pytest.mark.parametrize("module", PLANNERS)
def test_each_step_is_done_by_a_function_beside_its_planner(module: str) -> None:
    for kind, call in calls(module):
        do = call.args[0]
        assert isinstance(do, ast.Name), f"{module}:{call.lineno}"
        known = in_package(module)
        assert do.id in known, f"{module}:{call.lineno}: {do.id} is not a function of this subsystem"
        names = [argument.arg.lstrip("_") for argument in known[do.id].args.args]
        assert names == ["step", VIEW[kind]], f"{module}.{do.id}"
        assert not do.id.startswith("_"), f"{module}.{do.id} is a door"


@pytest.mark.parametrize("module", PLANNERS)
def test_each_step_has_a_pointer_and_a_text(module: str) -> None:
    for _kind, call in calls(module):
        assert len(call.args) >= 3, f"{module}:{call.lineno}"
        assert not call.keywords, f"{module}:{call.lineno}"


def test_only_subsystems_make_steps() -> None:
    assert {name for name in modules() if not subsystem(name) and calls(name)} == OTHERS


def test_each_step_can_be_explained() -> None:
    """`explain` knows the calls of every step that a subsystem makes, and of no other."""
    made = {
        f"{subsystem(module)}.{call.args[0].id}"
        for module in PLANNERS
        for _kind, call in calls(module)
        if isinstance(call.args[0], ast.Name)
    }
    assert set(CALLS) == made | {"cgroup.attach", "cgroup.close_doors"}


def test_there_is_something_to_look_at() -> None:
    assert {subsystem(name) for name in PLANNERS} >= {"mounts", "cgroup", "seccomp", "credentials", "namespaces"}


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("ocirun")])
def test_every_module_and_public_function_says_what_it_is(module: str) -> None:
    tree = parsed(modules()[module])
    assert ast.get_docstring(tree), module
    for name, node in functions(module).items():
        assert name.startswith("_") or ast.get_docstring(node), f"{module}.{name}"
