"""Limits on cgroup v1, as the container's own cgroups show them, and the host's directories of these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from process.box import one_sentence
from support import facility
from support.bundle import default_config, with_cgroup

if TYPE_CHECKING:
    from process.box import Box

TOP = Path("/sys/fs/cgroup")
MIB = 1 << 20
WAITS = "x=0123456789abcdef; while :; do x=$x$x; done"
"""Shell: wants ever more memory, and writes to it itself. Where the kernel writes for a program, as read(2) does,
cgroup v1 without the OOM killer fails the call instead of waiting."""
Resources = dict[str, Any]


def controller(name: str) -> str:
    """The v1 controller is mounted; its files are the same inside of a container."""
    there = not facility.cgroup_v1() and (TOP / name / "cgroup.procs").exists()
    return "" if there else f"not this lane: needs the cgroup v1 controller {name}"


def needs_file(path: str) -> str:
    """A kernel that has this file in a cgroup other than the root: looked for in one made for that."""
    name, file = path.split("/")
    if reason := controller(name):
        return reason
    probe = TOP / name / "ocirun-probe"
    probe.mkdir(exist_ok=True)
    try:
        return "" if (probe / file).exists() else f"not this lane: this kernel has no {file}"
    finally:
        probe.rmdir()


def unified_controllers() -> list[str]:
    """What the cgroup2 of a hybrid host has."""
    file = TOP / "unified/cgroup.controllers"
    return file.read_text().split() if file.exists() else []


def limited(box: Box, resources: Resources) -> dict[str, Any]:
    """The usual configuration with these limits, in a cgroup named like the container."""
    return with_cgroup(default_config(), f"/{box.ident}", resources)


def seen(box: Box, resources: Resources, *files: str) -> dict[str, str]:
    """Files of the container's cgroups, ``memory/memory.limit_in_bytes``, as its program reads them."""
    script = "".join(f"echo '={file}'; cat /sys/fs/cgroup/{file}; " for file in files)
    found: dict[str, str] = {}
    for part in box.shell(script, limited(box, resources)).split("=")[1:]:
        name, _, text = part.partition("\n")
        found[name] = text.strip()
    return found


def refusal(box: Box, resources: Resources) -> str:
    """The sentence of a `run` that is refused and leaves nothing behind."""
    box.write(limited(box, resources))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    before.assert_unchanged()
    return sentence
