"""mounts: the options as the kernel shows them inside (proc_pid_mountinfo(5)), and what reaches the host: nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bundle import default_config, mount, with_bind, with_mount, with_shell, with_user_namespace
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def mounts_in(box: Box, config: Config) -> dict[str, tuple[set[str], str, str, set[str]]]:
    """By mount point: mount options, optional fields (propagation), type, options of the filesystem."""
    found = {}
    for line in box.shell("cat /proc/self/mountinfo", config).splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        found[fields[4]] = (set(fields[5].split(",")), " ".join(fields[6:]), kind[0], set(kind[2].split(",")))
    return found


@pytest.fixture
def source(box: Box) -> Path:
    folder = box.directory / "source"
    folder.mkdir()
    (folder / "file").write_text("content\n")
    return folder


def test_the_default_mounts(box: Box) -> None:
    found = mounts_in(box, default_config())
    kinds = {point: entry[2] for point, entry in found.items()}
    expected = {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue"}
    assert expected.items() <= kinds.items()
    assert kinds["/sys"] == "sysfs"
    assert {"nosuid", "noexec", "nodev", "ro"} <= found["/sys"][0]
    assert "size=65536k" in found["/dev/shm"][3]
    assert box.shell("stat -c %a /dev /dev/shm") == "755\n1777\n"
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= found["/dev/pts"][3]
    assert "shared" not in "".join(entry[1] for entry in found.values())


OPTIONS = [
    (["ro"], {"ro"}),
    (["nosuid", "nodev", "noexec"], {"rw", "nosuid", "nodev", "noexec"}),
    (["ro", "rw"], {"rw"}),
    (["noexec", "exec"], {"rw"}),
    (["noatime"], {"noatime"}),
    (["nodiratime"], {"nodiratime"}),
    (["strictatime"], {"rw"}),
    (["relatime"], {"relatime"}),
    (["nosymfollow"], {"nosymfollow"}),
    (["rro"], {"ro"}),
    (["defaults"], {"rw"}),
    ([], {"rw"}),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS, ids=[",".join(row[0]) for row in OPTIONS])
def test_flags_of_binds_and_filesystems(box: Box, source: Path, options: list[str], expected: set[str]) -> None:
    config = with_bind(default_config(), source, "/bound", *options)
    with_mount(config, "/made", "tmpfs", "tmpfs", *options)
    found = mounts_in(box, config)
    for point in ("/bound", "/made"):
        assert expected <= found[point][0], point
        for flag in ("ro", "nosuid", "nodev", "noexec"):
            if flag not in expected:
                assert flag not in found[point][0], point


def test_options_of_a_filesystem(box: Box) -> None:
    config = with_mount(
        default_config(), "/made", "tmpfs", "named", "size=1m", "mode=750", "uid=7", "nr_inodes=50", "ro"
    )
    assert {"size=1024k", "mode=750", "uid=7", "nr_inodes=50"} <= mounts_in(box, config)["/made"][3]
    assert box.shell("stat -c %a:%u /made; df /made | tail -1 | cut -d' ' -f1", config) == "750:7\nnamed\n"


def test_a_tmpfs_has_the_mode_of_what_it_covers(box: Box) -> None:
    (box.rootfs / "srv").chmod(0o2751)
    assert box.shell("stat -c %a /srv", with_mount(default_config(), "/srv", "tmpfs", "t")) == "2751\n"


def test_binds_of_files_and_folders(box: Box, source: Path) -> None:
    config = with_bind(default_config(), source, "/new/deep/folder")
    with_bind(config, source / "file", "/new/deep/file", "bind", "ro")
    config["mounts"].append({"destination": "/untyped", "source": str(source), "options": ["rbind"]})
    script = "cat /new/deep/folder/file /new/deep/file /untyped/file; echo x > /new/deep/file"
    result = box.run(with_shell(config, f"{script}; echo written > /new/deep/folder/made"))
    assert result.out == "content\n" * 3
    assert "Read-only file system" in result.err
    assert (source / "made").read_text() == "written\n"
    assert (source / "file").read_text() == "content\n"


def test_sources_and_destinations_may_be_relative(box: Box) -> None:
    (box.bundle / "data").mkdir(parents=True)
    config = default_config()
    config["mounts"].append(mount("relative/place", "bind", "data", "bind"))
    config["mounts"].append(mount("/a/../b/./c/", "tmpfs", "t"))
    box.shell("touch /relative/place/made", config)
    assert (box.bundle / "data" / "made").exists()
    assert {"/relative/place", "/b/c"} <= mounts_in(box, config).keys()


def test_a_symlink_in_the_destination_stays_inside(box: Box, source: Path) -> None:
    (box.rootfs / "out").symlink_to("/etc")
    (box.rootfs / "up").symlink_to("../../../../../../tmp")
    config = with_bind(default_config(), source, "/out/inner")
    with_bind(config, source, "/up/inner")
    assert {"/etc/inner", "/tmp/inner"} <= mounts_in(box, config).keys()
    assert not Path("/etc/inner").exists()
    assert not Path("/tmp/inner").exists()


def test_later_mounts_cover_earlier_ones(box: Box, source: Path) -> None:
    config = with_mount(default_config(), "/stack", "tmpfs", "t")
    with_bind(config, source, "/stack")
    assert box.shell("cat /stack/file", config) == "content\n"


def test_tmpcopyup(box: Box) -> None:
    place = box.rootfs / "srv"
    (place / "deep").mkdir()
    (place / "deep" / "file").write_text("kept\n")
    (place / "link").symlink_to("deep/file")
    os.chown(place / "deep" / "file", 3, 4)
    (place / "deep" / "file").chmod(0o640)
    config = with_mount(default_config(), "/srv", "tmpfs", "tmpfs", "tmpcopyup", "ro")
    out = box.shell("cat /srv/link; stat -c %u:%g:%a /srv/deep/file; touch /srv/x 2>/dev/null || echo ro", config)
    assert out == "kept\n3:4:640\nro\n"
    with_mount(config, "/srv", "tmpfs", "tmpfs", "tmpcopyup")
    box.shell("echo changed > /srv/deep/file", config)
    assert (place / "deep" / "file").read_text() == "kept\n"


@pytest.fixture
def nested(source: Path) -> Iterator[Path]:
    """A folder with a tmpfs mounted inside it, on the host."""
    inner = source / "inner"
    inner.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "inner", str(inner)], check=True)
    try:
        yield source
    finally:
        subprocess.run(["umount", "-l", str(inner)], check=True)


@pytest.mark.parametrize(
    ("options", "out"),
    [
        (["rbind"], "outer\ninner\n"),
        (["rbind", "ro"], "inner\n"),
        (["rbind", "rro"], ""),
        (["bind"], "outer\ninner\n"),
        (["bind", "ro"], ""),
    ],
)
def test_recursive_options(box: Box, nested: Path, options: list[str], out: str) -> None:
    config = with_bind(default_config(), nested, "/bound", *options)
    script = "touch /bound/x 2>/dev/null && echo outer; touch /bound/inner/x 2>/dev/null && echo inner; true"
    assert box.shell(script, config) == out
    assert ("/bound/inner" in mounts_in(box, config)) == ("rbind" in options)


def test_nothing_propagates_to_the_host(box: Box, nested: Path) -> None:
    """Also of a bind whose source is a shared mount."""
    subprocess.run(["mount", "--make-shared", str(nested / "inner")], check=True)
    config = with_bind(default_config(), nested, "/bound", "rshared")
    config["process"]["capabilities"] = {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")}
    before = box.snapshot()
    box.shell(
        "mkdir /bound/inner/new; mount -t tmpfs t /bound/inner/new; mount -t tmpfs t /bound; mount -t tmpfs t /mnt",
        config,
    )
    inner = str(nested / "inner")
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{inner}/new" in line]
    before.assert_unchanged()


@pytest.mark.parametrize(
    ("option", "field"),
    [("shared", "shared:"), ("rshared", "shared:"), ("private", ""), ("unbindable", "unbindable"), ("slave", "")],
)
def test_propagation_of_a_mount(box: Box, option: str, field: str) -> None:
    found = mounts_in(box, with_mount(default_config(), "/made", "tmpfs", "t", option))["/made"][1]
    assert found.startswith(field)
    assert bool(found) == bool(field)


@pytest.mark.parametrize(
    ("value", "field"), [("private", ""), ("shared", "shared:"), ("unbindable", "unbindable"), (None, "")]
)
def test_propagation_of_the_root(box: Box, value: str | None, field: str) -> None:
    config = default_config()
    if value:
        config["linux"]["rootfsPropagation"] = value
    before = box.snapshot()
    found = mounts_in(box, config)["/"][1]
    assert field in found
    assert value != "private" or found == ""
    before.assert_unchanged()


def test_a_slave_gets_mounts_of_the_host(box: Box, nested: Path) -> None:
    subprocess.run(["mount", "--make-shared", str(nested / "inner")], check=True)
    config = with_bind(default_config(), nested / "inner", "/bound", "rslave")
    box.start_sleeper(config)
    late = nested / "inner" / "late"
    late.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "late", str(late)], check=True)
    wait_for(lambda: " /bound/late " in box.exec("cat /proc/self/mountinfo").out)


def test_an_idmapped_bind(box: Box, source: Path) -> None:
    config = with_bind(default_config(), source, "/bound")
    mapping = [{"containerID": 0, "hostID": 5000, "size": 100}]
    config["mounts"][-1] |= {"uidMappings": mapping, "gidMappings": mapping}
    config["process"]["user"] = {"uid": 5000, "gid": 5000}
    assert box.shell("stat -c %u:%g /bound/file; touch /bound/made", config) == "5000:5000\n"
    assert (source / "made").stat().st_uid == 0


def test_an_idmapped_bind_in_a_user_namespace(box: Box, source: Path) -> None:
    (box.rootfs / "bound").mkdir()
    config = with_bind(with_user_namespace(default_config(), 100000), source, "/bound", "bind", "idmap")
    assert box.shell("stat -c %u:%g /bound/file; touch /bound/made; stat -c %u /bound/made", config) == "0:0\n0\n"
    assert (source / "made").stat().st_uid == 0


def test_the_hosts_tree_is_gone(box: Box) -> None:
    host = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    found = mounts_in(box, default_config())
    assert not {point for point in host & found.keys() if point not in ("/", "/proc", "/dev", "/sys")} - {
        "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
        *(point for point in found if point.startswith("/sys/fs/cgroup/")),
    }  # fmt: skip


def test_the_cgroup_mount_shows_the_containers_own(box: Box) -> None:
    out = box.shell("cat /proc/self/cgroup; find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | head -1 | xargs cat")
    assert {line.split(":")[2] for line in out.splitlines() if ":" in line} == {"/"}
    assert "1" in [line for line in out.splitlines() if ":" not in line]
    each = "find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | while read f"
    assert box.shell(f"{each}; do (echo 1 > $f) 2>/dev/null && echo $f; done; true") == ""


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_an_idmapped_filesystem_of_its_own(box: Box, option: str) -> None:
    """Its root belongs to id 0 in the filesystem, which this mount shows as 1000."""
    config = with_mount(default_config(), "/mapped", "tmpfs", "tmpfs", option)
    for member in ("uidMappings", "gidMappings"):
        config["mounts"][-1][member] = [{"containerID": 0, "hostID": 1000, "size": 10}]
    result = box.run(with_shell(config, "stat -c %u:%g /mapped"))
    if "mount_setattr: invalid argument" in result.err:
        pytest.skip("needs a kernel whose tmpfs can be id-mapped")
    assert result.ok().out == "1000:1000\n"
