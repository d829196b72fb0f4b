"""linux.personality by personality(2): the execution domain that uname(2) and the program loader go by."""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.kernel import scheduling as kernel
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.scene import Scene

DOMAINS: Final = {"LINUX": kernel.PER_LINUX, "LINUX32": kernel.PER_LINUX32}


def inside(personality: dict[str, Any]) -> list[InsideStep]:
    """One step. Any flag is refused: the spec has none yet (config-linux.md, Personality)."""
    where = "/linux/personality"
    for at, flag in enumerate(personality.get("flags") or ()):
        raise Failure(f"the specification has no personality flags, not {flag!r} either", where=f"{where}/flags/{at}")
    domain = personality["domain"]
    return [InsideStep(become, where, f"set the execution domain {domain}", DOMAINS[domain])]


def become(step: InsideStep, _scene: Scene) -> None:
    """personality(2); execve(2) keeps it."""
    kernel.personality(step.args[0])
