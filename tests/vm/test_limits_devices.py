"""linux.resources on cgroup v2 that are about devices and pages: blockIO, hugepageLimits, rdma."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_bind, with_cgroup
from support.disk import Disk, loop_disk
from vm.groups import COUNTING, MIB, TOP, read

from ocirun.linux.cgroup.limits.blockio import io_weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config

RATES = {
    "throttleReadBpsDevice": 1024,
    "throttleWriteBpsDevice": 2048,
    "throttleReadIOPSDevice": 3072,
    "throttleWriteIOPSDevice": 4096,
}


def limited(box: Box, resources: dict[str, Any]) -> Config:
    return with_cgroup(default_config(), f"/{box.ident}", resources)


def shown(box: Box, resources: dict[str, Any], file: str) -> list[str]:
    """The lines of a file of the container's cgroup, as its program reads them."""
    return box.shell(f"cat /sys/fs/cgroup/{file}", limited(box, resources)).splitlines()


def refusal(box: Box, resources: dict[str, Any]) -> str:
    return one_sentence(box.create(limited(box, resources)).expect(1))


@pytest.fixture
def disk(box: Box) -> Iterator[Disk]:
    with loop_disk(box.directory / "disk") as found:
        yield found
        box.runtime.remove_all()


def test_throttles_are_one_line_of_io_max(box: Box, disk: Disk) -> None:
    entries = {name: [{**disk.entry, "rate": rate}] for name, rate in RATES.items()}
    line = f"{disk.number} rbps=1024 wbps=2048 riops=3072 wiops=4096"
    assert shown(box, {"blockIO": entries}, "io.max") == [line]


def test_a_rate_of_zero_is_no_limit(box: Box, disk: Disk) -> None:
    block_io = {
        "throttleReadBpsDevice": [{**disk.entry, "rate": 0}],
        "throttleWriteIOPSDevice": [{**disk.entry, "rate": 9}],
    }
    assert shown(box, {"blockIO": block_io}, "io.max") == [f"{disk.number} rbps=max wbps=max riops=max wiops=9"]


def test_lines_of_unified_are_written_one_by_one(box: Box, disk: Disk) -> None:
    value = f"{disk.number} rbps=4096\n{disk.number} wiops=7"
    line = f"{disk.number} rbps=4096 wbps=max riops=max wiops=7"
    assert shown(box, {"unified": {"io.max": value}}, "io.max") == [line]


def test_weights_of_the_cost_model(box: Box, disk: Disk) -> None:
    """io.weight, the range of which is another: for a device that the model is enabled for, and for the others."""
    assert not (TOP / "io.bfq.weight").exists()
    qos = TOP / "io.cost.qos"
    qos.write_text(f"{disk.number} enable=1")
    try:
        block_io = {"weight": 500, "weightDevice": [{**disk.entry, "weight": 100}]}
        expected = [f"default {io_weight(500)}", f"{disk.number} {io_weight(100)}"]
        assert shown(box, {"blockIO": block_io}, "io.weight") == expected == ["default 4950", f"{disk.number} 910"]
    finally:
        qos.write_text(f"{disk.number} enable=0")


@pytest.fixture
def bfq() -> Iterator[None]:
    """The scheduler with weights of its own, whose files come and go with its module."""
    subprocess.run(["modprobe", "bfq"], check=True)
    yield
    subprocess.run(["modprobe", "-r", "bfq"], check=True)


@pytest.mark.usefixtures("bfq")
def test_weights_of_bfq(box: Box, disk: Disk) -> None:
    """io.bfq.weight takes the numbers as they are."""
    disk.scheduler.write_text("bfq")
    try:
        block_io = {"weight": 500, "weightDevice": [{**disk.entry, "weight": 321}]}
        assert shown(box, {"blockIO": block_io}, "io.bfq.weight") == ["default 500", f"{disk.number} 321"]
    finally:
        disk.scheduler.write_text("none")


@pytest.mark.parametrize(
    ("member", "entry", "words"),
    [
        ("throttleReadBpsDevice", {"rate": 5}, "rate: write 99:7 rbps=5 to io.max "),
        ("weightDevice", {"weight": 100}, "weight: write 99:7 910 to io.weight "),
    ],
)
def test_a_device_that_there_is_not_is_refused(box: Box, member: str, entry: dict[str, int], words: str) -> None:
    sentence = refusal(box, {"blockIO": {member: [{"major": 99, "minor": 7, **entry}]}})
    assert f"/linux/resources/blockIO/{member}/0/{words}" in sentence


@pytest.fixture
def huge_pages() -> Iterator[None]:
    file = Path("/proc/sys/vm/nr_hugepages")
    file.write_text("8")
    assert int(file.read_text()) == 8
    yield
    file.write_text("0")


TAKE = """
import mmap
def take(pages):
    try:
        with mmap.mmap(-1, pages << 21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000) as memory:
            memory[0] = 1
        return "had"
    except OSError as problem:
        return problem.errno
print(take(2), take(3))
"""


@pytest.mark.usefixtures("huge_pages")
@pytest.mark.parametrize(("limits", "seen"), [([{"pageSize": "2MB", "limit": 4 * MIB}], "had 12"), ([], "had had")])
def test_huge_pages_are_limited_when_they_are_reserved(box: Box, limits: list[dict[str, Any]], seen: str) -> None:
    """mmap(2) says so with ENOMEM; without that limit the fault of a page would kill the program (SIGBUS)."""
    (box.rootfs / "lib").symlink_to("usr/lib")
    (box.rootfs / "lib64").symlink_to("usr/lib64")
    config = with_bind(limited(box, {"hugepageLimits": limits}), Path("/usr"), "/usr", "rbind", "ro")
    out = box.shell(f"cat /sys/fs/cgroup/hugetlb.2MB.*max 2>&1; /usr/bin/python3 -ISc '{TAKE}'", config)
    assert out.splitlines()[-1] == seen
    if limits:
        assert out.splitlines()[:2] == [str(4 * MIB)] * 2


def test_a_page_size_that_there_is_not_is_refused(box: Box) -> None:
    sentence = refusal(box, {"hugepageLimits": [{"pageSize": "3MB", "limit": MIB}]})
    assert "/linux/resources/hugepageLimits/0/limit: this kernel's cgroups have no file hugetlb.3MB.max" in sentence


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"hcaHandles": 3, "hcaObjects": 10000}, "hca_handle=3 hca_object=10000"),
        ({"hcaHandles": 0}, "hca_handle=0"),
        ({"hcaObjects": 77}, "hca_object=77"),
    ],
)
def test_an_rdma_device_that_there_is_not_is_refused(box: Box, entry: dict[str, int], line: str) -> None:
    """The kernel has the controller and looks for the device. One in software (rxe) would hang this kernel when it is
    taken away again.
    """
    sentence = refusal(box, {"rdma": {"mlx5_1": entry}})
    assert f"/linux/resources/rdma/mlx5_1: write mlx5_1 {line} to rdma.max " in sentence
    assert sentence.endswith("no such device")


def test_an_unlimited_container_has_what_counts_and_no_more(box: Box) -> None:
    """Else nobody could say what it uses."""
    before = set(read(TOP, "cgroup.subtree_control").split())
    shown = set(box.shell("cat /sys/fs/cgroup/cgroup.controllers", limited(box, {})).split())
    assert shown == before | COUNTING
    assert set(read(TOP, "cgroup.subtree_control").split()) == before | COUNTING
