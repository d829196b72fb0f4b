"""linux.sysctl: kernel parameters of the container's own namespaces, written through the host's procfs.

Which instance of a parameter is meant is decided by the namespaces of the writing process, not by the procfs; so the
container's process writes them, through a descriptor of the host's /proc that no mount of the image can cover.

That a parameter belongs to a namespace of the container is a rule of the configuration. Only the host knows whether a
namespace that is joined by path is the runtime's own, whose parameters are the host's: `outside` looks.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.kernel import files
from ocirun.steps import InsideStep, OutsideStep
from ocirun_spec.names import NAMESPACES
from ocirun_spec.sysctl_rules import sysctl_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.parent import Host
    from ocirun.scene import Scene


def path_of(name: str) -> str:
    """The file below /proc/sys. sysctl.d(5): the first separator decides; in dot form a slash stands for a dot."""
    for character in name:
        if character == "/":
            return name
        if character == ".":
            return name.translate({ord("."): "/", ord("/"): "."})
    return name


def pointer_of(name: str) -> str:
    """Where the parameter stands in the configuration."""
    return f"/linux/sysctl/{name.replace('~', '~0').replace('/', '~1')}"


def outside(config: dict[str, Any], opened: dict[int, OutsideStep]) -> list[OutsideStep]:
    """One step per parameter of a joined namespace; `opened` are the steps that open these, by CLONE_NEW* flag."""
    steps = []
    for name in (config.get("linux") or {}).get("sysctl") or ():
        flag, file = NAMESPACES[sysctl_namespace(path_of(name))]
        if flag in opened:
            steps.append(OutsideStep(compare, pointer_of(name), f"set the sysctl {name}", opened[flag], file))
    return steps


def compare(step: OutsideStep, host: Host) -> None:
    """SECURITY: a joined namespace that is the runtime's own would let a configuration change the host."""
    opened, file = step.args
    joined, own = os.fstat(opened.fd), os.stat(f"self/ns/{file}", dir_fd=host.proc)
    if (joined.st_dev, joined.st_ino) == (own.st_dev, own.st_ino):
        said = f"{step.text}: it would change the host, whose own namespace {opened.args[1]} is"
        raise Failure(said, where=step.pointer)


def inside(config: dict[str, Any]) -> list[InsideStep]:
    """One step per parameter."""
    parameters: dict[str, str] = (config.get("linux") or {}).get("sysctl") or {}
    return [
        InsideStep(
            write, pointer_of(name), f"set the sysctl {name} to {value}",
            b"sys/" + os.fsencode(path_of(name)), os.fsencode(value),
        )
        for name, value in parameters.items()
    ]  # fmt: skip


def write(step: InsideStep, scene: Scene) -> None:
    """One write."""
    files.write_proc(scene.proc, *step.args)
