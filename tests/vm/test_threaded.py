"""Threaded cgroups (cgroups(7)): no process can live in one, so a container refuses it and leaves it as it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_cgroup
from vm.groups import MIB, Group, group_of, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.box import Box

CONTROLLERS = "cgroup.subtree_control"
LIMITS: list[dict[str, Any]] = [{}, {"pids": {"limit": 9}}, {"memory": {"limit": 64 * MIB}}]


def state_of(group: Path) -> list[str]:
    """The cgroups below, and the controllers that are enabled for them, above them too."""
    return [*(where for where, _, _ in os.walk(group)), read(group, CONTROLLERS), read(group.parent, CONTROLLERS)]


@pytest.fixture
def domain(box: Box) -> Iterator[Group]:
    """A domain with a threaded cgroup ``threads`` and a process beside it."""
    with Group(box.name("domain")) as group:
        (group.path / "threads").mkdir()
        (group.path / "threads/cgroup.type").write_text("threaded")
        assert read(group.path, "cgroup.type") == "domain threaded"
        yield group


@pytest.mark.parametrize("resources", LIMITS, ids=["nothing", "threaded", "domain"])
@pytest.mark.parametrize("path", ["threads", "threads/box", "box"])
def test_a_threaded_cgroup_is_refused(box: Box, domain: Group, path: str, resources: dict[str, Any]) -> None:
    """Itself, below it, and beside it, where a new cgroup takes no process either."""
    before = state_of(domain.path)
    config = with_cgroup(default_config(), f"{domain.name}/{path}", resources)
    sentence = one_sentence(box.create(config).expect(1))
    assert "/linux/cgroupsPath: " in sentence
    assert f"{domain.path}/{path} is of type {'threaded' if path == 'threads' else 'domain invalid'}" in sentence
    assert "needs a domain" in sentence
    assert state_of(domain.path) == before


def test_the_domain_of_threads_takes_a_container(box: Box, domain: Group) -> None:
    pid = box.start_sleeper(with_cgroup(default_config(), domain.name))
    assert group_of(pid) == domain.path
    assert box.exec("cat /proc/self/cgroup").ok().out == "0::/\n"
