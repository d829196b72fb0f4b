"""Id-mapped and recursively read-only mounts on Debian's kernel, on filesystems made for the test."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_bind, with_user_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.box import Box

OWNER = 100000


@contextmanager
def mounted(where: Path, *arguments: str) -> Iterator[Path]:
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, str(where)], check=True, timeout=60)
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True, timeout=60)


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An ext4 in a file: Linux 6.1 cannot map the ids of a tmpfs."""
    folder = tmp_path_factory.mktemp("ext4")
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, timeout=60)
    with mounted(folder / "mount", "-o", "loop", "-t", "ext4", str(image)) as top:
        yield top


def mapping(container: int, host: int, size: int = 65536) -> list[dict[str, int]]:
    return [{"containerID": container, "hostID": host, "size": size}]


def test_a_mount_with_the_ids_of_the_container(box: Box, ext4: Path) -> None:
    """`idmap` without mappings: files of the host's root belong to the container's root, both ways."""
    (ext4 / "file").write_text("data")
    for name in ("mapped", "plain"):
        (box.rootfs / name).mkdir()
    config = with_user_namespace(default_config(), OWNER)
    with_bind(config, ext4, "/mapped", "bind", "idmap")
    with_bind(config, ext4, "/plain", "bind")
    script = "stat -c %u:%g /mapped/file /plain/file; echo x > /mapped/made; echo x 2>/dev/null > /plain/no || echo no"
    assert box.shell(script, config).split() == ["0:0", "65534:65534", "no"]
    assert ((ext4 / "made").stat().st_uid, (ext4 / "made").stat().st_gid) == (0, 0)


def test_a_mount_with_mappings_of_its_own(box: Box, ext4: Path) -> None:
    """containerID is the id on the filesystem, hostID the one that it appears as (config.md, Mounts)."""
    (ext4 / "of-1000").write_text("data")
    os.chown(ext4 / "of-1000", 1000, 1001)
    config = with_bind(default_config(), ext4, "/mapped", "bind", "idmap")
    config["mounts"][-1]["uidMappings"] = mapping(1000, 5, 1)
    config["mounts"][-1]["gidMappings"] = mapping(1001, 6, 1)
    assert box.shell("stat -c %u:%g /mapped/of-1000", config) == "5:6\n"


def test_a_filesystem_that_cannot_be_mapped_is_refused(box: Box, tmp_path: Path) -> None:
    with mounted(tmp_path / "tmpfs", "-t", "tmpfs", "none") as top:
        (box.rootfs / "mapped").mkdir()
        config = with_bind(with_user_namespace(default_config(), OWNER), top, "/mapped", "bind", "idmap")
        sentence = one_sentence(box.run(config).expect(1))
        assert f"/mounts/{len(config['mounts']) - 1}: bind mount {top} on /mapped" in sentence
        assert "invalid argument" in sentence


@pytest.mark.parametrize(("option", "below"), [("ro", "written"), ("rro", "kept")])
def test_read_only_with_what_is_mounted_below(box: Box, tmp_path: Path, option: str, below: str) -> None:
    with mounted(tmp_path / "tree", "-t", "tmpfs", "none") as tree, mounted(tree / "sub", "-t", "tmpfs", "none"):
        config = with_bind(default_config(), tree, "/tree", "rbind", option)
        script = "for d in /tree /tree/sub; do (echo x > $d/file) 2>/dev/null && echo written || echo kept; done"
        assert box.shell(script, config).split() == ["kept", below]


def test_recursive_attributes(box: Box, tmp_path: Path) -> None:
    with mounted(tmp_path / "tree", "-t", "tmpfs", "none") as tree, mounted(tree / "sub", "-t", "tmpfs", "none"):
        config = with_bind(default_config(), tree, "/tree", "rbind", "rnosuid", "rnodev", "rnoexec", "rnosymfollow")
        found: dict[str, Any] = {}
        for line in box.shell("cat /proc/self/mountinfo", config).splitlines():
            found[line.split()[4]] = set(line.split()[5].split(","))
        assert {"nosuid", "nodev", "noexec", "nosymfollow"} <= found["/tree"] & found["/tree/sub"]


def test_an_overlay_as_the_root(box: Box, tmp_path: Path) -> None:
    """What engines hand over: lower, upper and work on one filesystem."""
    lower = box.rootfs
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={lower},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    with mounted(tmp_path / "merged", "-t", "overlay", "-o", options, "none") as merged:
        config = default_config()
        config["root"]["path"] = str(merged)
        assert box.shell("echo x > /made; cat /made", config) == "x\n"
    assert (tmp_path / "upper/made").read_text() == "x\n"
