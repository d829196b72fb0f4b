"""The schema of the events: what it takes, and each kind of mistake that it has to see."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ocirun_spec import schema

ABSENT = object()
SMALLEST: dict[str, Any] = {
    "type": "stats",
    "id": "x",
    "data": {
        "cpu": {"usage": {"kernel": 0, "user": 0}, "throttling": {}},
        "cpuset": {
            "cpu_exclusive": 0,
            "mem_hardwall": 0,
            "mem_exclusive": 0,
            "memory_migrate": 0,
            "memory_spread_page": 0,
            "memory_spread_slab": 0,
            "memory_pressure": 0,
            "sched_load_balance": 0,
            "sched_relax_domain_level": -1,
        },
        "memory": {name: {"limit": 0, "failcnt": 0} for name in ("usage", "swap", "kernel", "kernelTCP")},
        "pids": {},
        "blkio": {},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": [],
    },
}
PSI = {kind: {"avg10": 0.5, "avg60": 0, "avg300": 100.0, "total": 7} for kind in ("some", "full")}
INTERFACE = {
    "Name": "eth0", "RxBytes": 1, "RxPackets": 1, "RxErrors": 0, "RxDropped": 0,
    "TxBytes": 1, "TxPackets": 1, "TxErrors": 0, "TxDropped": 0,
}  # fmt: skip


def changed(pointer: str, value: Any) -> dict[str, Any]:
    """The smallest document with one member set, or without it."""
    document = copy.deepcopy(SMALLEST)
    *path, last = pointer.split("/")[1:]
    place: Any = document
    for name in path:
        place = place.setdefault(name, {})
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return document


def is_valid(document: object) -> bool:
    return bool(schema.validator(schema.events_schema()).is_valid(document))


def test_the_two_documents() -> None:
    assert is_valid(SMALLEST)
    assert is_valid({"type": "oom", "id": "x"})
    assert not is_valid({"type": "stats", "id": "x"})
    assert not is_valid({**SMALLEST, "type": "oom"})
    assert not is_valid({"type": "exit", "id": "x"})


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/data/cpu/usage/total", (1 << 64) - 1),
        ("/data/cpu/usage/percpu", [1, 2]),
        ("/data/cpu/psi", PSI),
        ("/data/cpu/psi", {"some": PSI["some"]}),
        ("/data/memory/raw", {"anon": 1, "what the next kernel counts": 2}),
        ("/data/blkio/ioTimeRecursive", [{"major": 8, "op": "Read", "value": 1}, {}]),
        ("/data/hugetlb", {"2MB": {"usage": 1, "failcnt": 0}}),
        ("/data/intel_rdt", {"schemata": ["MB:0=100"]}),
        ("/data/network_interfaces", [INTERFACE]),
    ],
)
def test_what_is_there_sometimes(pointer: str, value: Any) -> None:
    assert is_valid(changed(pointer, value))


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/data/cpu/usage/user", 1.5),
        ("/data/cpu/usage/user", "1"),
        ("/data/cpu/usage/user", -1),
        ("/data/cpu/usage/user", 1 << 64),
        ("/data/cpu/usage/percpu", 1),
        ("/data/cpuset/cpus", ["0"]),
        ("/data/cpuset/cpus", [65536]),
        ("/data/memory/usage/limit", "max"),
        ("/data/memory/raw", {"anon": 1.0}),
        ("/data/cpu/psi", {"some": {**PSI["some"], "avg10": "0.00"}}),
        ("/data/cpu/psi", {"some": {**PSI["some"], "total": 0.5}}),
        ("/data/hugetlb", []),
        ("/data/network_interfaces", None),
        ("/data/blkio/ioServicedRecursive", [{"major": 8, "op": "rbytes", "value": 1}]),
    ],
)
def test_a_wrong_type_is_seen(pointer: str, value: Any) -> None:
    assert not is_valid(changed(pointer, value))


@pytest.mark.parametrize(
    "pointer",
    [
        "/id",
        *(f"/data/{name}" for name in SMALLEST["data"]),
        "/data/cpu/usage",
        "/data/cpu/usage/kernel",
        "/data/cpu/throttling",
        "/data/cpuset/sched_relax_domain_level",
        "/data/memory/kernelTCP",
        "/data/memory/swap/failcnt",
        "/data/memory/usage/limit",
    ],
)
def test_a_missing_member_is_seen(pointer: str) -> None:
    assert not is_valid(changed(pointer, ABSENT))


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/time", 0),
        ("/data/network", []),
        ("/data/cpu/usage/percpu_system", [1]),
        ("/data/cpu/throttling/throttled_periods", 1),
        ("/data/memory/usage/max_usage", 1),
        ("/data/pids/max", 1),
        ("/data/blkio/ioQueuedRecursive", []),
        ("/data/hugetlb", {"2MB": {"usage": 1, "failcnt": 0, "limit": 3}}),
        ("/data/network_interfaces", [{**INTERFACE, "rx_bytes": 1}]),
    ],
)
def test_a_misspelt_member_is_seen(pointer: str, value: Any) -> None:
    assert not is_valid(changed(pointer, value))
