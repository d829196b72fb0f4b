"""mounts of config.md beyond the flags: order, places, sources, binds, remounts, options of single filesystems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance import claims, facility, mounting
from ocirun_conformance import config as configs
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun_conformance.probe import Facts
    from ocirun_conformance.trial import Trial


def _there(mounts: dict[str, Facts], point: str) -> Facts:
    """The mount at a point; fails the case when there is none."""
    expect(point in mounts, f"nothing is mounted at {point}", seen=sorted(mounts))
    return mounts[point]


def _source(trial: Trial, *, below: bool = False) -> Path:
    """A folder of the host with a file, and in it a folder, `sub`, with a file or a filesystem with a file."""
    top = trial.path / "source"
    (top / "sub").mkdir(parents=True)
    if below:
        mounting.mount(trial, top / "sub", "-t", "tmpfs", "--make-private", "below")
    for name in ("file", "sub/file"):
        (top / name).write_text("of the host")
    return top


@case("CFG-008")
def later_covers_earlier(trial: Trial) -> None:
    """of two mounts at one place the later one lies on top"""
    config = trial.config()
    for name in ("first", "second"):
        configs.add_mount(config, "/mnt", "tmpfs", name)
    expect_equal(_there(trial.run(config).mounts, "/mnt")["source"], "second", "the uppermost mount")


@each(row("inside", "CFG-008", ["/mnt", "/mnt/in"], True), row("covered", "CFG-008", ["/mnt/in", "/mnt"], False))
def order(trial: Trial, places: list[str], seen: bool) -> None:
    """of the mounts {0}, in this order, the inner one can be seen: {1}"""
    config = trial.config(["stat", "/mnt/in/mark"])
    source = _source(trial)
    (source / "mark").write_text("")
    for place in places:
        if place == "/mnt":
            configs.add_mount(config, place, "tmpfs", "outer")
        else:
            configs.add_mount(config, place, "none", str(source), "bind")
    bundle = trial.bundle(config)
    (bundle.rootfs / "mnt" / "in").mkdir()
    found = trial.run(bundle)[0]["error"]
    expect_equal(found, None if seen else "ENOENT", "the error of a look at a file of the inner mount")


@case("CFG-011")
def relative_destination(trial: Trial) -> None:
    """a destination without a leading slash counts from the root, not from the working directory"""
    config = trial.config()
    config["process"]["cwd"] = "/tmp"
    configs.add_mount(config, "mnt/place", "tmpfs", "tmpfs")
    bundle = trial.bundle(config)
    (bundle.rootfs / "mnt" / "place").mkdir()
    _there(trial.run(bundle).mounts, "/mnt/place")


@case("RT-039")
def type_and_source(trial: Trial) -> None:
    """a new filesystem is of the type and has the source that the configuration names"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "tmpfs", "named")
    configs.add_mount(config, "/tmp", "mqueue", "mqueue")
    mounts = trial.run(config).mounts
    expect_equal(_there(mounts, "/mnt")["type"], "tmpfs", "the type of a filesystem")
    expect_equal(mounts["/mnt"]["source"], "named", "the source of a filesystem")
    expect_equal(_there(mounts, "/tmp")["type"], "mqueue", "the type of a filesystem")


@each(row("bind", "CFG-014", "bind"), row("rbind", "CFG-035", "rbind"))
def bind(trial: Trial, option: str) -> None:
    """{0} shows a folder and a file of the host, and writes through"""
    source = _source(trial)
    config = trial.config(["read", "/mnt/sub/file"], ["create", "/mnt/made"], ["read", "/etc/file"])
    configs.add_mount(config, "/mnt", "none", str(source), option)
    configs.add_mount(config, "/etc/file", "none", str(source / "file"), option)
    bundle = trial.bundle(config)
    (bundle.rootfs / "etc" / "file").write_text("")
    report = trial.run(bundle)
    expect_equal(report[0].get("text"), "of the host", "the text of a file in the bound folder")
    expect_equal(report[1]["error"], None, "the error of making a file in the bound folder")
    expect((source / "made").exists(), "what is made in the bound folder is not in the host's")
    expect_equal(report[2].get("text"), "of the host", "the text of the bound file")


@each(row("bind", "CFG-014", "bind", False), row("rbind", "CFG-035", "rbind", True), needs=[facility.mounting])
def mounted_below(trial: Trial, option: str, seen: bool) -> None:
    """{0} of a folder with a mount inside shows that mount: {1}"""
    source = _source(trial, below=True)
    config = trial.config(["report"], ["read", "/mnt/file"], ["read", "/mnt/sub/file"])
    configs.add_mount(config, "/mnt", "none", str(source), option)
    report = trial.run(config)
    expect_equal(report[1].get("text"), "of the host", "the text of a file in the bound folder")
    expect_equal("/mnt/sub" in report.mounts, seen, "whether there is a mount inside the bind")
    expect_equal(report[2].get("text") == "of the host", seen, "whether its file can be read")


@each(row("none", "RT-039", {"type": "none"}), row("tmpfs", "RT-039", {"type": "tmpfs"}), row("absent", "RT-039", {}))
def type_of_a_bind(trial: Trial, members: dict[str, str]) -> None:
    """a mount with the option bind is a bind, with the type {0}"""
    config = trial.config(["read", "/mnt/file"])
    config["mounts"].append({"destination": "/mnt", "source": str(_source(trial)), "options": ["bind"], **members})
    expect_equal(trial.run(config)[0].get("text"), "of the host", "the text of a file in the bound folder")


@case("RT-039")
def relative_source(trial: Trial) -> None:
    """the source of a bind counts from the bundle when it is relative"""
    config = trial.config(["read", "/mnt/file"])
    configs.add_mount(config, "/mnt", "none", "data", "bind")
    bundle = trial.bundle(config)
    (bundle.path / "data").mkdir()
    (bundle.path / "data" / "file").write_text("of the bundle")
    expect_equal(trial.run(bundle)[0].get("text"), "of the bundle", "the text of a file in the bound folder")


@case("RT-041", "RT-042")
def no_such_source(trial: Trial) -> None:
    """a bind whose source does not exist is an error"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "none", str(trial.path / "nowhere"), "bind")
    trial.refused(config, "a bind without its source")


@case("RT-041", "RT-042")
def no_such_type(trial: Trial) -> None:
    """a filesystem of a type that the kernel does not have is an error"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "nosuchfs", "none")
    trial.refused(config, "a filesystem that the kernel does not have")


REMOUNT = [
    row("ro", "CFG-039", ["nosuid"], ["nosuid", "ro"], "options", "ro"),
    row("noexec", "CFG-039", ["nosuid"], ["nosuid", "noexec"], "options", "noexec"),
    row("rw", "CFG-039", ["ro"], ["rw"], "options", "rw"),
    row("size", "CFG-039", ["size=1024k"], ["size=2048k"], "superblock", "size=2048k"),
]


@each(*REMOUNT)
def remount(trial: Trial, before: list[str], after: list[str], column: str, flag: str) -> None:
    """remount changes the filesystem that is mounted with {0} to {1}, and mounts nothing new"""
    config = trial.config()
    for options in (before, ["remount", *after]):
        configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", *options)
    report = trial.run(config)
    found = _there(report.mounts, "/mnt")
    expect(flag in found[column], f"the mount is not {flag} after the remount", seen=found)
    lines = [line.split(" ")[4] for line in (report.facts["mountinfo"] or "").splitlines()]
    expect_equal(lines.count("/mnt"), 1, "the number of mounts at the place of the remount")


@case("CFG-048", needs=[facility.ext4])
def readonly_device(trial: Trial) -> None:
    """ro mounts a filesystem on a device that cannot be written"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "ext4", mounting.image(trial, "--read-only"), "ro")
    found = _there(trial.run(config).mounts, "/mnt")
    expect_equal((found["type"], "ro" in found["options"]), ("ext4", True), "the filesystem on the device")


@case("CFG-083", needs=[facility.ext4])
def options_of_ext4(trial: Trial) -> None:
    """an option that only ext4 knows reaches it"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "ext4", mounting.image(trial), "errors=remount-ro", "noatime")
    found = _there(trial.run(config).mounts, "/mnt")
    expect("errors=remount-ro" in found["superblock"], "the filesystem did not get its option", seen=found)
    expect("noatime" in found["options"], "the mount did not get its flag", seen=found)


@case("CFG-083")
def options_of_tmpfs(trial: Trial) -> None:
    """options that only tmpfs knows reach it, in whatever place they stand"""
    config = trial.config()
    # a plain user's container has no such id
    owner = [] if trial.rootless else ["uid=7"]
    wanted = {"size=1024k", "mode=750", "nr_inodes=50", *owner}
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", "size=1024k", "nosuid", "mode=750", "nr_inodes=50", *owner)
    found = _there(trial.run(config).mounts, "/mnt")
    expect(wanted <= set(found["superblock"]), "the filesystem did not get all options", expected=wanted, seen=found)
    expect("nosuid" in found["options"], "the mount did not get its flag", seen=found)


@each(row("word", "CFG-083", "nosuchoption"), row("value", "CFG-083", "size=many"))
def options_that_a_filesystem_refuses(trial: Trial, option: str) -> None:
    """an option that nobody knows goes to the filesystem, which does not take {0}: an error"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", option)
    trial.refused(config, f"the option {option} of a tmpfs")


CUSTOM = [
    row("user", "CFG-082", ["user"], "nosuid nodev noexec", ""),
    row("users", "CFG-082", ["users"], "nosuid nodev noexec", ""),
    row("owner", "CFG-082", ["owner"], "nosuid nodev", "noexec"),
    row("group", "CFG-082", ["group"], "nosuid nodev", "noexec"),
    row("noauto", "CFG-082", ["noauto"], "", "nosuid nodev noexec"),
    row("auto", "CFG-082", ["auto"], "", "nosuid nodev noexec"),
    row("nouser", "CFG-082", ["nouser"], "", "nosuid nodev noexec"),
    row("_netdev", "CFG-082", ["_netdev"], "", "nosuid nodev noexec"),
    row("x-", "CFG-082", ["x-systemd.automount"], "", "nosuid nodev noexec"),
]


@each(*CUSTOM)
def words_of_mount_8(trial: Trial, options: list[str], wanted: str, unwanted: str) -> None:
    """{0}, if the runtime knows it, has the effect that it has with mount(8): "{1}" """
    config = trial.config()
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", *options)
    made = trial.container(config)
    if made.create().code != 0:
        raise NotRun(f"the runtime has no {options[0]} of its own, and the filesystem does not know it")
    made.watch()
    ok(made.start(), "start")
    made.wait()
    found = _there(made.report.mounts, "/mnt")
    flags = set(found["options"])
    expect(set(wanted.split()) <= flags, f"{options[0]} is taken without its effect", expected=wanted, seen=found)
    expect(not set(unwanted.split()) & flags, f"{options[0]} brings flags of its own", seen=found)


@case("LNX-001")
def default_filesystems(trial: Trial) -> None:
    """/proc, /sys, /dev/pts and /dev/shm are there as the configuration lists them"""
    config = trial.config(["report"], ["read", "/proc/sys/kernel/ostype"], ["list", "/sys"])
    configs.add_mount(config, "/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
    if trial.rootless:  # who does not own the network namespace mounts no sysfs
        configs.add_namespace(config, "network")
    report = trial.run(config)
    types = {point: report.mounts.get(point, {}).get("type") for point in ("/proc", "/sys", "/dev/pts", "/dev/shm")}
    expected = {"/proc": "proc", "/sys": "sysfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs"}
    expect_equal(types, expected, "the list of default filesystems")
    expect_equal(report[1].get("text"), "Linux\n", "what /proc tells of the kernel")
    expect("kernel" in (report[2].get("names") or []), "/sys is not the kernel's", seen=report[2])


@case("RT-039")
def tmpcopyup(trial: Trial) -> None:
    """tmpcopyup fills a new tmpfs with what is below it, of a runtime that has the option, which it may"""
    claims.must_claim(trial, "tmpcopyup", "mountOptions")
    config = trial.config(["read", "/mnt/folder/file"])
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", "tmpcopyup")
    bundle = trial.bundle(config)
    place = bundle.rootfs / "mnt" / "folder"
    place.mkdir()
    (place / "file").write_text("of the root")
    report = trial.run_unless_refused(bundle)
    if report is None:
        raise NotRun("the runtime refuses tmpcopyup, as it may")
    expect_equal(report[0].get("text"), "of the root", "the text of a file below the tmpfs")
