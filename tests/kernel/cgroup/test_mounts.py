"""What `describe` gives can be mounted, and shows the container's cgroups and no other's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kernel.cgroup.sandbox import Container, clean_up, config, in_private_cgroup2, left_behind
from support import facility

from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.linux.cgroup import mounts

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(facility.cgroup_v2_private()), reason=facility.cgroup_v2_private()),
]
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 1 << 18


def build(box: Container, top: str) -> None:
    """Do what the description says below `top`, inside, after the cgroup namespace was entered."""
    for kind, destination, source, options, _readonly in mounts.describe(box.facts, box.config, box.record):
        target = os.path.join(top, destination).rstrip("/")
        if kind == mounts.SYMLINK:
            os.symlink(source, target)
            continue
        os.makedirs(target, exist_ok=True)
        if kind == mounts.BIND:
            raw.call("mount", raw.MOUNT, source.encode(), target.encode(), None, MS_BIND, None, detail=source)
        else:
            data = ",".join(options).encode()
            raw.call(
                "mount", raw.MOUNT, b"none", target.encode(), source.encode(), 0, data, detail=f"{source} {options}"
            )


def seen(box: Container, top: str) -> int:
    """0 when every mounted hierarchy shows exactly this process at its root."""
    kernel.unshare(kernel.CLONE_NEWNS)
    raw.call("mount", raw.MOUNT, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    build(box, top)
    held = [
        path.read_text().split()
        for path in [Path(top, "cgroup.procs"), *Path(top).glob("*/cgroup.procs")]
        if path.exists()
    ]
    return 0 if held and all(pids == [str(os.getpid())] for pids in held) else 1


def check(top: Path, private: bool) -> None:
    boxed = config()
    boxed["linux"]["namespaces"] = [{"type": "cgroup"}] if private else []
    box = Container(boxed)
    box.create()
    pid = box.start(lambda: seen(box, str(top)))
    status = os.waitpid(pid, 0)[1]
    assert box.undo() == []
    assert status == 0


@pytest.mark.parametrize("private", [True, False])
def test_v1(tmp_path: Path, private: bool) -> None:
    if facility.cgroup_v1():
        pytest.skip(facility.cgroup_v1())
    try:
        check(tmp_path, private)
        assert left_behind() == []
    finally:
        clean_up()


@pytest.mark.parametrize("private", [True, False])
def test_v2(tmp_path: Path, private: bool) -> None:
    try:
        in_private_cgroup2(lambda: check(tmp_path, private))
    finally:
        clean_up()
