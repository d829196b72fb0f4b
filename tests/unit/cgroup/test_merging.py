"""Limits of an update laid over those of the container."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ocirun.errors import Failure
from ocirun.linux.cgroup import limits, merging
from ocirun.linux.cgroup.limits import Setting

Resources = dict[str, Any]
MIB = 1 << 20
SWAP = f"{96 * MIB} of memory plus swap"


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({}, {}),
        ({"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}, "network": {}, "devices": [], "unified": {}}, {}),
        ({"memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "kernelTCP": 0}}, {}),
        ({"memory": {"swappiness": (1 << 64) - 1}}, {}),
        ({"memory": {"swappiness": 0}}, {"memory": {"swappiness": 0}}),
        ({"memory": {"disableOOMKiller": False}}, {"memory": {"disableOOMKiller": False}}),
        ({"memory": {"limit": -1}}, {"memory": {"limit": -1}}),
        ({"cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "cpus": "", "mems": ""}}, {}),
        ({"cpu": {"burst": 0, "idle": 0}}, {"cpu": {"burst": 0, "idle": 0}}),
        ({"pids": {"limit": 0}}, {}),
        ({"pids": {"limit": 5}, "cpu": {"shares": 0}}, {"pids": {"limit": 5}}),
        ({"blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": []}}, {}),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 0, "leafWeight": 5}]}},
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 5}]}},
        ),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 0, "minor": 0, "rate": 0}]}},
            {"blockIO": {"throttleReadBpsDevice": [{"major": 0, "minor": 0, "rate": 0}]}},
        ),
        ({"network": {"classID": 0}}, {}),
        ({"network": {"priorities": [{"name": "lo", "priority": 0}]}},) * 2,
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},) * 2,
        ({"rdma": {"a": {"hcaHandles": 0}}},) * 2,
        ({"unified": {"memory.high": ""}},) * 2,
        ({"imagined": {"x": 5}, "memory": {"imagined": 5}}, {}),
    ],
)
def test_what_says_something(asked: Resources, left: Resources) -> None:
    assert merging.effective(asked) == left


def entry(major: int, **members: int) -> Resources:
    return {"major": major, "minor": 0, **members}


MERGES: list[tuple[Resources, Resources, Resources]] = [
    ({}, {"pids": {"limit": 5}}, {"pids": {"limit": 5}}),
    (
        {"memory": {"limit": 1, "swap": 2}, "pids": {"limit": 5}},
        {"memory": {"limit": 2}},
        {"memory": {"limit": 2, "swap": 2}, "pids": {"limit": 5}},
    ),
    ({"memory": {"limit": 1, "swap": 2}}, {"memory": {"limit": -1}}, {"memory": {"limit": -1}}),
    (
        {"memory": {"limit": 1, "swap": 2}},
        {"memory": {"limit": -1, "swap": -1}},
        {"memory": {"limit": -1, "swap": -1}},
    ),
    ({"devices": [{"allow": False}]}, {"devices": [{"allow": True}]}, {"devices": [{"allow": True}]}),
    (
        {"blockIO": {"weight": 9, "weightDevice": [entry(8, weight=1), entry(9, weight=2), entry(10, weight=3)]}},
        {"blockIO": {"weightDevice": [entry(11, weight=4), entry(9, leafWeight=5)]}},
        {
            "blockIO": {
                "weight": 9,
                "weightDevice": [
                    entry(11, weight=4),
                    entry(9, weight=2, leafWeight=5),
                    entry(8, weight=1),
                    entry(10, weight=3),
                ],
            }
        },
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 2}]},
        {"hugepageLimits": [{"pageSize": "1GB", "limit": 0}]},
        {"hugepageLimits": [{"pageSize": "1GB", "limit": 0}, {"pageSize": "2MB", "limit": 1}]},
    ),
    (
        {"network": {"classID": 3, "priorities": [{"name": "lo", "priority": 1}, {"name": "e", "priority": 2}]}},
        {"network": {"priorities": [{"name": "e", "priority": 3}]}},
        {"network": {"classID": 3, "priorities": [{"name": "e", "priority": 3}, {"name": "lo", "priority": 1}]}},
    ),
    (
        {"rdma": {"a": {"hcaHandles": 1}, "b": {"hcaHandles": 2}}},
        {"rdma": {"a": {"hcaObjects": 3}}},
        {"rdma": {"a": {"hcaHandles": 1, "hcaObjects": 3}, "b": {"hcaHandles": 2}}},
    ),
    ({"unified": {"a": "1", "b": "2"}}, {"unified": {"b": "3"}}, {"unified": {"a": "1", "b": "3"}}),
]


@pytest.mark.parametrize(("current", "asked", "merged"), MERGES)
def test_merging(current: Resources, asked: Resources, merged: Resources) -> None:
    before = copy.deepcopy((current, asked))
    assert merging.merge(current, asked) == merged
    assert (current, asked) == before


def written(current: Resources, asked: Resources, modern: bool) -> list[tuple[str, str]]:
    """(file, value) of what an update writes."""
    merged = merging.merge(current, asked)
    found = limits.settings({name: merged[name] for name in asked}, lambda _controller: modern)
    return [(each.file, each.value) for each in found if merging.is_asked(each, asked)]


KEPT: Resources = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 5 * MIB},
    "cpu": {"shares": 512, "quota": 5000, "period": 10000, "burst": 100, "cpus": "0"},
    "pids": {"limit": 9},
    "hugepageLimits": [{"pageSize": "1GB", "limit": 0}],
}
WRITES: list[tuple[Resources, list[tuple[str, str]], list[tuple[str, str]]]] = [
    (
        {"memory": {"limit": 32 * MIB}},
        [("memory.limit_in_bytes", str(32 * MIB)), ("memory.memsw.limit_in_bytes", str(96 * MIB))],
        [("memory.max", str(32 * MIB)), ("memory.swap.max", str(64 * MIB))],
    ),
    (
        {"memory": {"swap": 80 * MIB}},
        [("memory.memsw.limit_in_bytes", str(80 * MIB))],
        [("memory.swap.max", str(16 * MIB))],
    ),
    (
        {"memory": {"limit": -1}},
        [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
        [("memory.max", "max"), ("memory.swap.max", "max")],
    ),
    ({"memory": {"reservation": MIB}}, [("memory.soft_limit_in_bytes", str(MIB))], [("memory.low", str(MIB))]),
    (
        {"cpu": {"period": 20000}},
        [("cpu.cfs_period_us", "20000"), ("cpu.cfs_quota_us", "5000")],
        [("cpu.max", "5000 20000")],
    ),
    ({"cpu": {"quota": 6000}}, [("cpu.cfs_quota_us", "6000")], [("cpu.max", "6000 10000")]),
    ({"cpu": {"burst": 0}}, [("cpu.cfs_burst_us", "0")], [("cpu.max.burst", "0")]),
    ({"cpu": {"idle": 1}}, [("cpu.idle", "1")], [("cpu.idle", "1")]),
    ({"cpu": {"idle": 0}}, [("cpu.shares", "512"), ("cpu.idle", "0")], [("cpu.weight", "59"), ("cpu.idle", "0")]),
    ({"cpu": {"cpus": "1"}}, [("cpuset.cpus", "1")], [("cpuset.cpus", "1")]),
    ({"pids": {"limit": 7}}, [("pids.max", "7")], [("pids.max", "7")]),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 3}]},
        [("hugetlb.2MB.limit_in_bytes", "3"), ("hugetlb.2MB.rsvd.limit_in_bytes", "3")],
        [("hugetlb.2MB.max", "3"), ("hugetlb.2MB.rsvd.max", "3")],
    ),
]


@pytest.mark.parametrize(("asked", "legacy", "modern"), WRITES)
def test_what_is_written(asked: Resources, legacy: list[tuple[str, str]], modern: list[tuple[str, str]]) -> None:
    """What was asked for, and what is computed from it: nothing else of the container is touched."""
    assert written(KEPT, asked, modern=False) == legacy
    assert written(KEPT, asked, modern=True) == modern


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"memory": {"limit": 97 * MIB}},
            f"/linux/resources/memory/limit: the memory limit {97 * MIB} would be above the container's limit {SWAP}",
        ),
        (
            {"cpu": {"quota": 50}},
            "/linux/resources/cpu/quota: the container's values do not fit: the burst 100 is above the quota 50",
        ),
        ({"cpu": {"burst": 6000}}, "/linux/resources/cpu/burst: the burst 6000 is above the quota 5000"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(asked: Resources, said: str) -> None:
    with pytest.raises(Failure) as caught:
        merging.check(merging.merge(KEPT, asked), asked)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("pointer", "there"),
    [
        ("memory/limit", True),
        ("memory/swap", False),
        ("list/0/a", True),
        ("list/1/a", False),
        ("list/x", False),
        ("map/a~1b~0c", True),
        ("memory/limit/deep", False),
    ],
)
def test_names(pointer: str, there: bool) -> None:
    resources = {"memory": {"limit": 5}, "list": [{"a": 1}], "map": {"a/b~c": {}}}
    assert merging.names(resources, pointer) == there


def test_the_later_word_about_a_file_counts() -> None:
    asked = {"memory": {"limit": 5}, "unified": {"memory.high": "7"}}
    current = {"unified": {"memory.max": "9", "memory.high": "8", "memory.low": "1"}}
    merged = merging.merge(current, asked)
    settings = [Setting("memory", file, 5, "memory/limit") for file in ("memory.max", "memory.high")]
    for each in settings:
        each.unified = True
    merging.without_replaced(merged, asked, settings)
    assert merged["unified"] == {"memory.high": "7", "memory.low": "1"}
    assert current["unified"]["memory.max"] == "9"
