"""The statistics of `events`: the numbers are those of the container's cgroups, wherever these are.

The tests run on cgroup v1, v2 and both at once.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.events import (
    ALL,
    MIB,
    NO_LIMIT,
    SECONDS,
    UNIFIED,
    Group,
    limited,
    running,
    stats,
)
from support.bundle import BUSYBOX, default_config, with_bind, without_namespace
from support.facility import need
from support.network import ip, veth
from support.runtime import wait_for

from ocirun.linux.cgroup import hierarchy

if TYPE_CHECKING:
    from collections.abc import Callable

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def steady(read: Callable[[], int], told: Callable[[], int]) -> None:
    """`told` says what `read` reads: the same before and after it was asked."""

    def agree() -> bool:
        before, said = read(), told()
        return before == said == read()

    wait_for(agree, SECONDS, "a number that the cgroup's own file has before and after")


def test_limits_and_what_is_used(box: Box) -> None:
    group = running(box, **ALL)
    data = stats(box)
    assert data["memory"]["usage"]["limit"] == 64 * MIB
    assert 0 < data["memory"]["usage"]["usage"] <= data["memory"]["usage"].get("max", 64 * MIB) <= 64 * MIB
    assert data["memory"]["swap"]["usage"] >= data["memory"]["usage"]["usage"]
    assert data["pids"] == {"current": 1, "limit": 50}
    assert data["cpu"]["throttling"].get("periods", 0) <= group.table("cpu", "cpu.stat", "cpu.stat")["nr_periods"]
    assert data["intel_rdt"] == {}
    assert data["memory"]["raw"].keys() == group.table("memory", "memory.stat", "memory.stat").keys()


def test_the_numbers_are_the_cgroups_own(box: Box) -> None:
    """Of a container that stands still, so that they do not change while they are compared."""
    group = running(box, **ALL)
    box.runtime.call("pause", box.ident).ok()
    memory = ("memory.usage_in_bytes", "memory.current")
    steady(lambda: group.number("memory", *memory), lambda: stats(box)["memory"]["usage"]["usage"])
    peak = ("memory.max_usage_in_bytes", "memory.peak")
    steady(lambda: group.number("memory", *peak), lambda: stats(box)["memory"]["usage"].get("max", 0))
    steady(lambda: group.number("pids", "pids.current", "pids.current"), lambda: stats(box)["pids"]["current"])
    steady(lambda: nanoseconds(group), lambda: stats(box)["cpu"]["usage"]["total"])
    failcnt = stats(box)["memory"]["usage"]["failcnt"]
    if "memory" in group.groups:
        assert failcnt == group.number("memory", "memory.failcnt", "")
    else:
        assert failcnt == group.table("memory", "", "memory.events")["max"]


def nanoseconds(group: Group) -> int:
    """Processor time of the container, from its cgroup's file."""
    if "cpuacct" in group.groups:
        return group.number("cpuacct", "cpuacct.usage", "")
    return group.table("cpuacct", "", "cpu.stat")["usage_usec"] * 1000


def test_without_a_limit(box: Box) -> None:
    """On cgroup v2 no controller is enabled then: what is not measured is 0 or left out, and the rest is there."""
    group = running(box)
    data = stats(box)
    assert data["cpu"]["usage"]["total"] > 0
    assert data["pids"] == {"current": 1}
    measured = group.path("memory", "memory.usage_in_bytes", "memory.current").exists()
    assert data["memory"]["usage"]["limit"] in (NO_LIMIT if measured else (0,))
    assert ("raw" in data["memory"]) == measured


def test_processor_time_grows_and_is_nanoseconds(box: Box) -> None:
    group = running(box, **ALL)
    before = stats(box)["cpu"]["usage"]
    box.exec("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").ok()
    after = stats(box)["cpu"]["usage"]
    assert before["total"] < after["total"] <= nanoseconds(group)
    assert after["user"] > before["user"]
    ticks = 2 * 10_000_000  # v1 counts user and kernel in these
    assert after["user"] + after["kernel"] <= nanoseconds(group) * 2 + ticks
    if "cpuacct" in group.groups:
        assert sum(after["percpu"]) == pytest.approx(after["total"], rel=0.5)
        assert len(after["percpu"]) == len(after["percpu_user"]) == len(after["percpu_kernel"])


def test_memory_grows_with_what_is_kept(box: Box) -> None:
    running(box, **ALL)
    before = stats(box)["memory"]
    box.exec("dd if=/dev/zero of=/dev/shm/kept bs=1M count=16 2>/dev/null").ok()
    after = stats(box)["memory"]
    assert after["usage"]["usage"] >= before["usage"]["usage"] + 15 * MIB
    assert after["cache"] >= 16 * MIB
    assert after["raw"]["shmem"] >= 16 * MIB


def test_processes_are_counted(box: Box) -> None:
    running(box, **ALL)
    box.exec("sleep 1000 & sleep 1000 &", "--detach").ok()
    wait_for(lambda: stats(box)["pids"]["current"] == 3, SECONDS, "three processes")


def test_the_processors_of_a_cpuset(box: Box) -> None:
    first = min(os.sched_getaffinity(0))
    group = running(box, cpu={"cpus": str(first)})
    cpuset = stats(box)["cpuset"]
    if "cpuset" in group.groups:
        assert (cpuset["cpus"], cpuset["mems"][0]) == ([first], 0)
        assert cpuset["sched_load_balance"] == group.number("cpuset", "cpuset.sched_load_balance", "")
    else:
        assert "cpus" not in cpuset  # runc fills it on v1 only


def test_pressure_is_there_where_it_is_measured(box: Box) -> None:
    group = running(box, **ALL)
    data = stats(box)
    for part, file in (("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("blkio", "io.pressure")):
        path = group.groups.get(UNIFIED, Path("/nowhere")) / file
        try:
            measured = bool(path.read_text())
        except OSError:
            measured = False
        assert ("psi" in data[part]) == measured, part


def huge_pages() -> str:
    """A mounted controller hugetlb, of a kernel with pages of 2 MB."""
    found = hierarchy.discover()
    controllers = {name for each in found.v1 for name in each.controllers}
    if found.unified:
        controllers |= set(Path(found.unified.mount, "cgroup.controllers").read_text().split())
    there = "hugetlb" in controllers and Path("/sys/kernel/mm/hugepages/hugepages-2048kB").exists()
    return "" if there else "not this lane: no limit of huge pages of 2 MB here"


def test_huge_pages(box: Box) -> None:
    need(huge_pages)
    running(box, hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}])
    assert stats(box)["hugetlb"]["2MB"] == {"failcnt": 0}


def disk_of(path: Path) -> tuple[int, int] | None:
    """major, minor of the disk that a file lies on; None for a file on no disk."""
    device = path.stat().st_dev
    entry = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not entry.exists():
        return None
    whole = entry.resolve().parent if (entry / "partition").exists() else entry.resolve()
    major, minor = (whole / "dev").read_text().split(":")
    return int(major), int(minor)


def test_what_is_read_from_a_disk(box: Box) -> None:
    disk = disk_of(BUSYBOX)
    if disk is None:
        pytest.skip(f"not this lane: {BUSYBOX} is on no disk")
    block = {"throttleReadBpsDevice": [{"major": disk[0], "minor": disk[1], "rate": 1 << 40}]}
    box.start_sleeper(with_bind(limited(box, blockIO=block), BUSYBOX, "/data", "ro"))
    box.exec("dd if=/data of=/dev/null bs=64k count=16 iflag=direct").ok()
    blkio = stats(box)["blkio"]
    key = {name: number for name, number in (("major", disk[0]), ("minor", disk[1])) if number}
    (read,) = (each for each in blkio["ioServiceBytesRecursive"] if each == {**each, **key, "op": "Read"})
    assert MIB // 2 <= read["value"] <= 2 * MIB  # a file's holes are not read
    (reads,) = (each for each in blkio["ioServicedRecursive"] if each == {**each, **key, "op": "Read"})
    assert 1 <= reads["value"] <= MIB // 512


def net_dev(pid: int, name: str) -> list[int]:
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
    (numbers,) = (line.partition(":")[2].split() for line in lines if line.strip().startswith(f"{name}:"))
    return [int(number) for number in numbers]


def test_the_containers_interfaces(box: Box) -> None:
    """Without lo; a packet that the host sends arrives."""
    need(veth)
    pid = box.start_sleeper()
    assert stats(box)["network_interfaces"] == []
    host = f"ev{os.getpid():x}"
    ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    try:
        ip("link", "set", "eth0", "up", pid=pid)
        ip("link", "set", host, "up")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
            link.bind((host, 0))
            link.send(b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + bytes(100))
        wait_for(lambda: net_dev(pid, "eth0")[0] >= 100, SECONDS, "the packet")
        before = net_dev(pid, "eth0")
        (eth0,) = stats(box)["network_interfaces"]
        after = net_dev(pid, "eth0")
        assert eth0["Name"] == "eth0"
        told = [eth0[key] for key in ("RxBytes", "RxPackets", "RxErrors", "RxDropped", "TxBytes", "TxPackets")]
        columns = (0, 1, 2, 3, 8, 9)
        assert all(before[at] <= number <= after[at] for at, number in zip(columns, told, strict=True))
    finally:
        ip("link", "delete", host)


def test_the_hosts_interfaces_are_not_the_containers(box: Box) -> None:
    config = without_namespace(default_config(), "network")
    box.start_sleeper(config)
    assert stats(box)["network_interfaces"] == []
