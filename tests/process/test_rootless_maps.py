"""A plain user's mappings of more than himself: newuidmap(1) and newgidmap(1) ask /etc/subuid and /etc/subgid.

The runtime is called in a mount namespace of its own, where these files and /etc/passwd know the plain user.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import Box, one_sentence
from process.plain import PLAIN, config_of, plain_box, plain_user_namespace
from support import facility
from support.facility import find_program, need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

GIVEN = 200000
HIMSELF = {"containerID": 0, "hostID": PLAIN, "size": 1}
MORE = {"containerID": 1, "hostID": GIVEN, "size": 100}


def tools() -> str:
    """uidmap's two set-user-ID programs."""
    missing = [name for name in ("newuidmap", "newgidmap") if not find_program(name)]
    return f"not this lane: {', '.join(missing)} is not installed" if missing else ""


@pytest.fixture
def box(program: Path) -> Iterator[Box]:
    """A plain user's box, who may map the 100 ids from GIVEN on."""
    need(facility.root, facility.busybox, plain_user_namespace, tools)
    with plain_box(program) as box:
        passwd = Path("/etc/passwd").read_text() + f"plain:x:{PLAIN}:{PLAIN}::/:/bin/sh\n"
        mounts = ""
        for name, text in (("subuid", f"plain:{GIVEN}:100\n"), ("subgid", f"plain:{GIVEN}:100\n"), ("passwd", passwd)):
            (box.directory / name).write_text(text)
            mounts += f"mount --bind {box.directory / name} /etc/{name} && "
        wrapper = box.directory / "mapped"
        line = f'{mounts}exec {box.runtime.path} "$@"'
        wrapper.write_text(f"#!/bin/sh\nexec unshare -m --propagation private sh -c '{line}' sh \"$@\"\n")
        wrapper.chmod(0o755)
        box.runtime.path = wrapper
        yield box


def mapped(box: Box, script: str, uids: list[dict[str, int]], gids: list[dict[str, int]]) -> Config:
    config = config_of(box, script)
    config["linux"].update(uidMappings=uids, gidMappings=gids)
    return config


def test_more_ids_than_his_own(box: Box) -> None:
    """And with them users, groups and owners that he could not have on the host."""
    script = "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -G; touch /tmp/mine; stat -c %u:%g /tmp/mine"
    config = mapped(box, script, [HIMSELF, MORE], [HIMSELF, MORE])
    config["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    config["root"]["readonly"] = False
    (box.rootfs / "tmp").chmod(0o1777)
    out = box.shell(script, config).split()
    assert out == [*["0", str(PLAIN), "1", "1", str(GIVEN), "100"] * 2, "5", "6", "7", "5:6"]
    status = os.stat(box.rootfs / "tmp" / "mine")
    assert (status.st_uid, status.st_gid) == (GIVEN + 4, GIVEN + 5)


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("uid", MORE | {"hostID": GIVEN + 1}),
        ("gid", MORE | {"hostID": 0}),
        ("uid", MORE | {"size": 101}),
    ],
)
def test_ids_that_are_not_his(box: Box, member: str, wrong: dict[str, Any]) -> None:
    right, other = [HIMSELF, MORE], [HIMSELF, wrong]
    config = mapped(box, "true", other if member == "uid" else right, other if member == "gid" else right)
    box.write(config)
    before = box.snapshot()
    result = box.runtime.create(box.ident, box.bundle).expect(1)
    assert f": /linux/{member}Mappings: write the {member} map: new{member}map refused" in one_sentence(result)
    assert f"/etc/sub{member}" in result.err
    before.assert_unchanged()
