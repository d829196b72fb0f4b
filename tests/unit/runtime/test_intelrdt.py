"""linux.intelRdt: what is planned and refused, and how resctrl is found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import destroy, join, state
from ocirun.errors import Failure
from ocirun.kernel.process import start_time
from ocirun.linux import intelrdt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocirun.facts import Facts
    from ocirun.plan import Plan
    from ocirun.request import Request

MOUNTS = rb"""
21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
30 21 0:5 / /mnt/resctrl rw - tmpfs resctrl rw
31 21 0:6 /gold /mnt/part rw - resctrl resctrl rw
32 21 0:6 / /sys/fs/re\040sctrl rw,nosuid shared:9 master:2 - resctrl none rw
33 21 0:6 / /second rw - resctrl none rw
"""


@pytest.fixture
def with_resctrl(facts: Facts) -> None:
    facts._resctrl = "/nowhere/resctrl"


def test_it_is_found_by_its_type() -> None:
    assert intelrdt.parse(MOUNTS, lambda _point: True) == "/sys/fs/re sctrl"
    assert intelrdt.parse(MOUNTS, lambda point: point == "/second") == "/second"
    assert intelrdt.parse(MOUNTS, lambda _point: False) == ""


def test_a_covered_mount_does_not_count() -> None:
    assert not intelrdt._is_resctrl("/")
    assert not intelrdt._is_resctrl("/nowhere")


@pytest.mark.parametrize("wanted", [{}, {"closID": "gold"}])
def test_without_resctrl_it_is_refused(
    composed: Callable[..., Plan], config: dict[str, Any], facts: Facts, wanted: dict[str, str]
) -> None:
    facts._resctrl = ""
    config["linux"]["intelRdt"] = wanted
    with pytest.raises(Failure) as caught:
        composed(config)
    assert str(caught.value) == "/linux/intelRdt: no resctrl filesystem is mounted"
    assert caught.value.hint


@pytest.mark.usefixtures("with_resctrl")
def test_it_is_made_before_the_clone_and_entered_after_it(
    composed: Callable[..., Plan], config: dict[str, Any]
) -> None:
    config["linux"]["intelRdt"] = {}
    plan = composed(config)
    outside, adopt = ([step.room for step in steps] for steps in (plan.outside, plan.adopt))
    assert outside.index("intelrdt") > outside.index("cgroup")
    assert [step.deed for step in plan.outside if step.room == "intelrdt"] == ["make"]
    assert [step.deed for step in plan.adopt if step.room == "intelrdt"] == ["enter"]
    assert "intelrdt" not in [step.room for step in plan.inside]
    assert len(adopt) > 1


@pytest.mark.usefixtures("with_resctrl")
def test_without_the_property_nothing_is_planned(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    plan = composed(config)
    assert "intelrdt" not in [step.room for step in (*plan.outside, *plan.adopt)]


def chosen(ident: str = "box", **members: Any) -> intelrdt.Class:
    made, _entered = intelrdt.plan({"linux": {"intelRdt": members}}, ident, "/r")
    found = made[0].args[0]
    assert isinstance(found, intelrdt.Class)
    return found


def test_directories() -> None:
    assert (chosen().group, chosen().named) == ("/r/box", False)
    assert (chosen(closID="").group, chosen(closID="").named) == ("/r/box", False)
    assert (chosen(closID="gold").group, chosen(closID="gold").named) == ("/r/gold", True)
    assert (chosen(closID="/").group, chosen(closID="/").named) == ("/r", True)
    assert chosen().monitor == ""
    assert chosen(enableMonitoring=True).monitor == "/r/box/mon_groups/box"
    assert chosen(enableMonitoring=True, closID="gold").monitor == "/r/gold/mon_groups/box"
    assert chosen(enableMonitoring=True, closID="/").monitor == "/r/mon_groups/box"


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/gold", "../etc", "info", "mon_groups", "mon_data", "a\nb"])
def test_names_that_no_class_can_have(name: str) -> None:
    with pytest.raises(Failure) as caught:
        chosen(closID=name)
    assert caught.value.where == "/linux/intelRdt/closID"


def test_an_id_that_is_no_class() -> None:
    with pytest.raises(Failure) as caught:
        chosen("info")
    assert caught.value.where == "/linux/intelRdt"
    assert chosen("info", closID="gold").group == "/r/gold"


def test_a_schemata_file_as_a_table() -> None:
    text = "    L3:0=7ff;1=1f\n    MB:0= 30;1=100\n"
    assert intelrdt.table(text) == {("L3", "0"): "7ff", ("L3", "1"): "1f", ("MB", "0"): "30", ("MB", "1"): "100"}


@pytest.mark.parametrize(
    ("resource", "wanted", "found", "step", "equal"),
    [
        ("L3", "7FF", "7ff", 0, True),
        ("L3", "0f", "f", 0, True),
        ("L3", "10", "16", 0, False),
        ("L3", "f", "", 0, False),
        ("MB", "30", "30", 10, True),
        ("MB", "21", "30", 10, True),
        ("MB", "31", "30", 10, False),
        ("MB", "21", "30", 0, False),
        ("L3", "x", "x", 0, True),
        ("MB", "x", "1", 10, False),
    ],
)
def test_values_that_mean_the_same(resource: str, wanted: str, found: str, step: int, equal: bool) -> None:
    assert intelrdt.same(resource, wanted, found, step) == equal


@pytest.mark.parametrize(("phase", "left"), [(state.CREATING, []), (state.RUNNING, ["gold"])])
def test_delete_takes_a_closid_back_only_after_a_create_that_was_killed(
    tmp_path: Path, phase: str, left: list[str]
) -> None:
    entry = state.Entry("box", str(tmp_path), -1)
    for name in ("gold", "mon"):
        (tmp_path / name).mkdir()
    groups = {"group": f"{tmp_path}/gold", "monitor": f"{tmp_path}/mon", "made": True, "named": True}
    entry.record = {"id": "box", "phase": phase, "intelRdt": groups}
    assert destroy.release(entry) == []
    assert os.listdir(tmp_path) == left


@pytest.mark.parametrize("classed", [False, True])
def test_exec_enters_the_class_of_its_container(
    config: dict[str, Any], facts: Facts, make_request: Callable[..., Request], classed: bool
) -> None:
    me = os.getpid()
    entry = state.Entry("box", "/nowhere", -1)
    entry.record = {"id": "box", "phase": state.RUNNING, "pid": me, "start": start_time(me), "cgroup": None}
    if classed:
        entry.record["intelRdt"] = {"group": "/r/gold", "monitor": "", "made": False, "named": True}
    plan = join.compose(entry, config, config["process"], facts, make_request("exec", "true"), [])
    assert ("intelrdt" in [step.room for step in plan.adopt]) == classed
