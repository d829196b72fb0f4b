"""linux.sysctl: kernel parameters of the container's own namespaces, written through the host's procfs.

Which instance of a parameter is meant is decided by the namespaces of the writing process, not by the procfs; so the
container's process writes them, through a descriptor of the host's /proc that no mount of the image can cover.
"""

from __future__ import annotations

import os

from ocirun.kernel import files
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.scene import Scene


def path_of(name: str) -> str:
    """The file below /proc/sys. sysctl.d(5): the first separator decides; in dot form a slash stands for a dot."""
    for character in name:
        if character == "/":
            return name
        if character == ".":
            return name.translate({ord("."): "/", ord("/"): "."})
    return name


def inside(config: dict[str, Any]) -> list[InsideStep]:
    """One step per parameter."""
    parameters: dict[str, str] = (config.get("linux") or {}).get("sysctl") or {}
    return [
        InsideStep(
            write, f"/linux/sysctl/{name.replace('~', '~0').replace('/', '~1')}", f"set the sysctl {name} to {value}",
            b"sys/" + os.fsencode(path_of(name)), os.fsencode(value),
        )
        for name, value in parameters.items()
    ]  # fmt: skip


def write(step: InsideStep, scene: Scene) -> None:
    """One write."""
    files.write_proc(scene.proc, *step.args)
