"""linux.resources as writes: which file gets which value, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ocirun.errors import Failure, NotSupportedYet
from ocirun.linux.cgroup import limits


def written(settings: list[limits.Setting]) -> list[tuple[str, str]]:
    return [(each.file, each.value) for each in settings]


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 1), (2, 1), (3, 2), (1024, 100), (2000, 170), (22000, 1204), (262144, 10000), (1 << 40, 10000)],
)
def test_cpu_weight(shares: int, weight: int) -> None:
    assert limits.cpu_weight(shares) == weight


def test_cpu_weight_never_falls() -> None:
    weights = [limits.cpu_weight(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)


@pytest.mark.parametrize(("weight", "io"), [(10, 1), (100, 910), (1000, 10000)])
def test_io_weight(weight: int, io: int) -> None:
    assert limits.io_weight(weight) == io


@pytest.mark.parametrize(
    ("memory", "v1", "v2"),
    [
        ({}, [], []),
        ({"limit": 0, "swap": 0}, [], []),
        ({"limit": 10}, [("memory.limit_in_bytes", "10")], [("memory.max", "10")]),
        (
            {"limit": 10, "swap": 30},
            [("memory.limit_in_bytes", "10"), ("memory.memsw.limit_in_bytes", "30")],
            [("memory.max", "10"), ("memory.swap.max", "20")],
        ),
        (
            {"limit": 10, "swap": 10},
            [("memory.limit_in_bytes", "10"), ("memory.memsw.limit_in_bytes", "10")],
            [("memory.max", "10"), ("memory.swap.max", "0")],
        ),
        (
            {"limit": 10, "swap": -1},
            [("memory.limit_in_bytes", "10"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "10"), ("memory.swap.max", "max")],
        ),
        (
            {"limit": -1},
            [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "max"), ("memory.swap.max", "max")],
        ),
        ({"reservation": 5}, [("memory.soft_limit_in_bytes", "5")], [("memory.low", "5")]),
        ({"disableOOMKiller": False}, [], []),
        ({"swappiness": (1 << 64) - 1}, [], []),
    ],
)
def test_memory(memory: dict[str, Any], v1: list[tuple[str, str]], v2: list[tuple[str, str]]) -> None:
    assert written(limits.v1({"memory": memory})) == v1
    assert written(limits.v2({"memory": memory})) == v2


@pytest.mark.parametrize(
    ("cpu", "v1", "v2"),
    [
        ({"shares": 0, "quota": 0, "period": 0}, [], []),
        (
            {"burst": 3, "quota": 20, "period": 10, "shares": 1024},
            [
                ("cpu.shares", "1024"),
                ("cpu.cfs_period_us", "10"),
                ("cpu.cfs_quota_us", "20"),
                ("cpu.cfs_burst_us", "3"),
            ],
            [("cpu.weight", "100"), ("cpu.max", "20 10"), ("cpu.max.burst", "3")],
        ),
        ({"quota": 20}, [("cpu.cfs_quota_us", "20")], [("cpu.max", "20")]),
        ({"quota": -1}, [("cpu.cfs_quota_us", "-1")], [("cpu.max", "max")]),
        ({"period": 10}, [("cpu.cfs_period_us", "10")], [("cpu.max", "max 10")]),
        (
            {"shares": 2, "idle": 1, "cpus": "0-1", "mems": "0"},
            [("cpu.shares", "2"), ("cpu.idle", "1"), ("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
            [("cpu.weight", "1"), ("cpu.idle", "1"), ("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
        ),
    ],
)
def test_cpu(cpu: dict[str, Any], v1: list[tuple[str, str]], v2: list[tuple[str, str]]) -> None:
    assert written(limits.v1({"cpu": cpu})) == v1
    assert written(limits.v2({"cpu": cpu})) == v2


@pytest.mark.parametrize(("limit", "value"), [(0, "0"), (-1, "max"), (-7, "max"), (32771, "32771")])
def test_pids_limit_of_zero_is_a_limit(limit: int, value: str) -> None:
    assert written(limits.v1({"pids": {"limit": limit}})) == [("pids.max", value)]
    assert written(limits.v2({"pids": {"limit": limit}})) == [("pids.max", value)]


def test_block_weight_has_two_possible_files() -> None:
    (v1,) = limits.v1({"blockIO": {"weight": 100}})
    (v2,) = limits.v2({"blockIO": {"weight": 100}})
    assert (v1.file, v1.value, v1.instead) == ("blkio.weight", "100", ("blkio.bfq.weight", "100"))
    assert (v2.file, v2.value, v2.instead) == ("io.bfq.weight", "100", ("io.weight", "910"))
    assert limits.v1({"blockIO": {"weight": 0}}) == []


@pytest.mark.parametrize(
    ("resources", "where"),
    [
        ({"memory": {"swap": 10}}, "/linux/resources/memory/swap"),
        ({"memory": {"limit": -1, "swap": 10}}, "/linux/resources/memory/swap"),
        ({"memory": {"limit": 20, "swap": 10}}, "/linux/resources/memory/swap"),
    ],
)
def test_swap_needs_a_limit_that_it_is_not_below(resources: dict[str, Any], where: str) -> None:
    for plan in (limits.v1, limits.v2):
        with pytest.raises(Failure) as caught:
            plan(resources)
        assert caught.value.where == where


@pytest.mark.parametrize("shares", [1, 262145])
def test_v1_shares_out_of_range_would_be_changed_silently(shares: int) -> None:
    with pytest.raises(Failure, match=r"^/linux/resources/cpu/shares: "):
        limits.v1({"cpu": {"shares": shares}})


@pytest.mark.parametrize("memory", [{"disableOOMKiller": True}, {"swappiness": 10}])
def test_what_v2_has_no_file_for_is_refused(memory: dict[str, Any]) -> None:
    assert limits.v1({"memory": memory})
    with pytest.raises(Failure, match="cannot be converted to cgroup v2"):
        limits.v2({"memory": memory})


@pytest.mark.parametrize(
    ("resources", "where"),
    [
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, "hugepageLimits"),
        ({"network": {"classID": 1}}, "network"),
        ({"rdma": {"mlx": {"hcaHandles": 3}}}, "rdma"),
        ({"unified": {"cpu.max": "1 2"}}, "unified"),
        ({"memory": {"kernel": 5}}, "memory/kernel"),
        ({"memory": {"checkBeforeUpdate": True}}, "memory/checkBeforeUpdate"),
        ({"cpu": {"realtimeRuntime": 5}}, "cpu/realtimeRuntime"),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]}},
            "blockIO/throttleReadBpsDevice",
        ),
    ],
)
def test_what_is_not_applied_is_refused(resources: dict[str, Any], where: str) -> None:
    with pytest.raises(NotSupportedYet) as caught:
        limits.refuse_unsupported(resources)
    assert caught.value.where == f"/linux/resources/{where}"


def test_what_asks_for_nothing_passes() -> None:
    limits.refuse_unsupported(
        {
            "devices": [{"allow": False}],
            "hugepageLimits": [],
            "blockIO": {},
            "network": None,
            "memory": {"kernel": -1, "kernelTCP": 0, "useHierarchy": True, "checkBeforeUpdate": False},
        }
    )
