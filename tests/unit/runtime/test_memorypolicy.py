"""What linux.memoryPolicy becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.kernel import raw, scheduling
from ocirun.linux import memorypolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.plan import Plan

FIRST = b"\x01" + bytes(7)


@pytest.mark.parametrize(
    ("policy", "number", "mask"),
    [
        ({"mode": "MPOL_DEFAULT"}, 0, b""),
        ({"mode": "MPOL_PREFERRED", "nodes": ""}, 1, b""),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, 1, FIRST),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, 0x8002, FIRST),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, 0x4003, FIRST),
        ({"mode": "MPOL_LOCAL", "flags": []}, 4, b""),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0,65"}, 5, FIRST + b"\x02" + bytes(7)),
        ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, 6, FIRST),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, 0x2002, FIRST),
    ],
)
def test_modes(policy: dict[str, Any], number: int, mask: bytes) -> None:
    (step,) = memorypolicy.inside(policy)
    assert (step.deed, step.pointer, step.args) == ("set_policy", "/linux/memoryPolicy", (number, mask))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"mode": "MPOL_DEFAULT", "nodes": "0"}, "MPOL_DEFAULT takes no nodes"),
        ({"mode": "MPOL_LOCAL", "nodes": "0"}, "MPOL_LOCAL takes no nodes"),
        ({"mode": "MPOL_BIND", "nodes": " "}, "MPOL_BIND needs at least one node"),
        ({"mode": "MPOL_INTERLEAVE"}, "MPOL_INTERLEAVE needs at least one node"),
        ({"mode": "MPOL_BIND", "nodes": "all"}, "'all' is not a list such as 0-3,7"),
        ({"mode": "MPOL_BIND", "nodes": "9999"}, "no memory node has the number 9999"),
    ],
)
def test_nodes_and_modes_that_do_not_go_together(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(Failure) as caught:
        memorypolicy.inside(policy)
    assert str(caught.value) == f"/linux/memoryPolicy/nodes: {said}"


@pytest.mark.parametrize(("nodes", "told"), [("", 0), ("0", 65), ("63", 65), ("64", 129)])
def test_the_kernel_is_told_of_one_bit_more(monkeypatch: pytest.MonkeyPatch, nodes: str, told: int) -> None:
    """It takes one off (get_nodes() in mm/mempolicy.c), so that node 63 would be lost."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(raw, "call", lambda *words: calls.append(words))
    scheduling.set_mempolicy(1, scheduling.list_mask(nodes, "memory node"))
    assert calls[0][4] == told


def test_in_the_cgroup_and_before_any_filter(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    config["linux"]["memoryPolicy"] = {"mode": "MPOL_LOCAL"}
    deeds = [step.deed for step in composed(config).inside]
    assert deeds.index("enter") < deeds.index("set_policy") < deeds.index("set_no_new_privileges")
