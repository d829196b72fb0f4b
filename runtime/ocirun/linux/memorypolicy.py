"""linux.memoryPolicy by set_mempolicy(2): the NUMA nodes that the program's memory comes from.

The kernel checks the nodes against the cpuset that the process is in, and children inherit the policy.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.kernel import scheduling as kernel
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.scene import Scene

MODES: Final = {
    "MPOL_DEFAULT": kernel.MPOL_DEFAULT,
    "MPOL_BIND": kernel.MPOL_BIND,
    "MPOL_INTERLEAVE": kernel.MPOL_INTERLEAVE,
    "MPOL_WEIGHTED_INTERLEAVE": kernel.MPOL_WEIGHTED_INTERLEAVE,
    "MPOL_PREFERRED": kernel.MPOL_PREFERRED,
    "MPOL_PREFERRED_MANY": kernel.MPOL_PREFERRED_MANY,
    "MPOL_LOCAL": kernel.MPOL_LOCAL,
}
FLAGS: Final = {
    "MPOL_F_NUMA_BALANCING": kernel.MPOL_F_NUMA_BALANCING,
    "MPOL_F_RELATIVE_NODES": kernel.MPOL_F_RELATIVE_NODES,
    "MPOL_F_STATIC_NODES": kernel.MPOL_F_STATIC_NODES,
}
_WITHOUT_NODES: Final = ("MPOL_DEFAULT", "MPOL_LOCAL")
_WITH_NODES: Final = ("MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED_MANY")


def inside(policy: dict[str, Any]) -> list[InsideStep]:
    """One step. Refuses nodes where the mode has none and the lack of them where it needs some (set_mempolicy(2))."""
    where = "/linux/memoryPolicy"
    mode = policy["mode"]
    nodes = policy.get("nodes") or ""
    try:
        mask = kernel.list_mask(nodes, "memory node")
    except ValueError as problem:
        raise Failure(str(problem), where=f"{where}/nodes") from None
    if mask and mode in _WITHOUT_NODES:
        raise Failure(f"{mode} takes no nodes", where=f"{where}/nodes")
    if not mask and mode in _WITH_NODES:
        raise Failure(f"{mode} needs at least one node", where=f"{where}/nodes")
    number = MODES[mode]
    for flag in policy.get("flags") or ():
        number |= FLAGS[flag]
    text = f"set the memory policy {mode} of the nodes {nodes}" if mask else f"set the memory policy {mode}"
    return [InsideStep(set_policy, where, text, number, mask)]


def set_policy(step: InsideStep, _scene: Scene) -> None:
    """set_mempolicy(2); fork(2) and execve(2) keep it."""
    kernel.set_mempolicy(*step.args)
