"""Facts that are read out of a text."""

from __future__ import annotations

import pytest

from ocirun import facts

LINE = b"36 35 98:0 / %s rw,noatime master:1 - %s source rw\n"


@pytest.mark.parametrize(
    ("kind", "distant"),
    [
        (b"fuse", True),
        (b"fuse.sshfs", True),
        (b"nfs4", True),
        (b"9p", True),
        (b"fusectl", False),
        (b"autofs", False),
        (b"ext4", False),
        (b"tmpfs", False),
    ],
)
def test_filesystems_of_servers(kind: bytes, distant: bool) -> None:
    found = facts.Facts()
    found._mountinfo = LINE % (b"/", b"ext4") + LINE % (b"/a\\040-\\040nfs\\040", kind)
    assert found.distant == distant
