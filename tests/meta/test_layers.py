"""Who may import whom."""

from __future__ import annotations

import sys

import pytest
from meta.sources import imported, modules, subsystem

pytestmark = [pytest.mark.meta]

HOT = ("create", "run", "start", "exec", "state", "kill", "delete")
COLD = (
    "ocirun.answering", "ocirun.cold", "ocirun.explained", "ocirun.hints", "ocirun.installing", "ocirun.library",
    "ocirun.manual", "ocirun.manual.mistakes", "ocirun.several", "ocirun_spec.cautions", "ocirun_spec.positions",
    "ocirun_spec.problem", "ocirun_spec.problems", "ocirun.linux.cgroup.systemd.bus",
    "ocirun.linux.seccomp.build", "ocirun.tracing.recorder",
)  # fmt: skip
"""Imported inside a function, where the hot way has ended: a person waits, or a compiler or systemd is asked."""
ALLOWED = {
    "_blake2", "_ocirun", "_operator", "_posixsubprocess", "_signal", "_socket", "_struct", "errno", "fcntl",
    "itertools", "marshal", "os", "posix", "select", "stat", "sys", "time",
}  # fmt: skip
DOORS = {"ocirun.kernel.raw": {"ocirun.kernel.fallback"}, "ocirun_spec.jsontext": {"ocirun_spec.fallback"}}
"""What stands in for the launcher's own module, when there is no launcher."""


def reachable(start: str) -> dict[str, str]:
    """The modules that `start` can come to load without the cold ones, each with the one that imports it."""
    found = {start: ""}
    left = [start]
    while left:
        module = left.pop()
        for name in imported(module) - set(COLD) - DOORS.get(module, set()):
            parents = [name.rpartition(".")[0]] if "." in name else []
            for each in (name, *parents):
                if each not in found:
                    found[each] = module
                    if each in modules():
                        left.append(each)
    return found


@pytest.mark.parametrize("module", [name for name in modules() if subsystem(name)])
def test_subsystems_do_not_import_each_other(module: str) -> None:
    others = {subsystem(name) for name in imported(module)} - {"", subsystem(module)}
    assert others == set()


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("ocirun.kernel")])
def test_the_kernel_family_knows_nothing_above_it(module: str) -> None:
    above = {name for name in imported(module) if name.startswith("ocirun") and not name.startswith("ocirun.kernel")}
    assert above == set()


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("ocirun_spec")])
def test_the_specification_knows_no_runtime(module: str) -> None:
    assert {name for name in imported(module) if name.split(".")[0] == "ocirun"} == set()


@pytest.mark.parametrize("module", [name for name in modules() if subsystem(name)])
def test_subsystems_know_no_command_and_no_process(module: str) -> None:
    above = ("ocirun.commands", "ocirun.plan", "ocirun.parent", "ocirun.init", "ocirun.cli", "ocirun.join")
    assert {name for name in imported(module) if name.startswith(above)} == set()


@pytest.mark.parametrize("command", HOT)
def test_hot_commands_can_load_only_what_is_allowed(command: str) -> None:
    found = {**reachable("ocirun.cli"), **reachable(f"ocirun.commands.{command}")}
    foreign = {name: by for name, by in found.items() if name.split(".")[0] not in ("ocirun", "ocirun_spec")}
    assert {name: by for name, by in foreign.items() if name not in ALLOWED} == {}


def test_cold_modules_are_imported_in_functions_only() -> None:
    for module in modules():
        if module in COLD or module.startswith(
            ("ocirun_spec.", "ocirun.linux.seccomp", "ocirun.checks", "ocirun.installing.", "ocirun.manual.")
        ):
            continue
        assert imported(module, lazily=False) & set(COLD) == set(), module


def test_the_lists_name_what_is_there() -> None:
    assert set(COLD) <= set(modules())
    assert set(ALLOWED - {"_ocirun"}) <= set(sys.stdlib_module_names)
    assert "os" in reachable("ocirun.commands.create")
    assert "ocirun.linux.mounts.copyup" in reachable("ocirun.commands.create")
