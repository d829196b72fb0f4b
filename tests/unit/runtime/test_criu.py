"""CRIU's messages, and what of a container is told to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.criu import contents, messages, service
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.kernel import mount

if TYPE_CHECKING:
    from pathlib import Path


def test_a_request_is_protocol_buffers() -> None:
    data = messages.request(
        messages.DUMP,
        {"pid": 300, "shell_job": True, "ext_mnt": [messages.pair("/a", "b")], "root": "/r", "parent_img": None},
    )
    options = b"\x10\xac\x02\x38\x01\x6a\x02/r\xba\x01\x07\x0a\x02/a\x12\x01b"
    assert data == b"\x08\x01" + b"\x12" + bytes([len(options)]) + options


def test_a_negative_number_is_ten_bytes() -> None:
    assert messages.encode({1: -1}) == b"\x08" + b"\xff" * 9 + b"\x01"


def test_an_answer_is_read() -> None:
    notify = messages.encode({1: "post-restore", 2: 70000})
    answer = messages.Answer(messages.encode({1: messages.NOTIFY, 2: True, 5: notify, 9: "why\n"}))
    assert (answer.type, answer.success, answer.script, answer.pid) == (messages.NOTIFY, True, "post-restore", 70000)
    assert answer.message == "why"
    assert messages.decode(b"\x0d1234\x09" + b"8" * 8) == {1: [b"1234", b"8" * 8]}


@pytest.mark.parametrize("data", [b"\x08", b"\x08\x80", b"\x12\x05ab", b"\x0b"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(messages.Malformed):
        messages.decode(data)


def test_names_come_from_the_place_among_destinations() -> None:
    config: dict[str, Any] = {
        "mounts": [
            {"destination": "/p", "type": "proc"},
            {"destination": "/mount-0/../a b", "source": "/s:mnt[x]:/", "options": ["rbind", "rro", "nosuid"]},
            {"destination": "/p", "options": ["remount", "bind"]},
        ]
    }
    record = {"rootfs": "/", "bundle": "/b", "cgroup": None}
    (found,) = contents.externals(config, record, Facts())
    assert (found.name, found.destination, found.source) == ("mount-0", "/a b", "/s:mnt[x]:/")
    assert found.flags == ("ro", "nosuid")


def test_mounts_may_come_in_another_order() -> None:
    """Each name stays with its mount; of two on the same place the order counts."""
    hosts: dict[str, Any] = {"destination": "/etc/hosts", "source": "/h", "options": ["bind"]}
    shown: dict[str, Any] = {"destination": "/etc/hosts", "source": "/i", "options": ["bind", "ro"]}
    proc: dict[str, Any] = {"destination": "/proc", "type": "proc"}
    record = {"rootfs": "/", "bundle": "/b", "cgroup": None}
    before = contents.manifest({"mounts": [hosts, proc, shown]}, [])
    names = {("mount-0", "/h"), ("mount-1", "/i")}
    for mounts in ([hosts, proc, shown], [proc, hosts, shown]):
        contents.compare({"mounts": mounts}, before)
        found = contents.externals({"mounts": mounts}, record, Facts())
        assert {(each.name, each.source) for each in found} == names
        assert [mounts[int(each.pointer.rpartition("/")[2])]["source"] for each in found] == ["/h", "/i"]
    with pytest.raises(Failure) as caught:
        contents.compare({"mounts": [proc, shown, hosts]}, before)
    assert caught.value.where == "/mounts/1"


SHM = ["bind", "rprivate", "nosuid", "noexec", "nodev"]


@pytest.mark.parametrize(
    ("options", "same"),
    [
        (["bind", "private", "nosuid", "nodev", "noexec"], True),
        (["nodev", "rw", "ro", *SHM, "rw"], False),
        (["bind", "rshared", "nosuid", "noexec", "nodev"], False),
        (["rbind", *SHM[1:]], False),
        (SHM[:-1], False),
        ([*SHM, "ro"], False),
    ],
)
def test_words_that_ask_for_the_same(options: list[str], same: bool) -> None:
    """Podman writes other words in the configuration of a restore than in that of the first start."""
    shm: dict[str, Any] = {"destination": "/dev/shm", "type": "bind", "source": "/s", "options": SHM}
    before = contents.manifest({"mounts": [shm]}, [])
    if same:
        contents.compare({"mounts": [shm | {"options": options}]}, before)
    else:
        with pytest.raises(Failure, match="the configuration differs"):
            contents.compare({"mounts": [shm | {"options": options}]}, before)


@pytest.mark.parametrize(
    "shown", ["/dev/shm", ["/dev/shm"], ["/dev/shm", "bind", [1]], ["/dev/shm", "bind", "ro"], None]
)
def test_a_description_that_is_none_differs(shown: object) -> None:
    shm: dict[str, Any] = {"destination": "/dev/shm", "type": "bind", "source": "/s", "options": SHM}
    before = contents.manifest({"mounts": [shm]}, []) | {"mounts": [shown]}
    with pytest.raises(Failure, match="the configuration differs"):
        contents.compare({"mounts": [shm]}, before)


@pytest.mark.parametrize("destination", ["/a]:b", "/mnt[x", "/a\nb"])
def test_a_destination_that_could_end_a_name(destination: str) -> None:
    with pytest.raises(Failure) as caught:
        contents.External("mount-0", "/mounts/0", destination, "/s")
    assert caught.value.where == "/mounts/0"


LINE = "31 1 0:5 /null /proc/a\\040b rw,nosuid master:2 - devtmpfs dev rw"


def test_a_line_of_mountinfo() -> None:
    found = contents.Mounted(LINE)
    assert (found.number, found.root, found.place, found.fstype) == (31, "/null", "/proc/a b", "devtmpfs")
    assert found.flags == {"rw", "nosuid"}


def test_a_mount_that_lost_a_flag_is_refused() -> None:
    seen = {"/proc/a b": contents.Mounted(LINE)}
    contents.check_flags([contents.External("mount-0", "/mounts/0", "/proc/a b", "/s", ("nosuid",))], seen)
    with pytest.raises(Failure, match="is not ro"):
        contents.check_flags([contents.External("mount-0", "/mounts/0", "/proc/a b", "/s", ("ro", "nosuid"))], seen)
    with pytest.raises(Failure, match="nothing is mounted"):
        contents.check_flags([contents.External("mount-0", "/mounts/0", "/b", "/s")], seen)


def test_what_the_mount_lacks_is_named() -> None:
    seen = {"/proc/a b": contents.Mounted(LINE)}
    lacking = contents.External("mount-0", "/mounts/0", "/proc/a b", "/s", ("ro", "nosuid", "noexec"))
    absent = contents.External("mount-1", "/mounts/1", "/b", "/s", ("ro",))
    assert contents.lost([lacking, absent], seen) == [("/proc/a b", mount.MOUNT_ATTR_RDONLY | mount.MOUNT_ATTR_NOEXEC)]


def test_masked_files_and_bound_devices_are_covers() -> None:
    lines = [LINE, "32 1 0:6 / /proc/d ro - tmpfs none ro", "33 1 0:5 /tty /dev/tty rw - devtmpfs dev rw"]
    seen = {each.place: each for each in map(contents.Mounted, lines)}
    config = {"linux": {"maskedPaths": ["/proc/a b", "/proc/d", "/proc/absent"]}}
    assert [(each.name, each.destination) for each in contents.covers(config, seen)] == [
        ("null", "/proc/a b"), ("default-tty", "/dev/tty"),
    ]  # fmt: skip


def test_what_a_log_says_is_printable_and_about_the_cause(tmp_path: Path) -> None:
    text = "(0.1) fine\n(0.2) Error (a.c:1): bad \x1b[31mname\n(0.3) Error (b.c:2): Dumping FAILED.\n"
    (tmp_path / "dump.log").write_text(text)
    folder = os.open(tmp_path, os.O_RDONLY)
    said = str(service.told("checkpoint", folder, str(tmp_path), "dump.log", ""))
    bare = str(service.told("checkpoint", folder, str(tmp_path), "absent", "it printed"))
    os.close(folder)
    assert said == f"checkpoint with CRIU (log: {tmp_path}/dump.log): (a.c:1): bad ?[31mname"
    assert bare == "checkpoint with CRIU: it printed"
