"""What the container shall not read or not write: linux.maskedPaths and linux.readonlyPaths of config-linux.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance.case import case, each, expect, expect_equal, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Bundle, Trial


def _bundle(trial: Trial, *actions: Sequence[object], **lists: list[str]) -> Bundle:
    """With files and folders in /data that hold the word "secret"."""
    config: Config = trial.config(*actions)
    config["linux"] |= lists
    bundle = trial.bundle(config)
    for folder in ("data", "data/deep", "data/beside"):
        (bundle.rootfs / folder).mkdir()
        (bundle.rootfs / folder / "file").write_text("secret")
    return bundle


@case("RT-039")
def masked_file(trial: Trial) -> None:
    """a file of maskedPaths cannot be read, neither in the root nor in /proc; the file beside it can"""
    actions = [["read", path] for path in ("/data/deep/file", "/proc/uptime", "/data/beside/file")]
    bundle = _bundle(trial, *actions, maskedPaths=["/data/deep/file", "/proc/uptime"])
    report = trial.run(bundle)
    expect(not report[0].get("text"), "a masked file can be read", seen=report[0])
    expect(not report[1].get("text"), "a masked file of /proc can be read", seen=report[1])
    expect_equal(report[2].get("text"), "secret", "the text of a file that is not masked")
    kept = (bundle.rootfs / "data" / "deep" / "file").read_text()
    expect_equal(kept, "secret", "the masked file itself")


@case("RT-039")
def masked_directory(trial: Trial) -> None:
    """a directory of maskedPaths shows nothing of what is in it"""
    actions = [["list", "/data/deep"], ["read", "/data/deep/file"], ["read", "/data/beside/file"]]
    report = trial.run(_bundle(trial, *actions, maskedPaths=["/data/deep"]))
    expect(not report[0].get("names"), "a masked directory can be listed", seen=report[0])
    expect(not report[1].get("text"), "a file in a masked directory can be read", seen=report[1])
    expect_equal(report[2].get("text"), "secret", "the text of a file beside the masked directory")


@case("RT-039")
def masked_in_a_mount(trial: Trial) -> None:
    """a path of maskedPaths is one of the container: inside what the configuration mounts"""
    bundle = _bundle(trial, ["read", "/mnt/file"], ["read", "/mnt/other"], maskedPaths=["/mnt/file"])
    source = trial.path / "source"
    source.mkdir()
    for name in ("file", "other"):
        (source / name).write_text("secret")
    configs.add_mount(bundle.config, "/mnt", "none", str(source), "bind")
    bundle.write(bundle.config)
    report = trial.run(bundle)
    expect(not report[0].get("text"), "a masked file in a mount can be read", seen=report[0])
    expect_equal(report[1].get("text"), "secret", "the text of a file beside the masked one")


@case("RT-039")
def readonly_paths(trial: Trial) -> None:
    """a file or directory of readonlyPaths can be read and not written; what is beside it can be written"""
    actions = [
        ["read", "/data/deep/file"],
        ["write", "/data/deep/file", "x"],
        ["create", "/data/deep/new"],
        ["write", "/data/file", "x"],
        ["write", "/proc/sys/kernel/domainname", "changed"],
        ["write", "/data/beside/file", "x"],
    ]
    report = trial.run(_bundle(trial, *actions, readonlyPaths=["/data/deep", "/data/file", "/proc/sys"]))
    expect_equal(report[0].get("text"), "secret", "the text of a file in a read-only directory")
    # to a plain user the kernel says EACCES before it looks at the mount of /proc/sys
    tried = ("file in a directory", "new file", "file", *(() if trial.rootless else ("file of /proc/sys",)))
    for index, what in enumerate(tried, 1):
        expect_equal(report[index]["error"], "EROFS", f"the error of writing a {what} of readonlyPaths")
    expect_equal(report[5]["error"], None, "the error of writing a file beside a read-only directory")


@case("RT-039")
def readonly_keeps_flags(trial: Trial) -> None:
    """a path of readonlyPaths keeps nosuid, nodev and noexec of the mount that it is in"""
    config = trial.config()
    flags = ["nosuid", "nodev", "noexec"]
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", *flags)
    config["linux"]["readonlyPaths"] = ["/mnt"]
    found = trial.run(config).mounts["/mnt"]
    expect({"ro", *flags} <= set(found["options"]), "the read-only path has lost flags of its mount", seen=found)


@each(row("maskedPaths", "CFG-181", "maskedPaths"), row("readonlyPaths", "CFG-181", "readonlyPaths"))
def relative(trial: Trial, member: str) -> None:
    """a path of {0} that is not absolute is an error"""
    trial.refused(_bundle(trial, ["read", "/data/file"], **{member: ["data/file"]}), f"a relative path in {member}")
