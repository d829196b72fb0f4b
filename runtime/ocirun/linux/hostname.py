"""hostname and domainname, in the container's uts namespace."""

from __future__ import annotations

import os

from ocirun.kernel import process as kernel
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.scene import Scene


def inside(config: dict[str, Any]) -> list[InsideStep]:
    """One step per name given; the rules have seen to it that there is a uts namespace."""
    steps = []
    if name := config.get("hostname"):
        steps.append(InsideStep(set_hostname, "/hostname", f"set the hostname {name}", os.fsencode(name)))
    if name := config.get("domainname"):
        steps.append(InsideStep(set_domainname, "/domainname", f"set the domainname {name}", os.fsencode(name)))
    return steps


def set_hostname(step: InsideStep, _scene: Scene) -> None:
    """sethostname(2)."""
    kernel.sethostname(step.args[0])


def set_domainname(step: InsideStep, _scene: Scene) -> None:
    """setdomainname(2)."""
    kernel.setdomainname(step.args[0])
