"""linux.resources.unified on a hybrid host: files of the cgroup2, where most controllers are on cgroup v1."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from process.limits import MIB, TOP, refusal, seen, unified_controllers
from support import facility
from support.facility import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]
ROOT = TOP / "unified/cgroup.subtree_control"


def hybrid() -> str:
    """Memory is a controller of cgroup v1, and cgroup2 is mounted beside."""
    there = ROOT.exists() and "memory" not in unified_controllers()
    return "" if there else "not this lane: needs a cgroup2 beside cgroup v1"


@pytest.fixture(autouse=True)
def _hybrid() -> Iterator[None]:
    need(facility.cgroup_v1, hybrid)
    before = ROOT.read_text().split()
    yield
    for name in set(ROOT.read_text().split()) - set(before):
        ROOT.write_text(f"-{name}")


def hugetlb() -> str:
    return "" if "hugetlb" in unified_controllers() else "not this lane: needs hugetlb in the cgroup2"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"cgroup.max.depth": "3"}, {"cgroup.max.depth": "3"}),
        ({"cgroup.max.descendants": "1\n2\n"}, {"cgroup.max.descendants": "2"}),
        ({"cgroup.max.depth": "4", "cgroup.max.descendants": "5"}, {"cgroup.max.depth": "4"}),
    ],
)
def test_a_file_of_every_cgroup_is_written(box: Box, written: dict[str, str], shown: dict[str, str]) -> None:
    found = seen(box, {"unified": written}, *(f"unified/{name}" for name in shown))
    assert found == {f"unified/{name}": value for name, value in shown.items()}


def test_a_controller_is_enabled_for_the_container(box: Box) -> None:
    """Of which the runtime knows nothing but the name before the dot."""
    need(hugetlb)
    if "hugetlb" in ROOT.read_text().split():
        ROOT.write_text("-hugetlb")
    file = "unified/hugetlb.2MB.max"
    assert seen(box, {"unified": {"hugetlb.2MB.max": str(2 * MIB)}}, file) == {file: str(2 * MIB)}
    assert "hugetlb" in ROOT.read_text().split()


def test_an_empty_value_reaches_the_file(box: Box) -> None:
    """What it means there is the kernel's to say: a limit of 0."""
    need(hugetlb)
    assert seen(box, {"unified": {"hugetlb.2MB.max": ""}}, "unified/hugetlb.2MB.max").popitem()[1] == "0"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"memory.max": "5"}, "/memory.max: memory.max needs the cgroup v2 controller memory, which "),
        ({"imagined.max": "5"}, "/imagined.max: imagined.max needs the cgroup v2 controller imagined, which "),
        ({"nothing": ""}, "/nothing: nothing needs the cgroup v2 controller nothing"),
        ({"cgroup.imagined": "5"}, "/cgroup.imagined: this kernel's cgroups have no file cgroup.imagined"),
        ({"cgroup.max.depth": "-3"}, "/cgroup.max.depth: write -3 to cgroup.max.depth "),
        ({"../cgroup.max.depth": "3"}, "/..~1cgroup.max.depth: "),
        ({"": "3"}, "/: "),
        ({"cgroup.procs": "0"}, "/cgroup.procs: cgroup.procs is the runtime's to write"),
        ({"cgroup.freeze": "1"}, "/cgroup.freeze: cgroup.freeze is the runtime's to write"),
        ({"cgroup.subtree_control": "+hugetlb"}, "/cgroup.subtree_control: cgroup.subtree_control is the runtime's"),
    ],
    ids=json.dumps,
)
def test_what_cannot_be_written_is_refused(box: Box, written: dict[str, str], words: str) -> None:
    assert f"/linux/resources/unified{words}" in refusal(box, {"unified": written})
