"""Would the kernel execute this program of the image? What is said of those that it would not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.bundle import mount, with_user_namespace
from unit.runtime.judged import OTHER, Image, elf

from ocirun.checks.executable import _matches, interpreter
from ocirun.checks.executable import elf as parse
from ocirun.checks.rootfs import CoveredError, Root

if TYPE_CHECKING:
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not this lane: needs root")
MISSING = "no such file or directory"
FORMAT = "exec format error"


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


CONTENTS = [
    # content of /bin/prog, words of the message, words of the hint; no words: nothing is wrong
    (elf(), "", ""),
    (elf(loader="/lib/ld.so"), f"its loader /lib/ld.so: {MISSING}", "which the image lacks"),
    (elf(loader="/bin/prog"), "", ""),
    (elf(OTHER), FORMAT, "and this machine is"),
    (elf()[:40], FORMAT, "damaged or cut off"),
    (b"", FORMAT, "the file is empty"),
    (b"echo hello\n", FORMAT, "neither an ELF file nor a script"),
    (b"\xef\xbb\xbf#!/bin/other\n", FORMAT, "byte order mark"),
    (b"MZ\x90\0", FORMAT, "a program for Windows"),
    (b"#!/bin/other\n", "", ""),
    (b"#! /bin/other -e\n", "", ""),
    (b"#!/bin/other\r\n", rf"its interpreter /bin/other\r: {MISSING}", "CR LF"),
    (b"#!/bin/bash\n", f"its interpreter /bin/bash: {MISSING}", "the image has no /bin/bash"),
    (b"#!/bin/othr\n", f"its interpreter /bin/othr: {MISSING}", "did you mean other?"),
    (b"#!/usr/local/bin/other\n", MISSING, "did you mean /bin/other?"),
    (b"#!/bin/plain\n", "/bin/plain is not executable: permission denied", "chmod +x /bin/plain"),
    (b"#!/bin/prog\n", "too many levels of symbolic links", "is a script"),
    (b"#!/usr/bin/env other\n", "", ""),
    (b"#!/usr/bin/env python3\n", "env will not find python3", "PATH is /bin"),
    (b"#!/usr/bin/env other\r\n", r"env will not find other\r", "CR LF"),
]


@pytest.mark.parametrize(("content", "message", "hint"), CONTENTS, ids=[repr(row[0])[:40] for row in CONTENTS])
def test_what_a_program_is(image: Image, content: bytes, message: str, hint: str) -> None:
    image.file("bin/prog", content)
    image.file("bin/other", elf())
    image.file("bin/plain", elf(), 0o644)
    image.file("usr/bin/env", elf())
    found = image.told()
    assert len(found) == bool(message), found
    for pointer, said, tried in found:
        assert pointer == "/process/args/0"
        assert message in said
        assert hint in tried
    assert image.told(host=False) == []


NAMES = [
    # args[0], words of the message, hint
    ("prog", "", ""),
    ("/bin/prog", "", ""),
    ("./prog", f"/prog in the root filesystem: {MISSING}", "did you mean /bin/prog?"),
    ("/bin/../../../bin/prog", "", ""),
    ("absolute", "", ""),
    ("parog", "no parog in any directory of PATH", "did you mean prog?"),
    ("/bin/progg", MISSING, "did you mean prog?"),
    ("/bni/prog", f"/bni in the root filesystem: {MISSING}", "did you mean /bin/prog?"),
    ("/bin/prog/x", "/bin/prog in the root filesystem: not a directory", "did you mean prog?"),
    ("loop", "no loop in any directory of PATH", "a link of this name leads to no file"),
    ("/bin/loop", "too many levels of symbolic links", ""),
    ("/etc", "/etc is a directory", "name a program in it"),
    ("plain", "/bin/plain is not executable: permission denied", "whose mode is 0644: chmod +x /bin/plain"),
    ("/mnt/anything", "", ""),
    ("/bin/covered", "", ""),
    ("zzz", "no zzz in any directory of PATH", "add it to the image, or its directory to PATH, which is /bin:/usr/bin"),
]


@pytest.mark.parametrize(("name", "message", "hint"), NAMES)
def test_how_a_program_is_found(image: Image, name: str, message: str, hint: str) -> None:
    image.file("bin/prog", elf())
    image.file("bin/plain", elf(), 0o644)
    for link, target in (("absolute", "/usr/bin/real"), ("loop", "loop"), ("covered", "/mnt/covered")):
        (image.root / "bin" / link).symlink_to(target)
    image.file("usr/bin/real", elf())
    image.config["mounts"].append(mount("/mnt", "tmpfs", "tmpfs"))
    image.config["process"].update(args=[name], env=["PATH=/bin:/usr/bin"])
    found = image.told()
    assert len(found) == bool(message), found
    for _, said, tried in found:
        assert message in said
        assert hint in tried


def test_behind_a_mount_nothing_is_said(image: Image) -> None:
    """Also where a link leads there, and where the destination is one: the image has no /data."""
    (image.root / "usr" / "data").symlink_to("/data")
    image.config["mounts"].append(mount("/usr/data/x", "tmpfs", "tmpfs"))
    image.config["process"]["args"] = ["/data/x/prog"]
    assert image.told() == []
    image.config["process"].update(args=["prog"], env=["PATH=/proc:/bin"])
    assert image.told() == []


@needs_root
@pytest.mark.parametrize(
    ("uid", "capabilities", "hint"),
    [
        (0, [], ""),
        (1000, [], "the user 1000 may not search /opt, whose mode is 0700"),
        (1000, ["CAP_DAC_READ_SEARCH"], "the user 1000 may not execute /opt/prog, whose mode is 0700"),
        (1000, ["CAP_DAC_OVERRIDE"], ""),
    ],
)
def test_who_may_execute_it(image: Image, uid: int, capabilities: list[str], hint: str) -> None:
    image.file("opt/prog", elf(), 0o700)
    (image.root / "opt").chmod(0o700)
    image.config["process"].update(args=["/opt/prog"], user={"uid": uid, "gid": uid})
    image.config["process"]["capabilities"] = {"effective": capabilities, "permitted": capabilities}
    assert [tried.partition(":")[0] for _, _, tried in image.told()] == ([hint] if hint else [])


@needs_root
def test_modes_are_read_with_the_container_s_ids(image: Image) -> None:
    """Nobody whom the container knows owns the image's files, so that its root has no rights to them."""
    image.file("bin/prog", elf(), 0o750)
    with_user_namespace(image.config)
    assert "the user 0 may not execute /bin/prog" in image.told()[0][2]
    for path in (image.root / "bin", image.root / "bin" / "prog"):
        os.chown(path, 100000, 100000)
    assert image.told() == []


def test_a_working_directory_that_is_a_file(image: Image) -> None:
    image.file("bin/prog", elf())
    image.config["process"]["cwd"] = "/bin/prog"
    assert [pointer for pointer, _, _ in image.told()] == ["/process/cwd"]


def test_the_walk_never_leaves_the_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "up").symlink_to("../../../../../.." + str(outside))
    (root / "a" / "abs").symlink_to(outside)
    os.mkfifo(root / "fifo")
    with Root(str(root), ["/a/mnt"]) as found:
        for path in ("/up", "/a/abs", "/../outside"):
            with pytest.raises(FileNotFoundError):
                found.look(path)
        assert found.head(found.look("/fifo"), 10) is None
        (root / "a" / "x").mkdir()
        with pytest.raises(CoveredError):
            found.look("/a/x/../mnt/y")
        assert found.look("/a/x/..").path == "/a"
        assert found.look("/").path == "/"


@pytest.mark.parametrize(
    ("line", "path", "argument"),
    [
        (b"#!/bin/sh", "/bin/sh", ""),
        (b"#! \t/bin/sh \t\nrest", "/bin/sh", ""),
        (b"#!/bin/sh -e -u\n", "/bin/sh", "-e -u"),
        (b"#!/bin/awk\t-f\n", "/bin/awk", "-f"),
        (b"#!/bin/sh\r\n", "/bin/sh\r", ""),
    ],
)
def test_first_lines(line: bytes, path: str, argument: str) -> None:
    assert interpreter(line) == (path, argument)


def test_headers() -> None:
    found = parse(elf(loader="/lib/ld"))
    assert found
    assert found.loader == (120, 8)
    assert parse(b"\x7fELF") is None


@pytest.mark.parametrize(
    ("entry", "taken"),
    [
        ("enabled\ninterpreter /x\nflags: \noffset 0\nmagic 7f454c46\nmask ffffffff\n", True),
        ("enabled\ninterpreter /x\nflags: \noffset 1\nmagic 454d\nmask fff0\n", True),
        ("enabled\ninterpreter /x\nflags: \noffset 1\nmagic 454d\n", False),
        ("disabled\ninterpreter /x\nflags: \noffset 0\nmagic 7f454c46\n", False),
        ("enabled\ninterpreter /x\nflags: \nextension .jar\n", True),
        ("", False),
    ],
)
def test_registered_formats(entry: str, taken: bool) -> None:
    assert _matches(entry, b"\x7fELF\x02", "/opt/a.jar") == taken
