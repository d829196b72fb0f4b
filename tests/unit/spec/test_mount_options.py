"""The table of mount options against config.md's table, the kernel's header, and the arithmetic of attributes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ocirun_spec import mount_options as mo


def _options_of_the_text(published: Path) -> set[str]:
    text = (published / "config.md").read_text()
    section = text[text.index("Linux mount options</a>") if "Linux mount options</a>" in text else 0 :]
    rows = re.findall(r"^ `([a-z]+) *` *\| (?:MUST|SHOULD|MAY) *\|", section, re.MULTILINE)
    assert len(rows) > 55
    return set(rows)


def test_the_table_is_that_of_the_text(published: Path) -> None:
    # The table forgot the opposite of rdev, which features.md lists.
    assert set(mo.OPTIONS) - _options_of_the_text(published) == {"rnodev"}
    assert _options_of_the_text(published) <= set(mo.OPTIONS)


def test_the_options_of_the_features_example_are_known(published: Path) -> None:
    listed = re.findall(r'"mountOptions": \[(.*?)\]', (published / "features.md").read_text(), re.DOTALL)[0]
    # These two are of the filesystem: the virtual filesystem's flag MS_POSIXACL does not reach them.
    assert set(re.findall(r'"(\w+)"', listed)) - set(mo.OPTIONS) == {"acl", "noacl"}


def test_the_constants_are_those_of_the_header() -> None:
    header = Path("/usr/include/linux/mount.h")
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    defined = dict(re.findall(r"^#define\s+(M\w+)\s+(0x[0-9a-fA-F]+|\d+|\(1<<\d+\))", header.read_text(), re.MULTILINE))
    mine = {name: value for name, value in vars(mo).items() if name.startswith(("MS_", "MOUNT_ATTR_"))}
    assert len(mine) > 25
    for name, value in mine.items():
        word = defined[name].strip("()")
        assert value == (1 << int(word[3:]) if word.startswith("1<<") else int(word, 0)), name


def test_every_option_has_an_opposite_that_undoes_it() -> None:
    pairs = [(name, "no" + name) for name in ("suid", "dev", "exec", "diratime", "symfollow")] + [("rw", "ro")]
    for plain, restricted in pairs:
        on, off = mo.OPTIONS[restricted], mo.OPTIONS[plain]
        assert (on.attr_set, on.ms_set) == (off.attr_clear, off.ms_clear)
        assert on.attr_set
        assert mo.OPTIONS["r" + restricted].attr_set == on.attr_set
        assert mo.OPTIONS["r" + plain].kind == mo.RECURSIVE


_ATIME = mo.MOUNT_ATTR__ATIME


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (0, 0)),
        (["size=1k", "sync", "rbind", "defaults"], (0, 0)),
        (["ro", "nosuid"], (mo.MOUNT_ATTR_RDONLY | mo.MOUNT_ATTR_NOSUID, 0)),
        (["ro", "rw"], (0, mo.MOUNT_ATTR_RDONLY)),
        (["rw", "ro"], (mo.MOUNT_ATTR_RDONLY, 0)),
        (["noatime"], (mo.MOUNT_ATTR_NOATIME, _ATIME)),
        (["noatime", "atime"], (mo.MOUNT_ATTR_RELATIME, _ATIME)),
        (["strictatime", "atime"], (mo.MOUNT_ATTR_STRICTATIME, _ATIME)),
        (["strictatime", "relatime"], (mo.MOUNT_ATTR_RELATIME, _ATIME)),
        (["norelatime"], (0, 0)),
        (["relatime", "norelatime"], (0, 0)),
        (["strictatime", "norelatime"], (mo.MOUNT_ATTR_STRICTATIME, _ATIME)),
        (["noatime", "norelatime"], (mo.MOUNT_ATTR_NOATIME, _ATIME)),
        (["nodiratime"], (mo.MOUNT_ATTR_NODIRATIME, 0)),
        (["diratime", "noatime"], (mo.MOUNT_ATTR_NOATIME, mo.MOUNT_ATTR_NODIRATIME | _ATIME)),
        (["rro", "rnoatime"], (0, 0)),
    ],
)
def test_attributes_add_up_in_order(options: list[str], expected: tuple[int, int]) -> None:
    assert mo.attributes(options) == expected
    recursive = ["r" + option if option in mo.OPTIONS else option for option in options]
    if not options or not options[0].startswith("rr"):
        assert mo.attributes([o for o in recursive if mo.OPTIONS.get(o)], mo.RECURSIVE) == expected
