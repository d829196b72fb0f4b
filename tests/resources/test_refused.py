"""linux.resources that cannot be applied: an error with the place in the configuration, and nothing is left.

Values of the wrong type are in tests/process/test_invalid_values.py, since they are the same everywhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from resources.limited import MIB

if TYPE_CHECKING:
    from resources.limited import LimitedBox

HUGE = 1 << 63
RULE = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}

ROWS: list[tuple[dict[str, Any], str]] = [
    # resources, the member that the sentence names
    ({"memory": {"limit": HUGE}}, "memory/limit"),
    ({"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}, "memory/swap"),
    ({"memory": {"swap": 64 * MIB}}, "memory/swap"),
    ({"pids": {"limit": HUGE}}, "pids/limit"),
    ({"cpu": {"shares": -1}}, "cpu/shares"),
    ({"cpu": {"quota": 1}}, "cpu/quota"),
    ({"cpu": {"quota": HUGE}}, "cpu/quota"),
    ({"cpu": {"period": 1}}, "cpu/period"),
    ({"cpu": {"period": -1}}, "cpu/period"),
    ({"cpu": {"quota": 5000, "burst": 6000}}, "cpu/burst"),
    ({"cpu": {"cpus": "4000"}}, "cpu/cpus"),
    ({"cpu": {"cpus": "0-"}}, "cpu/cpus"),
    ({"cpu": {"cpus": "first"}}, "cpu/cpus"),
    ({"cpu": {"mems": "1023"}}, "cpu/mems"),
    ({"unified": {"imagined.max": "5"}}, "unified/imagined.max"),
    ({"unified": {"../cgroup.max.depth": "5"}}, "unified/..~1cgroup.max.depth"),
    ({"unified": {"cgroup.procs": "0"}}, "unified/cgroup.procs"),
    ({"devices": [{**RULE, "type": "x"}]}, "devices/0/type"),
    ({"devices": [RULE, {"type": "c", "access": "r"}]}, "devices/1/allow"),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 99, "minor": 7, "rate": 5}]}},
        "blockIO/throttleReadBpsDevice/0/rate",
    ),
    ({"blockIO": {"weight": 1001}}, "blockIO/weight"),
    ({"blockIO": {"weightDevice": [{"major": 7, "minor": 0}]}}, "blockIO/weightDevice/0"),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": MIB}]}, "hugepageLimits/0/limit"),
    ({"hugepageLimits": [{"pageSize": "2MB", "limit": -1}]}, "hugepageLimits/0/limit"),
]


@pytest.mark.parametrize(("resources", "member"), ROWS, ids=[json.dumps(row[0]) for row in ROWS])
def test_it_is_an_error_and_nothing_is_left(box: LimitedBox, resources: dict[str, Any], member: str) -> None:
    assert f": /linux/resources/{member}" in box.refusal(resources)


def test_a_number_that_is_none_of_json_s_is_found_in_the_text(box: LimitedBox) -> None:
    assert "the number does not fit in 64 bits" in box.refusal({"memory": {"limit": 1 << 64}})


def test_one_bad_limit_of_many_leaves_nothing(box: LimitedBox) -> None:
    """The first ones are applied already."""
    resources = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}, "cpu": {"shares": 512, "cpus": "4000"}}
    assert ": /linux/resources/cpu/cpus: " in box.refusal(resources)
