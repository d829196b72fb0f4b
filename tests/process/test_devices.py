"""linux.devices, the default devices and the links of /dev, used from inside."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from process.mounting import mounted
from support.bundle import (
    DEFAULT_CAPABILITIES,
    default_config,
    mount,
    with_capabilities,
    with_shell,
    with_user_namespace,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

LOOK = "stat -c '%F %t:%T %a %u:%g'"
USER = 1000


def device(path: str, kind: str, **members: Any) -> dict[str, Any]:
    return {"path": path, "type": kind, **members}


def with_devices(*devices: dict[str, Any]) -> Config:
    """All of the image's /dev its own, and every device allowed."""
    config = default_config()
    config["linux"]["devices"] = list(devices)
    config["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    return config


def with_own_dev(config: Config) -> Config:
    """Without a tmpfs on /dev: what the image has there stays visible."""
    config["mounts"] = [each for each in config["mounts"] if not each["destination"].startswith("/dev")]
    return config


KINDS = [
    (device("/dev/one", "c", major=1, minor=5), "character special file 1:5 666 0:0"),
    (device("/dev/one", "u", major=1, minor=5), "character special file 1:5 666 0:0"),
    (device("/dev/one", "b", major=7, minor=99, fileMode=0o640), "block special file 7:63 640 0:0"),
    (device("/dev/one", "p"), "fifo 0:0 666 0:0"),
    (device("/dev/one", "p", fileMode=0o622, uid=3, gid=4), "fifo 0:0 622 3:4"),
    (device("/dev/one", "c", major=1, minor=5, fileMode=0o600, uid=7, gid=8), "character special file 1:5 600 7:8"),
    (device("/dev/one", "c", major=1, minor=5, uid=7), "character special file 1:5 666 7:0"),
    (device("/dev/one", "c", major=1, minor=5, gid=8), "character special file 1:5 666 0:8"),
    (device("/dev/one", "c", major=511, minor=1048575, fileMode=0), "character special file 1ff:fffff 0 0:0"),
    (device("/else/where/one", "c", major=1, minor=3), "character special file 1:3 666 0:0"),
]


@pytest.mark.parametrize("option", ["ro", "rro"])
def test_a_read_only_dev_is_closed_last(box: Box, option: str) -> None:
    """What lies in it is made first, and the mounts in it keep their own flags."""
    config = with_devices(device("/dev/one", "c", major=1, minor=5))
    (tmpfs,) = [each for each in config["mounts"] if each["destination"] == "/dev"]
    tmpfs["options"].append(option)
    script = f"{LOOK} /dev/one; echo x >/dev/null && touch /dev/shm/x && echo used; touch /dev/x"
    done = box.run(with_shell(config, script)).expect(1)
    assert done.out.splitlines() == ["character special file 1:5 666 0:0", "used"]
    assert "/dev/x: Read-only file system" in done.err


@pytest.mark.parametrize(("entry", "expected"), KINDS)
def test_a_listed_device(box: Box, entry: dict[str, Any], expected: str) -> None:
    """Type, numbers, mode and owner, whatever the umask."""
    config = with_devices(entry)
    config["process"]["user"]["umask"] = 0o77
    assert box.shell(f"{LOOK} {entry['path']}", config) == f"{expected}\n"


def test_listed_devices_work(box: Box) -> None:
    """A device node that reads as /dev/zero does, and a fifo that carries what is written to it."""
    config = with_devices(device("/dev/mine", "c", major=1, minor=5), device("/dev/pipe", "p"))
    script = "head -c 3 /dev/mine | od -An -tx1; (echo through > /dev/pipe &); cat /dev/pipe"
    assert box.shell(script, config).split() == ["00", "00", "00", "through"]


def test_the_mode_decides_who_may_use_it(box: Box) -> None:
    config = with_devices(
        device("/dev/mine", "c", major=1, minor=5, fileMode=0o600, uid=USER),
        device("/dev/theirs", "c", major=1, minor=5, fileMode=0o600, uid=USER + 1),
        device("/dev/group", "c", major=1, minor=5, fileMode=0o640, uid=USER + 1, gid=USER),
    )
    config["process"]["user"] = {"uid": USER, "gid": USER}
    with_capabilities(config, [])
    script = "for d in mine theirs group; do (head -c 1 /dev/$d | wc -c) 2>/dev/null; done"
    assert box.shell(script, config).split() == ["1", "0", "1"]


def test_the_default_devices_do_what_they_are_for(box: Box) -> None:
    """null swallows, zero and full give zeros, full has no room, random and urandom give bytes, tty has no terminal."""
    script = (
        "cd /dev; echo x > null; wc -c < null; head -c 2 zero | od -An -tx1; head -c 1 full | od -An -tx1; "
        "echo x > full; head -c 5 random | wc -c; head -c 5 urandom | wc -c; (: < tty); : < ptmx && echo ptmx"
    )
    result = box.run(with_shell(default_config(), script)).ok()
    assert result.out.split() == ["0", "00", "00", "00", "5", "5", "ptmx"]
    assert "No space left on device" in result.err
    assert "tty: No such device or address" in result.err, "it is the process's own terminal, which there is not"


def test_the_links_lead_to_the_process_s_own_streams(box: Box) -> None:
    """Through pipes, since opening a file again gives a position of its own."""
    script = "cat /dev/stdin; echo out > /dev/stdout | cat; (echo err > /dev/stderr) 2>&1 | cat; ls /dev/fd/"
    box.write(with_shell(default_config(), script))
    result = box.runtime.call("run", "--bundle", str(box.bundle), box.ident, stdin=b"in\n").ok()
    assert result.out.split() == ["in", "out", "err", "0", "1", "2", "3"], "the last is the folder that ls has opened"


OTHERS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text(""),
    "directory": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("null"),
    "fifo": os.mkfifo,
    "other-number": lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "other-kind": lambda path: os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(1, 3)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_file_in_its_place_is_an_error(box: Box, what: str) -> None:
    path = box.rootfs / "dev" / "mine"
    OTHERS[what](path)
    before = path.lstat()
    config = with_own_dev(with_devices(device("/dev/mine", "c", major=1, minor=3)))
    sentence = one_sentence(box.run(config).expect(1))
    assert "/linux/devices/0: make the device /dev/mine" in sentence
    assert "exists and is something else" in sentence
    assert (path.lstat().st_mode, path.lstat().st_rdev) == (before.st_mode, before.st_rdev)


def test_another_file_in_place_of_a_default_device_is_an_error(box: Box) -> None:
    (box.rootfs / "dev" / "null").write_text("")
    sentence = one_sentence(box.run(with_own_dev(default_config())).expect(1))
    assert "make the device /dev/null" in sentence
    assert "exists and is something else" in sentence


def test_a_bound_dev_has_to_bring_what_is_listed(box: Box) -> None:
    """Nothing is made in it, since it may be the host's."""
    dev = box.directory / "dev"
    dev.mkdir()
    node(dev / "mine")
    config = with_own_dev(with_devices(device("/dev/mine", "c", major=1, minor=3, fileMode=0o666)))
    config["mounts"].append(mount("/dev", "bind", str(dev), "bind"))
    assert box.shell(f"{LOOK} /dev/mine; ls /dev", config) == "character special file 1:3 600 0:0\nmine\n"
    for entry, words in (
        (device("/dev/mine", "c", major=1, minor=5), "exists and is something else"),
        (device("/dev/other", "c", major=1, minor=3), "no such file or directory"),
    ):
        config["linux"]["devices"] = [entry]
        sentence = one_sentence(box.run(config).expect(1))
        assert f"/linux/devices/0: find the device {entry['path']}" in sentence
        assert words in sentence
    assert [path.name for path in dev.iterdir()] == ["mine"]
    config["linux"]["devices"] = [device("/srv/elsewhere", "c", major=1, minor=5)]
    assert box.shell("head -c 1 /srv/elsewhere | wc -c", config) == "1\n"


def node(path: Path, mode: int = 0o600) -> None:
    """The image's own null device."""
    os.mknod(path, stat.S_IFCHR | mode, os.makedev(1, 3))
    path.chmod(mode)


def test_the_very_device_is_taken_as_it_is(box: Box) -> None:
    node(box.rootfs / "dev" / "mine", 0o604)
    config = with_own_dev(with_devices(device("/dev/mine", "c", major=1, minor=3)))
    assert box.shell(f"{LOOK} /dev/mine", config) == "character special file 1:3 604 0:0\n"


def test_what_is_asked_for_explicitly_is_changed(box: Box) -> None:
    node(box.rootfs / "dev" / "mine")
    entry = device("/dev/mine", "c", major=1, minor=3, fileMode=0o644, uid=5, gid=6)
    assert box.shell(f"{LOOK} /dev/mine", with_own_dev(with_devices(entry))) == "character special file 1:3 644 5:6\n"


def userns(box: Box, *devices: dict[str, Any]) -> Config:
    """Where devices cannot be made: the host's are bound."""
    config = with_user_namespace(with_devices(*devices))
    os.chown(box.rootfs, 100000, 100000)
    os.chown(box.rootfs / "dev", 100000, 100000)
    return config


def test_in_a_user_namespace(box: Box) -> None:
    config = userns(box, device("/dev/full", "c", major=1, minor=7), device("/dev/pipe", "p", fileMode=0o640, gid=4))
    script = "stat -c %t:%T /dev/full /dev/null /dev/zero; head -c 2 /dev/zero | wc -c; echo x > /dev/full; "
    result = box.run(with_shell(config, f"{script} {LOOK} /dev/pipe")).ok()
    assert result.out.splitlines() == ["1:7", "1:3", "1:5", "2", "fifo 0:0 640 0:4"]
    assert "No space left on device" in result.err


@pytest.mark.parametrize("what", [name for name in OTHERS if name != "file"])
def test_another_file_in_a_user_namespace_is_an_error(box: Box, what: str) -> None:
    OTHERS[what](box.rootfs / "dev" / "full")
    config = with_own_dev(userns(box, device("/dev/full", "c", major=1, minor=7)))
    sentence = one_sentence(box.run(config).expect(1))
    assert "/linux/devices/0: make the device /dev/full" in sentence
    assert "exists and is something else" in sentence or "too many levels of symbolic links" in sentence


@pytest.mark.parametrize(("entry", "expected"), KINDS)
def test_a_listed_device_in_a_user_namespace(box: Box, entry: dict[str, Any], expected: str) -> None:
    """As without one; the owner is the container's user of that number, and delete leaves nothing on the host."""
    config = userns(box, entry)
    before = box.snapshot()
    (box.rootfs / "else").mkdir()
    os.chown(box.rootfs / "else", 100000, 100000)
    config["process"]["user"]["umask"] = 0o77
    assert box.shell(f"{LOOK} {entry['path']}", config) == f"{expected}\n"
    before.assert_unchanged()


def test_several_listed_devices_in_a_user_namespace(box: Box) -> None:
    """Also when create fails later: their nodes go with the container."""
    entries = [device(f"/dev/own{minor}", "c", major=1, minor=minor, fileMode=0o600 + minor) for minor in (3, 5, 7)]
    config = userns(box, *entries)
    before = box.snapshot()
    assert box.shell("stat -c %T:%a /dev/own*; echo x > /dev/own3; head -c 2 /dev/own5 | wc -c", config).split() == [
        "3:603", "5:605", "7:607", "2",
    ]  # fmt: skip
    config["process"]["args"] = ["no-such-program"]
    box.run(config).expect(1)
    before.assert_unchanged()


def test_the_state_may_lie_where_there_are_no_devices(box: Box) -> None:
    """As /run does on most hosts."""
    with mounted(box.runtime.root, "-t", "tmpfs", "-o", "nodev,nosuid,noexec", "state"):
        config = userns(box, device("/dev/own", "c", major=1, minor=5))
        assert box.shell("head -c 2 /dev/own | wc -c", config) == "2\n"


def test_an_owner_without_a_mapping_is_refused(box: Box) -> None:
    sentence = one_sentence(box.run(userns(box, device("/dev/one", "c", major=1, minor=5, gid=70000))).expect(1))
    assert "/linux/devices/0/gid: the gid 70000 of the device is not mapped to the host" in sentence


def test_capabilities_that_make_devices_are_not_needed(box: Box) -> None:
    assert "CAP_MKNOD" not in DEFAULT_CAPABILITIES
    config = with_devices(device("/dev/mine", "c", major=1, minor=5))
    assert box.shell("mknod /dev/x c 1 3 2>/dev/null || echo refused; head -c 1 /dev/mine | wc -c", config).split() == [
        "refused", "1",
    ]  # fmt: skip
