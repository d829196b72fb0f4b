"""linux.resources on cgroup v1 and in the cgroup2 of a hybrid host: pids, blockIO, hugepageLimits, network, rdma."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.limits import MIB, TOP, controller, limited, needs_file, refusal, seen, unified_controllers
from support import facility
from support.bundle import with_shell
from support.disk import Disk, loop_disk
from support.facility import need, requires
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

THROTTLES = {
    "throttleReadBpsDevice": "read_bps",
    "throttleWriteBpsDevice": "write_bps",
    "throttleReadIOPSDevice": "read_iops",
    "throttleWriteIOPSDevice": "write_iops",
}


def pids() -> str:
    return controller("pids")


def blkio() -> str:
    return controller("blkio")


def hugetlb() -> str:
    return "" if "hugetlb" in unified_controllers() else "not this lane: needs hugetlb in the cgroup2 of a hybrid host"


def not_mounted(name: str) -> str:
    """Whether the controller is nowhere."""
    gone = not (TOP / name).exists() and name not in unified_controllers()
    return "" if gone else f"not this lane: the controller {name} is there"


@requires(pids)
@pytest.mark.parametrize(("limit", "value"), [(20, "20"), (0, "0"), (-1, "max")])
def test_pids_limit_is_in_the_container_s_cgroup(box: Box, limit: int, value: str) -> None:
    script = "read x </sys/fs/cgroup/pids/pids.max; echo $x"
    assert box.shell(script, limited(box, {"pids": {"limit": limit}})).strip() == value


@pytest.fixture
def disk(box: Box) -> Iterator[Disk]:
    """Free when the containers are gone."""
    with loop_disk(box.directory / "disk") as found:
        yield found
        box.runtime.remove_all()


@requires(blkio)
def test_throttles_are_in_the_container_s_cgroup(box: Box, disk: Disk) -> None:
    files = {
        f"blkio/blkio.throttle.{word}_device": f"{disk.number} {at}024" for at, word in enumerate(THROTTLES.values(), 1)
    }
    entries = {name: [{**disk.entry, "rate": int(f"{at}024")}] for at, name in enumerate(THROTTLES, 1)}
    assert seen(box, {"blockIO": entries}, *files) == files


@requires(blkio)
def test_a_weight_is_in_the_container_s_cgroup(box: Box) -> None:
    file = "blkio/blkio.bfq.weight"
    if needs_file("blkio/blkio.weight"):
        need(lambda: needs_file(file))
    else:
        file = "blkio/blkio.weight"
    assert seen(box, {"blockIO": {"weight": 321}}, file)[file].split()[-1] == "321"


@requires(blkio)
def test_a_device_s_weight_is_in_the_container_s_cgroup(box: Box, disk: Disk) -> None:
    """BFQ weighs only the devices that it schedules."""
    queue = disk.scheduler
    if "bfq" not in queue.read_text():
        pytest.skip("not this lane: this kernel has no BFQ")
    queue.write_text("bfq")
    file = "blkio/blkio.bfq.weight_device"
    found = seen(box, {"blockIO": {"weightDevice": [{**disk.entry, "weight": 321}]}}, file)
    assert f"{disk.number} 321" in found[file]


@requires(blkio)
def test_a_device_without_weights_refuses_one(box: Box, disk: Disk) -> None:
    queue = disk.scheduler
    queue.write_text("none")
    sentence = refusal(box, {"blockIO": {"weightDevice": [{**disk.entry, "weight": 321}]}})
    assert "/linux/resources/blockIO/weightDevice/0/weight: write " in sentence


@requires(blkio)
@pytest.mark.parametrize(
    ("block_io", "words"),
    [
        ({"leafWeight": 300}, "/leafWeight: this kernel's cgroups have no file blkio.leaf_weight"),
        (
            {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 300}]},
            "/weightDevice/0/leafWeight: this kernel's cgroups have no file blkio.leaf_weight_device",
        ),
        ({"throttleReadBpsDevice": [{"major": 99, "minor": 7, "rate": 5}]}, "/throttleReadBpsDevice/0/rate: write "),
        ({"weightDevice": [{"major": 8, "minor": 0}]}, "/weightDevice/0: "),
        ({"weight": 1001}, "/weight: write 1001 to "),
    ],
    ids=json.dumps,
)
def test_what_the_kernel_s_block_layer_lacks_is_refused(box: Box, block_io: dict[str, Any], words: str) -> None:
    if not needs_file("blkio/blkio.leaf_weight"):
        pytest.skip("not this lane: a kernel before 5.0, which has CFQ")
    assert f"/linux/resources/blockIO{words}" in refusal(box, {"blockIO": block_io})


INCOMPLETE: list[tuple[str, dict[str, Any], str]] = [
    ("blockIO/weightDevice", {"minor": 0, "weight": 9}, "major"),
    ("blockIO/weightDevice", {"major": 8, "weight": 9}, "minor"),
    ("blockIO/weightDevice", {"major": 8, "minor": 0}, "weight"),
    *((f"blockIO/{name}", {"minor": 0, "rate": 9}, "major") for name in THROTTLES),
    *((f"blockIO/{name}", {"major": 8, "rate": 9}, "minor") for name in THROTTLES),
    *((f"blockIO/{name}", {"major": 8, "minor": 0}, "rate") for name in THROTTLES),
    ("hugepageLimits", {"limit": 4 * MIB}, "pageSize"),
    ("hugepageLimits", {"pageSize": "2MB"}, "limit"),
    ("network/priorities", {"priority": 5}, "name"),
    ("network/priorities", {"name": "lo"}, "priority"),
]


@pytest.mark.parametrize(("place", "entry", "lacking"), INCOMPLETE, ids=[f"{at}-{what}" for at, _, what in INCOMPLETE])
def test_an_incomplete_entry_is_refused(box: Box, place: str, entry: dict[str, Any], lacking: str) -> None:
    first, _, second = place.partition("/")
    sentence = refusal(box, {first: {second: [entry]} if second else [entry]})
    assert f"/linux/resources/{place}/0" in sentence
    assert lacking in sentence.rpartition("/linux/resources/")[2]


def test_an_rdma_entry_without_a_limit_is_refused(box: Box) -> None:
    sentence = refusal(box, {"rdma": {"mlx5_1": {}}})
    assert "/linux/resources/rdma/mlx5_1: the entry has neither hcaHandles nor hcaObjects" in sentence


@pytest.fixture
def unified() -> Iterator[None]:
    """Enabling hugetlb for the container's cgroup is taken back."""
    need(hugetlb)
    file = TOP / "unified/cgroup.subtree_control"
    before = file.read_text().split()
    yield
    if "hugetlb" not in before:
        file.write_text("-hugetlb")


@pytest.mark.usefixtures("unified")
def test_huge_pages_are_limited_in_the_cgroup2_of_a_hybrid_host(box: Box) -> None:
    """As reservations and as pages in use."""
    limits = [{"pageSize": "2MB", "limit": 4 * MIB}, {"pageSize": "1GB", "limit": 0}]
    files = {
        "unified/hugetlb.2MB.max": str(4 * MIB),
        "unified/hugetlb.2MB.rsvd.max": str(4 * MIB),
        "unified/hugetlb.1GB.max": "0",
        "unified/hugetlb.1GB.rsvd.max": "0",
    }
    assert seen(box, {"hugepageLimits": limits}, *files) == files


@pytest.mark.usefixtures("unified")
def test_a_page_size_that_there_is_not_is_refused(box: Box) -> None:
    sentence = refusal(box, {"hugepageLimits": [{"pageSize": "3MB", "limit": MIB}]})
    assert "/linux/resources/hugepageLimits/0/limit: this kernel's cgroups have no file hugetlb.3MB." in sentence


@pytest.mark.parametrize(
    ("name", "resources", "where"),
    [
        ("net_cls", {"network": {"classID": 0x100001}}, "/network/classID"),
        ("net_prio", {"network": {"priorities": [{"name": "lo", "priority": 5}]}}, "/network/priorities/0"),
        ("rdma", {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}}, "/rdma/mlx5_1"),
        ("rdma", {"rdma": {"a/b": {"hcaObjects": 1}}}, "/rdma/a~1b"),
    ],
)
def test_a_limit_without_its_controller_is_refused(box: Box, name: str, resources: dict[str, Any], where: str) -> None:
    need(facility.cgroup_v1, lambda: not_mounted(name))
    words = f"needs the cgroup v1 controller {name}, which is not mounted"
    sentence = refusal(box, resources)
    assert f"/linux/resources{where}: " in sentence
    assert words in sentence


NETWORK = "net_cls,net_prio"
PRIVATE = ("unshare", "-m", "--propagation", "private", "sh", "-c")


def network_hierarchy() -> str:
    """Whether the kernel has the controllers, and nobody uses them."""
    rows = dict(line.split("\t")[:2] for line in Path("/proc/cgroups").read_text().splitlines()[1:])
    if "net_cls" not in rows or "net_prio" not in rows:
        return "not this lane: this kernel has no net_cls and net_prio"
    return "" if rows["net_cls"] == rows["net_prio"] == "0" else "not this lane: net_cls or net_prio is in use"


def gone() -> bool:
    """A v1 hierarchy stays after its last mount when the kernel was still clearing away a cgroup of it.

    Mounted once more, it can go, a moment later.
    """
    try:
        wait_for(lambda: not network_hierarchy(), deadline=1.0)
    except AssertionError:
        subprocess.run([*PRIVATE, f"mount -t cgroup -o {NETWORK} none /mnt && umount /mnt"], check=True)
        return False
    return True


@pytest.fixture
def network_controllers() -> Iterator[None]:
    """May be mounted in a mount namespace of a test's own."""
    need(facility.cgroup_v1, network_hierarchy)
    yield
    wait_for(gone, what="the hierarchy of the network controllers to be gone")


@pytest.mark.usefixtures("network_controllers")
def test_network_class_and_priorities(box: Box) -> None:
    """With the controllers mounted for this runtime alone; the names are of the host's network devices."""
    network = {"classID": 0x100001, "priorities": [{"name": "lo", "priority": 7}]}
    there = box.directory / "net"
    there.mkdir()
    inside = "/sys/fs/cgroup/net_cls"
    script = f"cat {inside}/net_cls.classid; grep lo {inside}/net_prio.ifpriomap; grep net_ /proc/self/cgroup"
    bundle = box.write(with_shell(limited(box, {"network": network}), script))
    words = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "--bundle", str(bundle), box.ident]
    mounted = f"mount -t cgroup -o {NETWORK} none {there} && {shlex.join(words)}; umount {there}"
    done = subprocess.run(
        [*PRIVATE, mounted], check=False, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:2] == [str(0x100001), "lo 7"]
    assert lines[2].endswith(f":{NETWORK}:/")
