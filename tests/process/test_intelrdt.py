"""linux.intelRdt with the built program: refused without resctrl, and the real thing where a machine has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import Config, default_config, with_hook

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def mounted() -> Path | None:
    """Where resctrl is."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "resctrl":
            return Path(fields[1])
    return None


@pytest.fixture
def tree() -> Path:
    """A mounted resctrl."""
    found = mounted()
    if found is None:
        pytest.skip("not this lane: needs a processor with Intel RDT or AMD QoS, and resctrl mounted")
    return found


def config_with(**members: Any) -> Config:
    config = default_config()
    config["linux"]["intelRdt"] = members
    return config


def schemata(group: Path) -> list[str]:
    return [line.strip() for line in (group / "schemata").read_text().splitlines()]


@pytest.mark.parametrize("members", [{}, {"closID": "/"}, {"schemata": ["L3:0=f"]}, {"enableMonitoring": True}])
def test_without_resctrl_it_is_an_error(box: Box, members: dict[str, Any]) -> None:
    if mounted():
        pytest.skip("not this lane: resctrl is mounted")
    before = box.snapshot()
    sentence = one_sentence(box.create(config_with(**members)).expect(1))
    assert sentence == f"create {box.ident}: /linux/intelRdt: no resctrl filesystem is mounted"
    before.assert_unchanged()


def test_the_containers_own_class(box: Box, tree: Path) -> None:
    pid = box.start_sleeper(config_with(schemata=schemata(tree)[:1]))
    group = tree / box.ident
    assert str(pid) in (group / "tasks").read_text().split()
    assert schemata(group)[:1] == schemata(tree)[:1]
    box.exec("true").ok()
    box.runtime.kill_and_delete(box.ident)
    assert not group.exists()


def test_an_existing_class(box: Box, tree: Path) -> None:
    group = tree / box.name("gold")
    group.mkdir()
    try:
        pid = box.start_sleeper(config_with(closID=group.name))
        assert str(pid) in (group / "tasks").read_text().split()
        box.runtime.kill_and_delete(box.ident)
        assert group.exists()
    finally:
        group.rmdir()


def test_monitoring(box: Box, tree: Path) -> None:
    if not (tree / "mon_groups").exists():
        pytest.skip("not this lane: the processor cannot monitor")
    pid = box.start_sleeper(config_with(closID="/", enableMonitoring=True))
    group = tree / "mon_groups" / box.ident
    assert str(pid) in (group / "tasks").read_text().split()
    box.runtime.kill_and_delete(box.ident)
    assert not group.exists()


def test_a_failed_create_leaves_no_class(box: Box, tree: Path) -> None:
    name = box.name("new")
    config = config_with(closID=name, schemata=schemata(tree)[:1])
    box.create(with_hook(config, "createRuntime", "/bin/false")).expect(1)
    assert not (tree / name).exists()
