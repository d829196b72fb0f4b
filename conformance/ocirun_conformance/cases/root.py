"""The container's root: root of config.md, rootfsPropagation is in `propagation`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance.case import case, each, expect, expect_equal, row

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

READ_ONLY = "EROFS"


@case("CFG-007")
def readonly(trial: Trial) -> None:
    """with root.readonly nothing of the root can be written; what is mounted in it can"""
    config = trial.config(["report"], ["create", "/made"], ["write", "/etc/file", "x"], ["create", "/mnt/made"])
    config["root"]["readonly"] = True
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs")
    bundle = trial.bundle(config)
    (bundle.rootfs / "etc" / "file").write_text("")
    report = trial.run(bundle)
    expect("ro" in report.mounts["/"]["options"], "the root is not mounted read-only", seen=report.mounts["/"])
    expect_equal(report[1]["error"], READ_ONLY, "the error of making a file in the read-only root")
    expect_equal(report[2]["error"], READ_ONLY, "the error of writing to a file of the read-only root")
    expect_equal(report[3]["error"], None, "the error of making a file in a tmpfs inside the read-only root")


@each(row("false", "RT-039", {"readonly": False}), row("absent", "RT-039", {}))
def writable(trial: Trial, members: dict[str, bool]) -> None:
    """with root {0} files can be made in the root, and they are in the bundle's"""
    config = trial.config(["create", "/made"])
    config["root"] = {"path": "rootfs", **members}
    bundle = trial.bundle(config)
    expect_equal(trial.run(bundle)[0]["error"], None, "the error of making a file in a root that is not read-only")
    expect((bundle.rootfs / "made").exists(), "the container's root is not the folder that root.path names")


@each(row("relative", "RT-039", "else/where"), row("absolute", "RT-039", "{bundle}/else/where"))
def path(trial: Trial, where: str) -> None:
    """root.path {0} is the container's root"""
    bundle = trial.bundle()
    (bundle.path / "else").mkdir()
    bundle.rootfs.rename(bundle.path / "else" / "where")
    (bundle.path / "else" / "where" / "etc" / "mark").write_text("this one")
    bundle.rootfs.mkdir()
    config = trial.config(["read", "/etc/mark"])
    config["root"]["path"] = where.replace("{bundle}", str(bundle.path))
    bundle.write(config)
    expect_equal(trial.run(bundle)[0].get("text"), "this one", "a file in the container's root")


@each(row("missing", "RT-041 RT-042", "no/such/folder"), row("file", "RT-041 RT-042", "config.json"))
def no_such_root(trial: Trial, where: str) -> None:
    """a root.path without a directory, {0}, is an error"""
    config = trial.config()
    config["root"]["path"] = where
    trial.refused(config, "a root.path without a directory")


@case("RT-039")
def host_is_out_of_reach(trial: Trial) -> None:
    """the container sees its root and none of the host's mounts"""
    config = trial.config(["report"], ["list", "/"], ["list", "/.."])
    bundle = trial.bundle(config)
    report = trial.run(bundle)
    names = {entry.name for entry in bundle.rootfs.iterdir()}
    expect_equal(set(report[1]["names"]), names, "the set of names in the container's root")
    expect_equal(set(report[2]["names"]), names, "the set of names in the folder above the container's root")
    outside = [point for point in report.mounts if point.startswith(str(bundle.path))]
    expect(not outside, "mounts of the host are left in the container", seen=outside)
