"""Every property of config.json has an owner that exists; what the table calls refused is refused, the rest is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from meta.sources import modules

from ocirun.bundle import Bundle
from ocirun.cli import Arguments
from ocirun.errors import Failure, NotSupported
from ocirun.facts import Facts
from ocirun.linux import lsm
from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy
from ocirun.plan import compose
from ocirun.request import Request
from ocirun_spec import accept
from ocirun_spec.properties import CONFIG, Property, by_pointer

pytestmark = [pytest.mark.meta]

ELSEWHERE = {
    "bundle": "ocirun.bundle",
    "root": "ocirun.linux.rootfs",
    "process": "ocirun.linux.program",
    "hooks": "ocirun.hooks",
    "annotations": "ocirun.state",
}
"""Owners whose module is not called like them."""
CONTROLLERS = ("cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "pids", "hugetlb", "rdma")
STRINGS = {
    "one line": "x", "cpu list": "0", "MB line": "MB:0=1", "capability": "CAP_KILL", "page size": "2MB",
    "device access": "rwm",
}  # fmt: skip
VALUES: dict[str, Any] = {
    "/process": {"cwd": "/", "args": ["true"], "noNewPrivileges": True},
    "/process/rlimits/*/type": "RLIMIT_CORE",
    "/linux/devices/*": {"type": "c", "path": "/dev/x", "major": 1, "minor": 2},
}
"""Where the rules ask for more than the schema."""
NOTIFY_ONLY = ("/linux/seccomp/listenerPath", "/linux/seccomp/listenerMetadata")
ROWS = by_pointer(CONFIG)


def leaf(row: Property) -> Any:
    """A value that asks for something."""
    if row.kind == "boolean":
        return True
    if row.kind == "integer":
        assert row.high is not None
        return min(row.high, 7)
    if row.choices:
        return row.choices[0]
    return STRINGS.get(row.pattern, "x")


def value(pointer: str) -> Any:
    """The smallest value of a property, with what it requires."""
    if pointer in VALUES:
        return copy.deepcopy(VALUES[pointer])
    row = ROWS[pointer]
    if row.kind == "array":
        return [value(f"{pointer}/*")]
    if row.kind == "map":
        return {"boottime": value(f"{pointer}/*")}
    if row.kind == "opaque":
        return {"x": 1}
    if row.kind == "object":
        return {name: value(f"{pointer}/{name}") for name in row.required}
    return leaf(row)


def minimal() -> dict[str, Any]:
    return {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"], "noNewPrivileges": True},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    }


def config_with(pointer: str) -> dict[str, Any]:
    """A config that is minimal but for this one property."""
    config = minimal()
    here: Any = config
    at = ""
    *parents, last = pointer.split("/")[1:]
    for name in parents:
        at += f"/{name}"
        if name == "*":
            here = here[0] if isinstance(here, list) else here["boottime"]
        else:
            here = here.setdefault(name, value(at))
    if last != "*":
        here[last] = value(pointer)
    if pointer in NOTIFY_ONLY:
        config["linux"]["seccomp"]["syscalls"] = [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]
    return config


def plan(config: dict[str, Any]) -> None:
    facts = Facts()
    facts.euid = 0
    facts._effective = (1 << 41) - 1
    facts._initial_userns = True
    v1 = [Hierarchy((name,), f"/nowhere/{name}", "/") for name in CONTROLLERS]
    facts._cgroups = Hierarchies(v1, Hierarchy((), "/nowhere/unified", "/"))
    arguments = Arguments("create")
    arguments.positionals = ["ident"]
    compose(Bundle("/bundle", "", config), facts, Request(arguments, Arguments(""), "/nowhere"))


@pytest.fixture(autouse=True)
def _all_security_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsm, "apparmor_enabled", lambda: True)
    monkeypatch.setattr(lsm, "selinux_enabled", lambda: True)


@pytest.mark.parametrize("owner", sorted({row.owner for row in CONFIG if row.status == "applied"}))
def test_who_applies_something_is_there(owner: str) -> None:
    assert ELSEWHERE.get(owner, f"ocirun.linux.{owner}") in modules()


def test_a_minimal_config_is_acceptable_and_planned() -> None:
    assert accept.accept(minimal()) is None
    plan(minimal())


@pytest.mark.parametrize("row", [row for row in CONFIG if row.status == "refused"], ids=lambda row: row.pointer)
def test_what_the_table_calls_refused_is_refused(row: Property) -> None:
    config = config_with(row.pointer)
    # An object that names nothing asks for nothing.
    if row.kind == "object" and not row.required and not row.pointer.endswith("*"):
        return
    with pytest.raises(NotSupported) as caught:
        plan(config)
    where = caught.value.where
    assert where in ROWS, where
    assert row.pointer.startswith(where), where


@pytest.mark.parametrize(
    "row", [row for row in CONFIG if row.status != "refused" and row.pointer], ids=lambda row: row.pointer
)
def test_what_the_table_calls_applied_is_not_refused_as_unsupported(row: Property) -> None:
    try:
        plan(config_with(row.pointer))
    except NotSupported as problem:
        pytest.fail(f"{row.pointer} is {row.status} by the table, and {problem}")
    except Failure:
        # The value may be wrong for other reasons; those are told apart by their type.
        return
