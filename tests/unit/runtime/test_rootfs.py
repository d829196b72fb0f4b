"""Where the root is attached while hooks run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ocirun.facts import Facts
from ocirun.linux import rootfs
from ocirun.steps import OutsideStep

if TYPE_CHECKING:
    from pathlib import Path


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("way", ["same", "replaced", "link", "gone", "file"])
def test_its_own_place_is_the_same_directory(tmp_path: Path, way: str) -> None:
    """SECURITY: a path that leads elsewhere by now is not used; then the root goes over / at once."""
    path = tmp_path / "root"
    path.mkdir()
    root = os.open(path, os.O_PATH)
    if way != "same":
        path.rename(tmp_path / "old")
    if way == "replaced":
        path.mkdir()
    elif way == "link":
        path.symlink_to("old")
    elif way == "file":
        path.touch()
    before = descriptors()
    place = rootfs._own_place(os.fsencode(path), root)
    assert (place >= 0) == (way == "same")
    assert len(descriptors()) == len(before) + (way == "same")
    for fd in (root, place):
        if fd >= 0:
            os.close(fd)


@pytest.mark.parametrize(
    ("stage", "own"),
    [
        ("prestart", True),
        ("createRuntime", True),
        ("createContainer", True),
        ("startContainer", False),
        ("poststart", False),
        ("poststop", False),
    ],
)
def test_who_is_shown_the_root(stage: str, own: bool) -> None:
    """Hooks that run before the root is entered; without them it costs nothing."""
    config = {"root": {"path": "r"}, "hooks": {stage: [{"path": "/h"}]}}
    opened = OutsideStep(rootfs.open_root, "", "", "/b/r", True)
    attached = rootfs.attach(opened, config, Facts())
    assert attached[1].args[2] == (b"/b/r" if own else None)
    assert [step.deed for step in rootfs.finish(config)] == (["move_to_top"] if own else [])
