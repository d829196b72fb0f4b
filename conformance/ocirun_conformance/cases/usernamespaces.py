"""Mappings of user and group ids: config-linux.md, User namespace mappings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocirun_conformance import facility
from ocirun_conformance.case import case, each, expect_equal, row
from ocirun_conformance.config import add_mount, add_namespace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial

NEEDS = [facility.root, facility.userns]
UIDS = [(0, 210000, 5), (1000, 220000, 50)]
GIDS = [(0, 230000, 7), (50, 240000, 3)]


def mapped(trial: Trial, uids: Sequence[tuple[int, ...]], gids: Sequence[tuple[int, ...]]) -> Config:
    """A container with a user namespace and these mappings: containerID, hostID, size."""
    config = trial.config(["report"], ["wait"])
    add_namespace(config, "user")
    for member, table in (("uidMappings", uids), ("gidMappings", gids)):
        config["linux"][member] = [dict(zip(("containerID", "hostID", "size"), one, strict=True)) for one in table]
    return config


def table_of(text: Any) -> list[tuple[int, ...]]:
    """The lines of /proc/PID/uid_map or gid_map."""
    return [tuple(int(word) for word in line.split()) for line in str(text or "").splitlines()]


@case("RT-010", "RT-039", needs=NEEDS)
def uid_mappings(trial: Trial) -> None:
    """uidMappings are the user namespace's table of user ids, with several rows"""
    facts = trial.started(mapped(trial, UIDS, GIDS)).await_lines(2).facts
    expect_equal(table_of(facts["uid_map"]), UIDS, "the program's uid_map")


@case("RT-010", "RT-039", needs=NEEDS)
def gid_mappings(trial: Trial) -> None:
    """gidMappings are the user namespace's table of group ids, with several rows"""
    facts = trial.started(mapped(trial, UIDS, GIDS)).await_lines(2).facts
    expect_equal(table_of(facts["gid_map"]), GIDS, "the program's gid_map")


@case("RT-010", "RT-039", needs=NEEDS)
def ids_on_the_host(trial: Trial) -> None:
    """the program's ids inside are those of process.user, on the host what they are mapped to"""
    config = mapped(trial, UIDS, GIDS)
    config["process"]["user"] = {"uid": 1000, "gid": 51}
    made = trial.started(config)
    facts = made.await_lines(2).facts
    expect_equal((facts["uids"], facts["gids"]), ([1000] * 3, [51] * 3), "the pair of user and group ids inside")
    status = Path(f"/proc/{made.pid}/status").read_text().splitlines()
    ids = [line.split()[1:] for line in status if line.startswith(("Uid:", "Gid:"))]
    expect_equal(ids, [["220000"] * 4, ["240001"] * 4], "the pair of user and group ids on the host")


@case("LNX-013", needs=NEEDS)
def files_keep_their_owners(trial: Trial) -> None:
    """no file of the bundle or of what is mounted changes its owner for the mapping"""
    config = mapped(trial, [(0, 210000, 65536)], [(0, 230000, 65536)])
    shared = trial.path / "shared"
    shared.mkdir()
    (shared / "of-root").touch()
    (trial.path / "shared" / "of-another").touch()
    os.chown(shared / "of-another", 210000, 230005)
    add_mount(config, "/mnt", "none", str(shared), "bind", "rw")
    bundle = trial.bundle(config)
    paths = [bundle.path, *sorted(bundle.path.rglob("*")), shared, *sorted(shared.rglob("*"))]
    before = {str(path): (path.lstat().st_uid, path.lstat().st_gid) for path in paths}
    trial.started(bundle).await_lines(2)
    after = {str(path): (path.lstat().st_uid, path.lstat().st_gid) for path in paths}
    changed = {path: (before[path], after[path]) for path in before if before[path] != after[path]}
    expect_equal(changed, {}, "the set of files whose owner has changed, with the owners before and after")


@case("LNX-013", needs=NEEDS)
def owners_inside(trial: Trial) -> None:
    """inside, files have the owners that the mapping makes of those on the host"""
    actions = [["stat", "/mine"], ["stat", "/probe"]]
    config = trial.config(*actions)
    add_namespace(config, "user")
    config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 210000, "size": 65535}]
    config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 230000, "size": 65535}]
    bundle = trial.bundle(config)
    (bundle.rootfs / "mine").touch()
    os.chown(bundle.rootfs / "mine", 210003, 230007)
    mine, other = trial.run(bundle).lines
    expect_equal((mine["uid"], mine["gid"]), (3, 7), "the owner inside of a file of a mapped owner")
    overflow = tuple(int(Path(f"/proc/sys/kernel/overflow{kind}").read_text()) for kind in ("uid", "gid"))
    expect_equal((other["uid"], other["gid"]), overflow, "the owner inside of a file of an owner that is not mapped")


ONE = {"containerID": 0, "hostID": 210000, "size": 10}


@each(
    row("overlap", "RT-041 RT-042", [ONE, {**ONE, "hostID": 220000}], "two rows for the same ids inside"),
    row("same_host_ids", "RT-041 RT-042", [ONE, {**ONE, "containerID": 50}], "two rows for the same ids of the host"),
    row("beyond_the_last", "RT-041 RT-042", [{**ONE, "hostID": (1 << 32) - 5}], "a row that exceeds the last id"),
    needs=NEEDS,
)
def that_the_kernel_refuses(trial: Trial, table: list[dict[str, int]], what: str) -> None:
    """{1} cannot be applied and is refused"""
    config = mapped(trial, UIDS, GIDS)
    config["linux"]["uidMappings"] = table
    trial.refused(config, what)
