"""A host that is not asked: facts of a root user on a hybrid cgroup host, and the request of a plain `create`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.bundle import REPOSITORY, default_config

from ocirun import options
from ocirun.bundle import Bundle
from ocirun.cli import Arguments
from ocirun.facts import Facts
from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy
from ocirun.plan import Plan, compose
from ocirun.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

Config = dict[str, Any]

CONTROLLERS = ("cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "pids", "hugetlb")
EVERYTHING = (1 << 41) - 1
SHARED = Path(os.environ.get("OCIRUN_SHARED", REPOSITORY.parent / "shared"))


def _hierarchies() -> Hierarchies:
    v1 = [Hierarchy((name,), f"/nowhere/{name}", "/") for name in CONTROLLERS]
    return Hierarchies(v1, Hierarchy((), "/nowhere/unified", "/"))


@pytest.fixture
def facts() -> Facts:
    """What root on an ordinary host finds out, set and never asked."""
    known = Facts()
    known.euid = 0
    known._effective = EVERYTHING
    known._initial_userns = True
    known._cgroups = _hierarchies()
    return known


@pytest.fixture
def plain_facts(facts: Facts) -> Facts:
    """What a user without any right finds out."""
    facts.euid = 1000
    facts._effective = 0
    facts._initial_userns = False
    return facts


@pytest.fixture
def make_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    """``make_request(command, *words)``: what the command line asks for, as `cli` reads it."""
    monkeypatch.delenv("LISTEN_FDS", raising=False)

    def make(name: str = "create", *words: str, **general: str) -> Request:
        from ocirun import cli

        command = next(each for each in options.COMMANDS if each.name == name)
        arguments = Arguments(name)
        cli.read(["ident", *words], command.options, arguments, -1)
        about = Arguments("")
        about.values = {key.replace("_", "-"): [value] for key, value in general.items()}
        return Request(arguments, about, str(tmp_path / "state"))

    return make


@pytest.fixture
def composed(facts: Facts, make_request: Callable[..., Request]) -> Callable[..., Plan]:
    """``composed(config, *words)``: the plan of a `create` of that config."""

    def make(config: Config, *words: str) -> Plan:
        return compose(Bundle("/bundle", "", config), facts, make_request("create", *words))

    return make


@pytest.fixture
def config() -> Config:
    return default_config()


@pytest.fixture(scope="session")
def engine_configs() -> dict[str, str]:
    """The texts of configs that real engines wrote, by file name."""
    folder = SHARED / "engine-configs"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there (OCIRUN_SHARED can name another place)")
    found = {path.name: path.read_text() for path in sorted(folder.glob("*.json"))}
    assert found
    assert all(isinstance(json.loads(text), dict) for text in found.values())
    return found
