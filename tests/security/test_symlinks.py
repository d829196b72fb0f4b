"""Symbolic links in an image that point at the host: mounts, devices and masks stay inside the container's root.

Every attack has a directory of the host that must stay as it was, in content and in mounts.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from security.box import Box, plain_config
from support.bundle import with_bind, with_mount
from support.command import wait_for
from support.console import ConsoleSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.security, pytest.mark.privileged]

UP = "../../../../../../../../../.."
ABSOLUTE, RELATIVE = "absolute", "relative"


def replace(box: Box, name: str, target: Path | str, way: str = ABSOLUTE) -> None:
    """Put a symbolic link into the image where something else may be."""
    path = box.rootfs / name
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.rglob("*"), reverse=True):
            child.rmdir() if child.is_dir() and not child.is_symlink() else child.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(f"{UP}{target}" if way == RELATIVE else target)


def chain(box: Box, name: str, target: Path) -> None:
    """Many links behind each other, the last one to the host, with detours through directories."""
    (box.rootfs / "a" / "b").mkdir(parents=True)
    replace(box, "a/b/last", target)
    for at in range(12):
        replace(box, f"a/b/link{at}", f"link{at + 1}" if at < 11 else "../b/last")
    replace(box, name, "/a/../a/b/link0")


@pytest.mark.parametrize("way", [ABSOLUTE, RELATIVE])
@pytest.mark.parametrize("name", ["dev", "mnt/here", "etc", "srv"])
def test_a_linked_directory_of_the_image_never_leads_to_the_host(box: Box, name: str, way: str) -> None:
    host = box.sentinel()
    replace(box, name, host.directory, way)
    extra = box.base / "source"
    extra.mkdir()
    (box.base / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    config = plain_config("true")
    config["process"]["env"].append("HOME=/")
    with_bind(config, extra, "/mnt/here/deep/er")
    with_bind(config, box.base / "resolv.conf", "/etc/resolv.conf", "ro")
    with_mount(config, "/srv/tmp", "tmpfs", "tmpfs", "nosuid")
    box.runtime.run(box.ident, box.write(config))
    host.assert_unchanged()


@pytest.mark.parametrize("way", [ABSOLUTE, RELATIVE])
@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_linked_proc_or_sys_is_refused(box: Box, name: str, way: str) -> None:
    """LSMs and masks trust these two to be where they are expected (CVE-2023-27561)."""
    host = box.sentinel()
    replace(box, name, host.directory, way)
    done = box.runtime.run(box.ident, box.write(plain_config("true")))
    assert done.code == 1
    assert "/mounts/" in done.err
    host.assert_unchanged()


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_linked_to_another_place_of_the_image_are_refused(box: Box, name: str) -> None:
    (box.rootfs / "elsewhere").mkdir()
    replace(box, name, "/elsewhere")
    done = box.runtime.run(box.ident, box.write(plain_config("true")))
    assert done.code == 1
    assert "/mounts/" in done.err
    assert "it must be mounted on ordinary directory" in done.err


def test_a_proc_below_a_link_is_refused(box: Box) -> None:
    (box.rootfs / "elsewhere" / "proc").mkdir(parents=True)
    replace(box, "linked", "/elsewhere")
    config = with_mount(plain_config("true"), "/linked/proc", "proc", "proc")
    assert box.runtime.run(box.ident, box.write(config)).code == 1


@pytest.mark.parametrize("destination", ["/proc/self", "/proc/sys/kernel", "/proc/1/attr", "/hidden/attr"])
def test_nothing_is_mounted_inside_a_procfs(box: Box, destination: str) -> None:
    replace(box, "hidden", "/proc/self")
    source = box.base / "source"
    source.mkdir()
    config = with_bind(plain_config("true"), source, destination)
    done = box.runtime.run(box.ident, box.write(config))
    assert done.code == 1
    assert "/mounts/" in done.err


@pytest.mark.parametrize("lay", [replace, chain], ids=["link", "chain"])
def test_a_mount_through_a_link_lands_inside_the_root(box: Box, lay: Callable[[Box, str, Path], None]) -> None:
    """The link's target is made inside the image, as it would be looked up by a process of the container."""
    host = box.sentinel()
    lay(box, "volume", host.directory)
    source = box.base / "source"
    source.mkdir()
    (source / "file").write_text("of the volume\n")
    (box.rootfs / str(host.directory).lstrip("/")).mkdir(parents=True)
    config = with_bind(plain_config("cat", f"{host.directory}/file"), source, "/volume")
    assert box.runtime.run(box.ident, box.write(config)).ok().out == "of the volume\n"
    host.assert_unchanged()


@pytest.mark.parametrize("way", [ABSOLUTE, RELATIVE])
@pytest.mark.parametrize("name", ["console", "null", "ptmx", "pts", "shm", "fd", "zero"])
def test_linked_device_names_do_not_reach_the_host(box: Box, name: str, way: str) -> None:
    """The image's own /dev, with a terminal: nodes, console, ptmx and the mounts below /dev."""
    host = box.sentinel()
    replace(box, f"dev/{name}", host.directory / "null" if name != "pts" else host.directory, way)
    config = plain_config("true")
    config["mounts"] = [entry for entry in config["mounts"] if entry["destination"] != "/dev"]
    config["process"]["terminal"] = True
    with ConsoleSocket(box.base / "tty.sock") as console:
        done = box.runtime.create(box.ident, box.write(config), "--console-socket", str(console.path))
        if done.code == 0:
            console.receive().close()
            box.runtime.start(box.ident)
        box.runtime.delete(box.ident, force=True).ok()
    host.assert_unchanged()
    assert not any(stat.S_ISCHR(path.lstat().st_mode) for path in host.directory.rglob("*"))


@pytest.mark.parametrize("field", ["maskedPaths", "readonlyPaths"])
@pytest.mark.parametrize("way", [ABSOLUTE, RELATIVE])
def test_masked_and_readonly_paths_through_links_stay_inside(box: Box, field: str, way: str) -> None:
    host = box.sentinel()
    replace(box, "linked", host.directory, way)
    replace(box, "linked-file", host.directory / "secret", way)
    inside = box.rootfs / str(host.directory).lstrip("/")
    inside.mkdir(parents=True)
    (inside / "secret").write_text("of the image\n")
    config = plain_config("sh", "-c", "cat /linked/secret; echo x > /linked/new && echo written; true")
    config["linux"][field] = ["/linked", "/linked-file", "/linked/inner", "/linked/../linked/secret"]
    done = box.runtime.run(box.ident, box.write(config)).ok()
    assert done.out == ("of the image\n" if field == "readonlyPaths" else "")
    assert not (inside / "new").exists()
    host.assert_unchanged()


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_masks_use_the_real_null_device(box: Box, kind: str) -> None:
    """The image's /dev/null may be anything; what covers a masked file is the host's, verified (CVE-2025-31133)."""
    host = box.sentinel()
    null = box.rootfs / "dev" / "null"
    if kind == "file":
        null.write_text("of the image\n")
    elif kind == "link":
        null.symlink_to(host.directory / "secret")
    else:
        null.mkdir()
    (box.rootfs / "etc" / "hidden").write_text("hidden\n")
    config = plain_config("sh", "-c", "cat /etc/hidden; stat -c '%F %t:%T' /etc/hidden")
    config["linux"]["maskedPaths"] = ["/etc/hidden"]
    config["linux"].pop("readonlyPaths")
    done = box.runtime.run(box.ident, box.write(config)).ok()
    assert done.out == "character special file 1:3\n"
    host.assert_unchanged()
    own_dev = plain_config("sh", "-c", "cat /etc/hidden; stat -c '%F %t:%T' /etc/hidden")
    own_dev["linux"]["maskedPaths"] = ["/etc/hidden"]
    own_dev["mounts"] = own_dev["mounts"][:1]
    done = box.runtime.run(box.ident, box.write(own_dev))
    assert done.code == 1 or done.out == "character special file 1:3\n", done.details()
    host.assert_unchanged()


def test_a_linked_rootfs_is_refused(box: Box) -> None:
    host = box.sentinel()
    box.rootfs.rename(box.base / "real")
    (box.base / "bundle" / "rootfs").symlink_to(host.directory)
    assert box.runtime.run(box.ident, box.write(plain_config("true"))).code == 1
    host.assert_unchanged()


def test_the_working_directory_is_made_inside_the_root(box: Box) -> None:
    host = box.sentinel()
    replace(box, "work", host.directory)
    config = plain_config("pwd")
    config["process"]["cwd"] = "/srv/made/here"
    box.runtime.run(box.ident, box.write(config))
    host.assert_unchanged()
    assert not os.path.lexists(host.directory / "made")


def test_a_created_container_cannot_redirect_start_or_delete(box: Box) -> None:
    """The image changes between create and start: nothing later resolves a path in it on the host's behalf."""
    host = box.sentinel()
    box.runtime.create(box.ident, box.write(plain_config("sleep", "60"))).ok()
    for name in ("dev", "proc", "sys", "etc"):
        (box.rootfs / name).rename(box.rootfs / f"{name}-was")
        (box.rootfs / name).symlink_to(host.directory)
    box.runtime.start(box.ident).ok()
    wait_for(lambda: box.runtime.status(box.ident) == "running", what="the program")
    box.runtime.exec(box.ident, "true")
    box.runtime.kill_and_delete(box.ident)
    host.assert_unchanged()
