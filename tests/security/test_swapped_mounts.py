"""A container that swaps the place of a mount with a link while `mounts` adds one there, or removes one."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from security.box import Box, Sentinel, plain_config
from support import facility
from support.command import process_alive, wait_for
from support.host import HostSnapshot

if TYPE_CHECKING:
    from support.bundle import Config

pytestmark = [pytest.mark.security, pytest.mark.privileged]

LEAST, MOST = 5, 200
"""Rounds: so many at least, and then until both happened, what can be and what must not be."""
MASKED = "/masked/inside"
SWAPPER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    for (;;) syscall(SYS_renameat2, AT_FDCWD, "/swapped/place", AT_FDCWD, "/swapped/other", 2);
}
"""
"""RENAME_EXCHANGE, as fast as it can."""


@pytest.fixture(scope="session")
def swapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swapper")
    if facility.find_program("cc") is None:
        pytest.skip("needs cc")
    (folder / "swap.c").write_text(SWAPPER)
    command = ["cc", "-O1", "-static", "-o", str(folder / "swap"), str(folder / "swap.c")]
    subprocess.run(command, check=True, timeout=60)
    return folder / "swap"


def swapping(box: Box, swapper: Path, target: str) -> Config:
    """A container whose /swapped/place is a directory or a link to `target`, in turns."""
    work = box.rootfs / "swapped"
    (work / "place").mkdir(parents=True)
    (work / "other").symlink_to(target)
    (box.rootfs / "masked" / "inside").mkdir(parents=True)
    (box.rootfs / "masked" / "inside" / "secret").write_text("secret")
    shutil.copy(swapper, box.rootfs / "swap")
    config = plain_config("/swap")
    config["linux"]["maskedPaths"].append(MASKED)
    return config


def mounts_of(box: Box) -> list[str]:
    """The places of the container's mounts."""
    pid = box.runtime.state(box.ident)["pid"]
    assert process_alive(pid)
    return sorted(line.split()[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


@pytest.mark.parametrize("target", ["host", "/proc", MASKED])
def test_a_mount_is_never_where_it_must_not_be(box: Box, swapper: Path, target: str) -> None:
    """Each round it is added at a place in the container that is not guarded, or not at all; so with removing."""
    host: Sentinel = box.sentinel()
    link = str(host.directory) if target == "host" else target
    box.runtime.run(box.ident, box.write(swapping(box, swapper, link)), "--detach").ok()
    began = mounts_of(box)
    assert MASKED in began
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    allowed = {"/swapped/place", "/swapped/other"} | ({link} if target == "host" else set())
    answers: Counter[bool] = Counter()
    for number in range(MOST):
        added = box.runtime.call("mounts", "add", box.ident, "--tmpfs", "/swapped/place")
        new = mounts_of(box)
        for place in began:
            new.remove(place)
        assert len(new) == (added.code == 0), added.details()
        assert set(new) <= allowed
        for place in new:
            wait_for(partial(removed, box, place))
        assert mounts_of(box) == began
        answers[new == [link] if target == "host" else added.code == 0] += 1
        if number >= LEAST and len(answers) == 2:
            break
    else:
        raise AssertionError(answers)
    host.assert_unchanged()
    before.assert_unchanged()


def removed(box: Box, place: str) -> bool:
    return box.runtime.call("mounts", "remove", box.ident, "--destination", place).code == 0
