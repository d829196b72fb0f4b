"""linux.resources as writes: which file gets which value, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ocirun.errors import Failure
from ocirun.linux.cgroup.limits import Setting, settings
from ocirun.linux.cgroup.limits.blockio import io_weight
from ocirun.linux.cgroup.limits.cpu import weight as cpu_weight


def v1(resources: dict[str, Any]) -> list[Setting]:
    """On a host with all controllers on cgroup v1."""
    return settings(resources, lambda _controller: False)


def v2(resources: dict[str, Any]) -> list[Setting]:
    """On a host with cgroup2 only."""
    return settings(resources, lambda _controller: True)


def written(found: list[Setting]) -> list[tuple[str, str]]:
    return [(each.file, each.value) for each in found]


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 1), (2, 1), (3, 2), (1024, 100), (2000, 170), (22000, 1204), (262144, 10000), (1 << 40, 10000)],
)
def test_cpu_weight(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


def test_cpu_weight_never_falls() -> None:
    weights = [cpu_weight(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)


@pytest.mark.parametrize(("weight", "io"), [(10, 1), (100, 910), (1000, 10000)])
def test_io_weight(weight: int, io: int) -> None:
    assert io_weight(weight) == io


@pytest.mark.parametrize(
    ("memory", "old", "new"),
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
        ({"disableOOMKiller": False}, [("memory.oom_control", "0")], []),
        ({"swappiness": (1 << 64) - 1}, [], []),
    ],
)
def test_memory(memory: dict[str, Any], old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    assert written(v1({"memory": memory})) == old
    assert written(v2({"memory": memory})) == new


@pytest.mark.parametrize(
    ("cpu", "old", "new"),
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
def test_cpu(cpu: dict[str, Any], old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    assert written(v1({"cpu": cpu})) == old
    assert written(v2({"cpu": cpu})) == new


@pytest.mark.parametrize(("limit", "value"), [(0, "0"), (-1, "max"), (-7, "max"), (32771, "32771")])
def test_pids_limit_of_zero_is_a_limit(limit: int, value: str) -> None:
    assert written(v1({"pids": {"limit": limit}})) == [("pids.max", value)]
    assert written(v2({"pids": {"limit": limit}})) == [("pids.max", value)]


def test_block_weight_has_two_possible_files() -> None:
    (old,) = v1({"blockIO": {"weight": 100}})
    (new,) = v2({"blockIO": {"weight": 100}})
    assert (old.file, old.value, old.instead) == ("blkio.weight", "100", ("blkio.bfq.weight", "100"))
    assert (new.file, new.value, new.instead) == ("io.bfq.weight", "100", ("io.weight", "910"))
    assert v1({"blockIO": {"weight": 0}}) == []


@pytest.mark.parametrize(
    ("resources", "where"),
    [
        ({"memory": {"swap": 10}}, "/linux/resources/memory/swap"),
        ({"memory": {"limit": -1, "swap": 10}}, "/linux/resources/memory/swap"),
        ({"memory": {"limit": 20, "swap": 10}}, "/linux/resources/memory/swap"),
    ],
)
def test_swap_needs_a_limit_that_it_is_not_below(resources: dict[str, Any], where: str) -> None:
    for plan in (v1, v2):
        with pytest.raises(Failure) as caught:
            plan(resources)
        assert caught.value.where == where


@pytest.mark.parametrize("shares", [1, 262145])
def test_v1_shares_out_of_range_would_be_changed_silently(shares: int) -> None:
    with pytest.raises(Failure, match=r"^/linux/resources/cpu/shares: "):
        v1({"cpu": {"shares": shares}})


@pytest.mark.parametrize("memory", [{"disableOOMKiller": True}, {"swappiness": 10}])
def test_what_v2_has_no_file_for_is_refused(memory: dict[str, Any]) -> None:
    assert v1({"memory": memory})
    with pytest.raises(Failure, match="cannot be converted to cgroup v2"):
        v2({"memory": memory})
