"""Mount points that `create` makes in the image's root: a container that does not come to be takes them back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import Config, default_config, with_hook, with_mount, with_user_namespace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def tree(root: Path) -> dict[str, int]:
    """Every path below with its inode."""
    return {str(path.relative_to(root)): path.lstat().st_ino for path in root.rglob("*")}


def with_new_places(box: Box, *args: str) -> Config:
    """Directories, one below the other, a file, a working directory, and places inside of a mount."""
    config = box.with_shared(default_config(*args))
    config = with_mount(config, "/new/one/two", "tmpfs", "tmpfs")
    config = with_mount(config, "/new/one/two/inside", "tmpfs", "tmpfs")
    config = with_mount(config, "/there/file", "bind", "/etc/hostname", "bind")
    config["process"]["cwd"] = "/place/here"
    (box.rootfs / "there").mkdir()
    (box.rootfs / "there" / "kept").mkdir()
    return config


def a_later_mount(_box: Box, config: Config) -> Config:
    return with_mount(config, "/last", "no-such-filesystem", "none")


def no_program(_box: Box, config: Config) -> Config:
    config["process"]["args"] = ["no-such-program"]
    return config


def a_readonly_root(box: Box, config: Config) -> Config:
    config["root"]["readonly"] = True
    return no_program(box, config)


def a_hook(stage: str) -> Callable[[Box, Config], Config]:
    def change(_box: Box, config: Config) -> Config:
        return with_hook(config, stage, "/bin/sh", "-c", "exit 3")

    change.__name__ = stage
    return change


@pytest.mark.parametrize(
    "arrange",
    [
        a_later_mount,
        no_program,
        a_readonly_root,
        a_hook("prestart"),
        a_hook("createRuntime"),
        a_hook("createContainer"),
    ],
    ids=lambda arrange: arrange.__name__,
)
@pytest.mark.parametrize("word", ["create", "run"])
def test_a_failure_takes_them_back(box: Box, word: str, arrange: Callable[[Box, Config], Config]) -> None:
    box.write(arrange(box, with_new_places(box, "true")))
    before = tree(box.rootfs)
    box.runtime.call(word, "--bundle", str(box.bundle), box.ident).expect(1)
    assert tree(box.rootfs) == before


def test_a_program_that_cannot_be_executed_takes_them_back(box: Box) -> None:
    config = with_new_places(box, "/broken")
    (box.rootfs / "broken").write_bytes(b"\x7fELF")
    (box.rootfs / "broken").chmod(0o755)
    before = tree(box.rootfs)
    box.run(config).expect(1)
    assert tree(box.rootfs) == before


def test_in_a_user_namespace(box: Box) -> None:
    facility.need(facility.user_namespace)
    config = no_program(box, with_user_namespace(with_new_places(box)))
    for path in (box.rootfs, box.rootfs / "there"):
        os.chown(path, 100000, 100000)
    before = tree(box.rootfs)
    box.run(config).expect(1)
    assert tree(box.rootfs) == before


def test_what_is_in_use_stays(box: Box) -> None:
    """A hook has put something into one of them."""
    config = with_new_places(box, "true")
    config = with_hook(config, "createRuntime", "/bin/sh", "-c", f"exec > {box.rootfs}/place/here/file; exit 3")
    before = tree(box.rootfs)
    box.run(config).expect(1)
    assert set(tree(box.rootfs)) - set(before) == {"place", "place/here", "place/here/file"}


def test_what_comes_to_be_keeps_them(box: Box) -> None:
    config = with_new_places(box, "true")
    box.run(config).ok()
    assert {"new/one/two", "there/file", "place/here"} <= set(tree(box.rootfs))
    assert "new/one/two/inside" not in tree(box.rootfs)
