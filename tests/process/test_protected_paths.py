"""root.readonly, linux.maskedPaths and linux.readonlyPaths, by what a program in the container can read and write."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from process.mounting import mounted, mounts_in
from support.bundle import default_config, with_bind, with_mount, with_user_namespace

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def protecting(**lists: list[str]) -> Config:
    """With these lists alone."""
    config = default_config()
    config["linux"] |= {"maskedPaths": [], "readonlyPaths": [], **lists}
    return config


def written(box: Box, config: Config, *places: str) -> set[str]:
    """Those of the files that can be written to."""
    script = f"for f in {' '.join(places)}; do (echo x >> $f) 2>/dev/null && echo $f; done; true"
    return set(box.shell(script, config).split())


def secret(folder: Path) -> Path:
    """A folder of the image with something in it, also below."""
    (folder / "deep").mkdir(parents=True)
    (folder / "secret").write_text("secret\n")
    (folder / "deep" / "secret").write_text("secret\n")
    return folder


@pytest.mark.parametrize("userns", [False, True])
def test_a_masked_file_reads_as_empty(box: Box, userns: bool) -> None:
    secret(box.rootfs / "data")
    config = protecting(maskedPaths=["/data/secret", "/proc/uptime"])
    if userns:
        with_user_namespace(config)
    script = "cat /data/secret /proc/uptime; echo x > /data/secret && cat /data/secret; cat /data/deep/secret"
    assert box.shell(script, config) == "secret\n"
    assert (box.rootfs / "data" / "secret").read_text() == "secret\n"


def test_the_node_over_a_masked_file_cannot_be_changed(box: Box) -> None:
    """It is the host's own /dev/null; what is tried here would leave it as it is."""
    secret(box.rootfs / "data")
    node = os.stat("/dev/null")
    mode, owner = f"{stat.S_IMODE(node.st_mode):o}", f"{node.st_uid}:{node.st_gid}"
    script = f"for f in /data/secret /proc/uptime; do chmod {mode} $f; chown {owner} $f; done 2>&1; echo x >> $f"
    lines = box.shell(script, protecting(maskedPaths=["/data/secret", "/proc/uptime"])).splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["Read-only file system"] * 4


def test_a_masked_directory_is_empty_and_stays_so(box: Box) -> None:
    secret(box.rootfs / "data")
    config = protecting(maskedPaths=["/data", "/sys/kernel"])
    script = "ls -A /data /sys/kernel; cat /data/deep/secret 2>&1; touch /data/x 2>&1"
    out = box.run(with_script(config, script)).out
    assert out.splitlines() == [
        "/data:", "", "/sys/kernel:", "cat: can't open '/data/deep/secret': No such file or directory",
        "touch: /data/x: Read-only file system",
    ]  # fmt: skip
    assert {"ro", "nosuid", "nodev", "noexec"} <= mounts_in(box, config)["/data"].options


def with_script(config: Config, script: str) -> Config:
    config["process"]["args"] = ["sh", "-c", script]
    return config


def test_a_mask_lies_over_a_mount(box: Box) -> None:
    """Also of a mount that comes in the same config, and over a link's target, which stays inside the image."""
    source = secret(box.directory / "source")
    (box.rootfs / "link").symlink_to("/bound/deep")
    config = with_bind(protecting(maskedPaths=["/bound/secret", "/link"]), source, "/bound")
    assert box.shell("cat /bound/secret; ls /bound/deep; ls /bound", config).split() == ["deep", "secret"]
    assert (source / "secret").read_text() == "secret\n"


@pytest.mark.parametrize("name", ["maskedPaths", "readonlyPaths"])
def test_a_path_that_is_not_there_is_no_error(box: Box, name: str) -> None:
    config = protecting(**{name: ["/no/such/file", "/etc/passwd/below", "/proc/no-such", "/tmp"]})
    assert box.shell("ls /no 2>/dev/null; touch /tmp/x 2>/dev/null || echo kept", config) == "kept\n"


@pytest.mark.parametrize("userns", [False, True])
def test_readonly_paths(box: Box, userns: bool) -> None:
    """A directory with all below it, a file, a file of /proc; beside them all stays writable."""
    data = secret(box.rootfs / "data")
    (data / "deep").chmod(0o777)
    (box.rootfs / "etc" / "passwd").chmod(0o666)
    (box.rootfs / "etc" / "group").chmod(0o666)
    config = protecting(readonlyPaths=["/data", "/etc/passwd", "/proc/sys"])
    if userns:
        with_user_namespace(config)
    places = ("/data/deep/new", "/data/secret", "/etc/passwd", "/proc/sys/kernel/domainname", "/etc/group", "/tmp/x")
    assert written(box, config, *places) == {"/etc/group", "/tmp/x"}
    assert box.shell("cat /data/deep/secret", config) == "secret\n"


def test_a_readonly_path_with_a_mount_below(box: Box) -> None:
    with mounted(box.directory / "tree", "-t", "tmpfs", "tree") as top, mounted(top / "sub", "-t", "tmpfs", "tree"):
        config = with_bind(protecting(readonlyPaths=["/bound"]), top, "/bound")
        assert written(box, config, "/bound/x", "/bound/sub/x") == set()


def test_masked_goes_before_readonly(box: Box) -> None:
    secret(box.rootfs / "data")
    config = protecting(maskedPaths=["/data/secret"], readonlyPaths=["/data", "/data/secret"])
    assert box.shell("cat /data/secret; echo x > /data/deep/x 2>/dev/null || echo kept", config) == "kept\n"


@pytest.mark.parametrize("name", ["maskedPaths", "readonlyPaths"])
def test_a_relative_path_is_refused(box: Box, name: str) -> None:
    result = box.run(protecting(**{name: ["/proc/kcore", "proc/keys"]})).expect(1)
    assert f'/linux/{name}/1: the path "proc/keys" is not absolute' in result.err


@pytest.mark.parametrize("readonly", [True, False])
def test_the_root(box: Box, readonly: bool) -> None:
    """root.path is the container's root; read-only, but not what is mounted in it."""
    config = with_mount(default_config(), "/srv", "tmpfs", "tmpfs")
    config["root"]["readonly"] = readonly
    (box.rootfs / "of-the-image").write_text("it is\n")
    assert box.shell("cat /of-the-image", config) == "it is\n"
    root = set() if readonly else {"/x", "/etc/x"}
    assert written(box, config, "/x", "/etc/x", "/srv/x", "/dev/shm/x") == root | {"/srv/x", "/dev/shm/x"}
    assert ("ro" in mounts_in(box, config)["/"].options) == readonly
    assert (box.rootfs / "x").exists() != readonly


def test_the_root_may_be_anywhere(box: Box) -> None:
    box.rootfs.rename(box.directory / "elsewhere")
    config = default_config()
    for path in (str(box.directory / "elsewhere"), "../elsewhere"):
        config["root"]["path"] = path
        assert box.shell("touch /here && echo there", config) == "there\n"
    assert (box.directory / "elsewhere" / "here").exists()
    config["root"]["path"] = "no-such-directory"
    sentence = one_sentence(box.run(config).expect(1))
    assert "/root/path: open the root filesystem" in sentence
    assert "no such file or directory" in sentence
