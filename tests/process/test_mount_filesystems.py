"""Mount options that concern a filesystem as a whole, remounts, and options that only a filesystem can judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from process.mounting import image, last, loop_device, mounted, mounts_in, parse
from support import facility
from support.bundle import Config, default_config, with_bind, with_mount, with_shell
from support.facility import requires

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SHOWN = {"sync", "dirsync", "lazytime", "mand"}
"""What the kernel shows of a superblock's flags, besides ro and rw."""

SUPERBLOCK: list[tuple[str, list[str], set[str]]] = [
    ("sync", ["sync"], {"sync"}),
    ("async", ["sync", "async"], set()),
    ("dirsync", ["dirsync"], {"dirsync"}),
    ("lazytime", ["lazytime"], {"lazytime"}),
    ("nolazytime", ["lazytime", "nolazytime"], set()),
    ("mand", ["mand"], {"mand"}),
    ("nomand", ["mand", "nomand"], set()),
    ("defaults", ["defaults"], set()),
    ("all", ["dirsync", "sync", "lazytime"], {"sync", "dirsync", "lazytime"}),
]


@pytest.mark.parametrize(("options", "shown"), [row[1:] for row in SUPERBLOCK], ids=[row[0] for row in SUPERBLOCK])
def test_superblock(box: Box, options: list[str], shown: set[str]) -> None:
    made = mounts_in(box, with_mount(default_config(), "/made", "tmpfs", "t", *options))["/made"]
    assert made.superblock & SHOWN == shown
    assert made.options == {"rw", "relatime"}


@pytest.mark.parametrize("option", ["async", "nolazytime", "nomand"])
def test_an_opposite_alone(box: Box, option: str) -> None:
    made = mounts_in(box, with_mount(default_config(), "/made", "tmpfs", "t", option))["/made"]
    assert made.superblock & SHOWN == set()


@pytest.mark.parametrize("option", ["iversion", "noiversion", "silent", "loud", "defaults"])
def test_an_option_that_no_filesystem_gets(box: Box, tmp_path: Path, option: str) -> None:
    """The kernel shows nothing of these. They are taken, wherever they stand, and no filesystem is asked about them:
    it would refuse them as it refuses the control, a word that it does not know.
    """
    with loop_device(image(tmp_path / "image")) as device:
        plain = mounts_in(box, with_mount(with_mount(default_config(), "/t", "tmpfs", "t"), "/e", "ext4", device))
        config = with_mount(default_config(), "/t", "tmpfs", "t", option)
        with_mount(config, "/e", "ext4", device, option)
        with_bind(config, tmp_path, "/b", option)
        result = box.run(with_shell(config, "cat /proc/self/mountinfo")).ok()
        found = parse(result.out)
        said = "left to the filesystem, which cannot be told: " + option
        assert [line["msg"] for line in result.log] == [
            f"/mounts/{at}/options: {said}" for at in (7, 8, 9) if option in ("iversion", "noiversion", "silent")
        ]
        assert [found[point] for point in ("/t", "/e")] == [plain[point] for point in ("/t", "/e")]
        assert found["/b"].options == {"rw", "relatime"}
        for kind, source in (("tmpfs", "t"), ("ext4", device)):
            control = with_mount(default_config(), "/x", kind, source, f"x{option}")
            assert f"x{option}" in one_sentence(box.run(control).expect(1))


CUSTOM: list[tuple[list[str], set[str]]] = [
    (["noauto", "_netdev", "nouser", "x-systemd.automount", "comment=mine"], set()),
    (["user"], {"nosuid", "nodev", "noexec"}),
    (["users", "exec"], {"nosuid", "nodev"}),
    (["owner"], {"nosuid", "nodev"}),
    (["group", "dev", "suid"], set()),
]


@pytest.mark.parametrize(("options", "flags"), CUSTOM, ids=[",".join(row[0]) for row in CUSTOM])
def test_words_that_only_mount_8_knows(box: Box, options: list[str], flags: set[str]) -> None:
    """They are not for the kernel; those that let users mount imply some flags, unless later ones say otherwise."""
    made = mounts_in(box, with_mount(default_config(), "/made", "tmpfs", "t", *options))["/made"]
    assert made.options == {"rw", "relatime"} | flags


def test_an_unknown_option_is_the_filesystems(box: Box) -> None:
    """And what the filesystem has against it is in the error, in the kernel's words."""
    config = with_mount(default_config(), "/made", "tmpfs", "t", "size=1m", "nosuchoption")
    sentence = one_sentence(box.run(config).expect(1))
    assert f"{last(config)}: mount tmpfs on /made" in sentence
    assert "nosuchoption" in sentence
    assert "tmpfs: Unknown parameter 'nosuchoption'" in sentence
    config["mounts"][-1]["options"] = ["size=many"]
    assert "tmpfs: Bad value for 'size'" in one_sentence(box.run(config).expect(1))


def test_sources_that_are_not_there(box: Box) -> None:
    config = with_mount(default_config(), "/bound", "bind", "/no/such/source", "ro")
    sentence = one_sentence(box.run(config).expect(1))
    assert "/mounts/7: bind mount /no/such/source on /bound: open_tree: no such file or directory" in sentence
    for source in ("", None):
        config["mounts"][-1] |= {"source": source}
        if source is None:
            del config["mounts"][-1]["source"]
        sentence = one_sentence(box.run(config).expect(1))
        assert "/mounts/7/source: bind mount on /bound: nothing is named to be bound" in sentence


def test_a_type_that_the_kernel_does_not_have(box: Box) -> None:
    for kind in ("nosuchfs", ""):
        sentence = one_sentence(box.run(with_mount(default_config(), "/made", kind, "t")).expect(1))
        assert "/mounts/7: mount " in sentence
        assert "fsopen: no such device" in sentence


def test_a_bind_leaves_its_filesystem_as_it_is(box: Box, tmp_path: Path) -> None:
    """Which is said, since such an option does nothing for a bind; a word that nobody knows is refused."""
    result = box.run(with_bind(default_config(), tmp_path, "/bound", "sync", "lazytime", "ro")).ok()
    (said,) = [line["msg"] for line in result.log if line["level"] == "warning"]
    assert said == "/mounts/7/options: a bind mount leaves its filesystem as it is: ignoring sync, lazytime"
    sentence = one_sentence(box.run(with_bind(default_config(), tmp_path, "/bound", "size=1m")).expect(1))
    assert "/mounts/7/options: bind mount on /bound: a bind takes no option of a filesystem: size=1m" in sentence


@pytest.mark.parametrize("kind", ["bind", "proc", "remount"])
def test_tmpcopyup_is_for_a_new_tmpfs(box: Box, tmp_path: Path, kind: str) -> None:
    config = with_mount(default_config(), "/srv", kind, str(tmp_path), "tmpcopyup")
    if kind == "remount":
        config["mounts"][-1] |= {"type": "tmpfs", "options": ["remount", "tmpcopyup"]}
    sentence = one_sentence(box.run(config).expect(1))
    assert f"{last(config)}/options: mount on /srv: tmpcopyup fills a new tmpfs only" in sentence


def cgroup_view(*options: str) -> Config:
    config = default_config()
    (entry,) = [each for each in config["mounts"] if each["type"] == "cgroup"]
    entry["options"] = list(options)
    return config


@pytest.mark.parametrize("options", [["rprivate", "rnosuid", "ro"], ["rslave", "nosuid", "noexec", "rnodev"]])
def test_the_options_of_a_cgroup_mount(box: Box, options: list[str]) -> None:
    found = mounts_in(box, cgroup_view(*options))
    views = {point: each for point, each in found.items() if point.startswith("/sys/fs/cgroup")}
    assert views
    for each in views.values():
        assert {word.removeprefix("r") for word in options if word.startswith("rno")} <= each.options
        assert ("ro" in each.options) == ("ro" in options)
        assert each.propagation == ""


@requires(facility.cgroup_v1)
@pytest.mark.parametrize("option", ["nsdelegate", "sync"])
def test_a_cgroup_mount_of_v1_takes_no_option_of_a_filesystem(box: Box, option: str) -> None:
    sentence = one_sentence(box.run(cgroup_view("ro", option)).expect(1))
    assert "/mounts/6/options: mount cgroup on /sys/fs/cgroup: only a cgroup2 of its own takes options" in sentence
    assert option in sentence


def test_a_filesystem_on_a_device(box: Box, tmp_path: Path) -> None:
    """Type, source and options of its own reach the filesystem: ext4 understands errors=, and shows it."""
    with loop_device(image(tmp_path / "image")) as device:
        config = with_mount(default_config(), "/data", "ext4", device, "errors=remount-ro", "noatime")
        made = mounts_in(box, config)["/data"]
        assert made.kind == "ext4"
        assert made.options == {"rw", "noatime"}
        assert "errors=remount-ro" in made.superblock
        assert box.shell("echo kept > /data/file", config) == ""
        with mounted(tmp_path / "look", device) as top:
            assert (top / "file").read_text() == "kept\n"


def test_read_only_on_a_device_that_cannot_be_written(box: Box, tmp_path: Path) -> None:
    """As mount(8) does it: the filesystem itself is read-only too, or the kernel would not open the device."""
    with loop_device(image(tmp_path / "image"), "--read-only") as device:
        config = with_mount(default_config(), "/data", "ext4", device, "ro")
        made = mounts_in(box, config)["/data"]
        assert "ro" in made.options
        assert "ro" in made.superblock


def test_the_order_is_that_of_the_list(box: Box) -> None:
    """Each mount goes where the earlier ones have put its destination: on top, inside, or into what is covered."""
    (box.rootfs / "top" / "in").mkdir(parents=True)
    config = with_mount(default_config(), "/top/in", "tmpfs", "covered")
    with_mount(config, "/top", "tmpfs", "first", "mode=711")
    with_mount(config, "/top/in", "tmpfs", "second")
    with_mount(config, "/top/in", "tmpfs", "third", "size=64k")
    script = (
        "stat -c %a /top; while read -r i p d root at rest; do echo $at ${rest#* - tmpfs }; done </proc/self/mountinfo"
    )
    lines = [line.split()[:2] for line in box.shell(script, config).splitlines()[1:] if line.startswith("/top")]
    assert lines == [["/top/in", "covered"], ["/top", "first"], ["/top/in", "second"], ["/top/in", "third"]]
    config["mounts"][-3:] = [config["mounts"][-1], config["mounts"][-3]]
    assert box.shell("ls /top/in 2>/dev/null || echo covered", config) == "covered\n"


REMOUNTS = [
    (["remount", "ro"], {"ro", "nosuid", "relatime"}, "size=1024k"),
    (["remount", "bind", "ro"], {"ro", "nosuid", "relatime"}, "size=1024k"),
    (["remount", "suid", "noexec"], {"rw", "noexec", "relatime"}, "size=1024k"),
    (["remount", "size=2m"], {"rw", "nosuid", "relatime"}, "size=2048k"),
    (["remount", "sync"], {"rw", "nosuid", "relatime"}, "sync"),
    (["remount", "noatime"], {"rw", "nosuid", "noatime"}, "size=1024k"),
]


@pytest.mark.parametrize(("options", "expected", "own"), REMOUNTS, ids=[",".join(row[0]) for row in REMOUNTS])
def test_remount(box: Box, options: list[str], expected: set[str], own: str) -> None:
    """What an earlier entry has mounted is changed where it is; what is not named stays."""
    config = with_mount(default_config(), "/made", "tmpfs", "t", "size=1m", "nosuid")
    with_mount(config, "/made", "", "", *options)
    made = mounts_in(box, config)["/made"]
    assert made.options == expected
    assert own in made.superblock
    points = [line.split()[4] for line in box.shell("cat /proc/self/mountinfo", config).splitlines()]
    assert points.count("/made") == 1


def test_a_remount_writes_again(box: Box) -> None:
    config = with_mount(default_config(), "/made", "tmpfs", "t", "ro")
    assert "Read-only file system" in box.run(with_shell(config, "echo x > /made/file")).err
    with_mount(config, "/made", "", "", "remount", "rw")
    assert box.shell("echo x > /made/file; cat /made/file", config) == "x\n"
