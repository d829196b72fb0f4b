"""The mount options of config.md that are flags: of a mount, of all mounts below one, of a filesystem.

Judged by what the kernel says of the mounts inside (proc_pid_mountinfo(5)). An option that is the default anyway has to
undo its opposite that stands before it; on a bind such an option is not judged unless it is a recursive one, since
mount(8) has left the flags of the source as they are for most of its life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance import facility, mounting
from ocirun_conformance.case import each, expect, row

if TYPE_CHECKING:
    from ocirun_conformance.case import Row
    from ocirun_conformance.probe import Facts
    from ocirun_conformance.trial import Trial


def _expect_flags(found: Facts, wanted: str, unwanted: str, where: str, column: str = "options") -> None:
    """Flags separated by blanks, in a column of mountinfo."""
    flags = set(found[column])
    missing, extra = set(wanted.split()) - flags, set(unwanted.split()) & flags
    expect(not missing, f"{where} is not {' '.join(sorted(missing))}", expected=wanted, seen=found[column])
    expect(not extra, f"{where} is {' '.join(sorted(extra))}", expected=f"without {unwanted}", seen=found[column])


def _new(ident: str, options: str, wanted: str = "", unwanted: str = "", column: str = "options") -> Row:
    """A row for a new tmpfs; it has the name of the last option."""
    words = options.split()
    return row(words[-1], ident, ", ".join(words), words, wanted, unwanted, column)


NEW = [
    _new("CFG-048", "ro", "ro", "rw"),
    _new("CFG-059", "ro rw", "rw", "ro"),
    _new("CFG-031", "nosuid", "nosuid"),
    _new("CFG-064", "nosuid suid", "", "nosuid"),
    _new("CFG-024", "nodev", "nodev"),
    _new("CFG-016", "nodev dev", "", "nodev"),
    _new("CFG-026", "noexec", "noexec"),
    _new("CFG-019", "noexec exec", "", "noexec"),
    _new("CFG-023", "noatime", "noatime"),
    _new("CFG-013", "noatime atime", "", "noatime"),
    _new("CFG-025", "nodiratime", "nodiratime"),
    _new("CFG-017", "nodiratime diratime", "", "nodiratime"),
    _new("CFG-063", "strictatime", "", "relatime noatime"),
    _new("CFG-030", "strictatime nostrictatime", "relatime"),
    _new("CFG-029", "noatime norelatime", "noatime"),
    _new("CFG-038", "relatime", "relatime"),
    _new("CFG-032", "nosymfollow", "nosymfollow"),
    _new("CFG-065", "nosymfollow symfollow", "", "nosymfollow"),
    _new("CFG-066", "sync", "sync", column="superblock"),
    _new("CFG-012", "sync async", "", "sync", column="superblock"),
    _new("CFG-018", "dirsync", "dirsync", column="superblock"),
    _new("CFG-021", "lazytime", "lazytime", column="superblock"),
    _new("CFG-028", "lazytime nolazytime", "", "lazytime", column="superblock"),
]


@each(*NEW)
def new(trial: Trial, _words: str, options: list[str], wanted: str, unwanted: str, column: str) -> None:
    """a new filesystem with the options {0} has the flags that the last one says"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", *options)
    mounts = trial.run(config).mounts
    expect(mounts.get("/mnt", {}).get("type") == "tmpfs", "the filesystem is not mounted", seen=mounts.get("/mnt"))
    _expect_flags(mounts["/mnt"], wanted, unwanted, "the filesystem's mount", column)


TAKEN = [
    row("defaults", "CFG-015", "defaults"),
    row("iversion", "CFG-020", "iversion"),
    row("noiversion", "CFG-027", "noiversion"),
    row("silent", "CFG-061", "silent"),
    row("loud", "CFG-022", "loud"),
]


@each(*TAKEN)
def taken(trial: Trial, option: str) -> None:
    """{0} is taken for a new filesystem, which is there, and is as it is without (no more than that can be seen)"""
    config = trial.config()
    configs.add_mount(config, "/tmp", "tmpfs", "tmpfs")
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", option)
    mounts = trial.run(config).mounts
    members = ("type", "options", "superblock")
    plain, made = ({name: mounts.get(point, {}).get(name) for name in members} for point in ("/tmp", "/mnt"))
    expect(made == plain, f"a filesystem with {option} is not as one without", expected=plain, seen=made)


BIND = [
    row("ro", "CFG-048", "ro"),
    row("nosuid", "CFG-031", "nosuid"),
    row("nodev", "CFG-024", "nodev"),
    row("noexec", "CFG-026", "noexec"),
    row("noatime", "CFG-023", "noatime"),
    row("nodiratime", "CFG-025", "nodiratime"),
    row("relatime", "CFG-038", "relatime"),
    row("nosymfollow", "CFG-032", "nosymfollow"),
]


@each(*BIND, needs=[facility.mounting])
def bind(trial: Trial, option: str) -> None:
    """a bind with {0} has the flag, and the host's mount stays without it"""
    top = mounting.tree(trial, "-o", "strictatime")
    config = trial.config()
    configs.add_mount(config, "/mnt", "none", str(top), "bind", option)
    mounts = trial.run(config).mounts
    expect("/mnt" in mounts, "the source is not mounted", seen=sorted(mounts))
    _expect_flags(mounts["/mnt"], option, "", "the bind")
    _expect_flags(mounting.mounts_of()[str(top)], "", option, "the host's mount")


RECURSIVE = [
    row("rro", "CFG-051", "rro", "rw", "ro", "rw"),
    row("rrw", "CFG-052", "rrw", "ro", "rw", "ro"),
    row("rnosuid", "CFG-046", "rnosuid", "suid", "nosuid", ""),
    row("rsuid", "CFG-056", "rsuid", "nosuid", "", "nosuid"),
    row("rdev", "CFG-036", "rdev", "nodev", "", "nodev"),
    row("rnoexec", "CFG-043", "rnoexec", "exec", "noexec", ""),
    row("rexec", "CFG-040", "rexec", "noexec", "", "noexec"),
    row("rnoatime", "CFG-041", "rnoatime", "relatime", "noatime", ""),
    row("ratime", "CFG-034", "ratime", "noatime", "", "noatime"),
    row("rnodiratime", "CFG-042", "rnodiratime", "diratime", "nodiratime", ""),
    row("rdiratime", "CFG-037", "rdiratime", "nodiratime", "", "nodiratime"),
    row("rrelatime", "CFG-050", "rrelatime", "strictatime", "relatime", ""),
    row("rnorelatime", "CFG-044", "rnorelatime", "noatime", "noatime", ""),
    row("rstrictatime", "CFG-055", "rstrictatime", "relatime", "", "relatime noatime"),
    row("rnostrictatime", "CFG-045", "rnostrictatime", "strictatime", "relatime", ""),
    row("rnosymfollow", "CFG-047", "rnosymfollow", "symfollow", "nosymfollow", ""),
    row("rsymfollow", "CFG-057", "rsymfollow", "nosymfollow", "", "nosymfollow"),
]


@each(*RECURSIVE, needs=[facility.mount_setattr])
def recursive(trial: Trial, option: str, source: str, wanted: str, unwanted: str) -> None:
    """{0} on a bind of two mounts with {1}, one in the other, changes both"""
    top = mounting.tree(trial)
    for place in (top, top / "sub"):
        mounting.change(place, "-o", f"remount,bind,{source}")
    config = trial.config()
    configs.add_mount(config, "/mnt", "none", str(top), "rbind", option)
    mounts = trial.run(config).mounts
    for point, what in (("/mnt", "the bind"), ("/mnt/sub", "what is mounted below the bind")):
        expect(point in mounts, f"{what} is not there", seen=sorted(mounts))
        _expect_flags(mounts[point], wanted, unwanted, what)
