"""Each mount option of config.md that is a flag of the mount, by what it does to a program in the container."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from process.mounting import mounted
from support.bundle import Config, default_config, with_bind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

USER = 1000
LONG_AGO = 1_000_000_000
SOON = 3600
PLACES = ("/plain", "/plain/sub", "/with", "/with/sub")

LOOK = r"""
read_it() { a=$(stat -c %X $2); $1 $2 >/dev/null; [ $a = $(stat -c %X $2) ] || printf "$3 "; }
look() {
    printf "$1 "
    ( : > $1/made-$2 ) 2>/dev/null && printf "rw " || printf "ro "
    ( : < $1/null ) 2>/dev/null && printf "dev " || printf "nodev "
    $1/euid 2>/dev/null; [ $? = 126 ] && printf "noexec " || printf "exec "
    $1/suid-euid 2>/dev/null; [ $? = 0 ] && printf "suid " || printf "nosuid "
    cat $1/link >/dev/null 2>&1 && printf "symfollow " || printf "nosymfollow "
    read_it cat $1/old-$2 old
    read_it cat $1/new-$2 new
    read_it ls $1/dir-$2 dir
    echo
}
"""
LOOK += "\n".join(f"look {place} {number}" for number, place in enumerate(PLACES))

EVERYTHING = {"rw", "dev", "exec", "suid", "symfollow", "old", "dir"}
"""How it is without any option: relatime updates an old time of access, and not one later than the last change."""

FLAGS: list[tuple[str, str, set[str], set[str]]] = [
    ("ro", "rw", {"ro"}, {"rw", "old", "dir"}),
    ("rw", "ro", {"rw", "old", "dir"}, {"ro"}),
    ("nosuid", "suid", {"nosuid"}, {"suid"}),
    ("suid", "nosuid", {"suid"}, {"nosuid"}),
    ("nodev", "dev", {"nodev"}, {"dev"}),
    ("dev", "nodev", {"dev"}, {"nodev"}),
    ("noexec", "exec", {"noexec", "nosuid"}, {"exec", "suid"}),
    ("exec", "noexec", {"exec", "suid"}, {"noexec", "nosuid"}),
    ("nosymfollow", "symfollow", {"nosymfollow"}, {"symfollow"}),
    ("symfollow", "nosymfollow", {"symfollow"}, {"nosymfollow"}),
    ("noatime", "relatime", set(), {"old", "dir"}),
    ("atime", "noatime", {"old", "dir"}, set()),
    ("nodiratime", "diratime", {"old"}, {"old", "dir"}),
    ("diratime", "nodiratime", {"old", "dir"}, {"old"}),
    ("relatime", "strictatime", {"old", "dir"}, {"old", "new", "dir"}),
    ("strictatime", "relatime", {"old", "new", "dir"}, {"old", "dir"}),
    ("nostrictatime", "strictatime", {"old", "dir"}, {"old", "new", "dir"}),
]
"""The option, how the host has mounted the source, what the option brings, and what there is instead without it."""


@pytest.fixture(scope="module")
def euid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program for any image whose exit code is its effective uid."""
    folder = tmp_path_factory.mktemp("euid")
    source = folder / "euid.c"
    source.write_text("#include <unistd.h>\nint main(void) { return geteuid() & 127; }\n")
    command = [shutil.which("gcc") or "gcc", "-O1", "-static", str(source), "-o", str(folder / "euid")]
    subprocess.run(command, check=True, timeout=60)
    return folder / "euid"


def fill(place: Path, program: Path) -> None:
    """What the probe looks at; each place of the container has files of its own whose times of access it changes."""
    place.chmod(0o777)
    for name, mode in (("euid", 0o755), ("suid-euid", 0o4755)):
        shutil.copy(program, place / name)
        (place / name).chmod(mode)
    os.mknod(place / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (place / "null").chmod(0o666)
    (place / "linked").write_text("content")
    (place / "link").symlink_to("linked")
    for number in range(len(PLACES)):
        (place / f"dir-{number}").mkdir()
        for name, accessed in (("old", LONG_AGO), ("new", int(time.time()) + SOON), ("dir", LONG_AGO)):
            path = place / f"{name}-{number}"
            if name != "dir":
                path.write_text("content")
            os.utime(path, (accessed, LONG_AGO))


@pytest.fixture
def source(box: Box, euid: Path) -> Iterator[Path]:
    """A tmpfs with another one, ``sub``, below it, for the host to mount with what the test begins with."""
    with ExitStack() as stack:
        for place in (box.directory / "tree", box.directory / "tree" / "sub"):
            stack.enter_context(mounted(place, "-t", "tmpfs", "--make-private", "tree"))
            fill(place, euid)
        yield box.directory / "tree"


def remount(source: Path, option: str) -> None:
    for place in (source, source / "sub"):
        subprocess.run(["mount", "-o", f"remount,bind,{option}", str(place)], check=True, timeout=60)


def looks(box: Box, config: Config) -> dict[str, set[str]]:
    """What the probe has found at each place, as a user, to whom set-user-ID programs are something else."""
    config["process"]["user"] = {"uid": USER, "gid": USER}
    config["process"]["noNewPrivileges"] = False
    lines = (line.split() for line in box.shell(LOOK, config).splitlines())
    return {words[0]: set(words[1:]) for words in lines}


@pytest.mark.parametrize(("option", "start", "brings", "instead"), FLAGS, ids=[row[0] for row in FLAGS])
def test_flag(box: Box, source: Path, option: str, start: str, brings: set[str], instead: set[str]) -> None:
    """On a bind, against a bind without it; what is mounted below stays as the host has it."""
    remount(source, start)
    config = with_bind(with_bind(default_config(), source, "/plain"), source, "/with", "rbind", option)
    found = looks(box, config)
    rest = EVERYTHING - brings - instead
    assert [found[place] - rest for place in PLACES] == [instead, instead, brings, instead]
    assert all(rest <= found[place] for place in PLACES)


@pytest.mark.parametrize(("option", "start", "brings", "instead"), FLAGS, ids=["r" + row[0] for row in FLAGS])
def test_recursive_flag(box: Box, source: Path, option: str, start: str, brings: set[str], instead: set[str]) -> None:
    """The option with an r in front also changes what is mounted below."""
    remount(source, start)
    config = with_bind(with_bind(default_config(), source, "/plain"), source, "/with", "rbind", "r" + option)
    found = looks(box, config)
    rest = EVERYTHING - brings - instead
    assert [found[place] - rest for place in PLACES] == [instead, instead, brings, brings]
    assert all(rest <= found[place] for place in PLACES)


@pytest.mark.parametrize("start", ["strictatime", "noatime", "relatime"])
@pytest.mark.parametrize("option", ["norelatime", "rnorelatime"])
def test_norelatime(box: Box, source: Path, option: str, start: str) -> None:
    """As mount(2) without MS_RELATIME: what else the mount does about times of access stays."""
    remount(source, start)
    config = with_bind(with_bind(default_config(), source, "/plain"), source, "/with", "rbind", option)
    found = looks(box, config)
    times = {"strictatime": {"old", "new", "dir"}, "noatime": set(), "relatime": {"old", "dir"}}[start]
    assert [found[place] & {"old", "new", "dir"} for place in PLACES] == [times] * 4
