"""Links that an image has where the runtime looks, mounts or makes something."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance.case import case, each, expect, expect_equal, row
from ocirun_conformance.inbox import Inbox
from ocirun_conformance.sentinel import SECRET, Sentinel

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Bundle, Trial

WAYS = (False, True)


def _without(config: Config, *destinations: str) -> Config:
    """Without what is mounted there, and below."""
    config["mounts"] = [each for each in config["mounts"] if not each["destination"].startswith(destinations)]
    return config


def _attempt(trial: Trial, bundle: Bundle) -> None:
    """Create, start, wait and delete, whatever comes of it."""
    made = trial.container(bundle)
    if made.create().code == 0:
        made.watch()
        if made.start().code == 0:
            made.wait()
    made.force()


def _source(trial: Trial) -> Path:
    """A folder to bind, with a file."""
    source = trial.path / "source"
    source.mkdir()
    (source / "file").write_text("of the volume")
    return source


@each(
    *(
        row(f"{kind}-{'relative' if way else 'absolute'}", "CVE-2019-18837", kind, way)
        for kind in ("tmpfs", "bind", "file", "below")
        for way in WAYS
    )
)
def a_mount_on_a_link(trial: Trial, kind: str, relative: bool) -> None:
    """{0} mounted at a link of the image to a folder of the host"""
    sentinel, source = Sentinel(trial), _source(trial)
    bundle = trial.bundle()
    sentinel.reached_by(bundle.rootfs / "linked", relative=relative, below="secret" if kind == "file" else "")
    config = trial.config()
    if kind == "tmpfs":
        configs.add_mount(config, "/linked", "tmpfs", "tmpfs", "nosuid")
    elif kind == "below":
        configs.add_mount(config, "/linked/made/deep", "tmpfs", "tmpfs", "nosuid")
    else:
        configs.add_mount(config, "/linked", "none", str(source / "file" if kind == "file" else source), "bind")
    bundle.write(config)
    _attempt(trial, bundle)
    sentinel.untouched()


@each(
    row("proc", "CVE-2023-27561", "proc", False),
    row("proc-relative", "CVE-2023-27561", "proc", True),
    row("sys", "CVE-2023-28642", "sys", False),
    row("sys-relative", "CVE-2023-28642", "sys", True),
)
def a_linked_filesystem(trial: Trial, name: str, relative: bool) -> None:
    """/{0} of the image is a link to another folder of it"""
    sentinel = Sentinel(trial)
    bundle = trial.bundle()
    sentinel.inside(bundle.rootfs)
    sentinel.reached_by(bundle.rootfs / name, relative=relative)
    config = trial.config()
    if name == "sys":
        configs.add_mount(config, "/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
        configs.add_namespace(config, "network")
    bundle.write(config)
    trial.refused_at_last(bundle, f"a link at /{name}")
    sentinel.untouched()


@each(
    row("self", "CVE-2019-16884", "/proc/self/attr"),
    row("sys", "CVE-2019-16884 CVE-2019-19921", "/proc/sys/kernel"),
    row("link", "CVE-2019-16884 CVE-2025-52881", "/linked"),
)
def a_volume_in_proc(trial: Trial, destination: str) -> None:
    """a volume at {0}, over the files that decide what a container may do"""
    source = _source(trial)
    bundle = trial.bundle()
    (bundle.rootfs / "linked").symlink_to("/proc/sys/kernel")
    config = trial.config()
    configs.add_mount(config, destination, "none", str(source), "bind")
    bundle.write(config)
    trial.refused_at_last(bundle, f"a volume at {destination}")


@case("CVE-2019-19921")
def a_volume_instead_of_proc(trial: Trial) -> None:
    """a volume that is mounted at /proc after the procfs: no label may be written to its files"""
    source = trial.path / "volume"
    (source / "self" / "attr").mkdir(parents=True)
    (source / "self" / "attr" / "exec").touch()
    config = trial.config(["read", "/proc/self/attr/exec"])
    config["process"]["apparmorProfile"] = "unconfined"
    configs.add_mount(config, "/proc", "none", str(source), "bind")
    trial.run_unless_refused(config)
    expect_equal((source / "self/attr/exec").read_text(), "", "the volume's file")


@each(
    *(
        row(f"{kind}-{'relative' if way else 'absolute'}", "CVE-2026-41579 CVE-2026-47766", kind == "mounted", way)
        for kind in ("image", "mounted")
        for way in WAYS
    )
)
def a_linked_dev(trial: Trial, mounted: bool, relative: bool) -> None:
    """/dev of the image is a link to a folder of the host with a file ptmx (mounts there: {0})"""
    sentinel = Sentinel(trial)
    bundle = trial.bundle()
    sentinel.reached_by(bundle.rootfs / "dev", relative=relative)
    bundle.write(trial.config() if mounted else _without(trial.config(), "/dev"))
    _attempt(trial, bundle)
    sentinel.untouched()


@each(*(row(name, ident, name) for name, ident in (
    ("console", "CVE-2026-88264"), ("null", "CVE-2026-88265"), ("ptmx", "CVE-2026-41579"), ("fd", "CVE-2026-41579"),
    ("pts", "CVE-2026-41579"), ("zero", "CVE-2026-41579"),
)))  # fmt: skip
def a_linked_device(trial: Trial, name: str) -> None:
    """/dev/{0} of the image is a link to a new name in a folder of the host, and the container has a terminal"""
    sentinel = Sentinel(trial)
    bundle = trial.bundle()
    sentinel.reached_by(bundle.rootfs / "dev" / name, below="new")
    config = _without(trial.config(), "/dev")
    config["process"]["terminal"] = True
    bundle.write(config)
    inbox = Inbox(trial)
    made = trial.container(bundle)
    if made.create(console_socket=str(inbox.path)).code == 0:
        made.start()
    made.force()
    sentinel.untouched()


@each(row("root", "CVE-2026-88265", 0), row("user", "CVE-2026-88265", 1000))
def a_null_device_that_is_a_volume(trial: Trial, uid: int) -> None:
    """/dev/null of the image is a link into a volume, whose file is neither opened nor given to user {0}"""
    sentinel = Sentinel(trial)
    bundle = trial.bundle()
    null = bundle.rootfs / "dev" / "null"
    null.symlink_to("/volume/secret")
    config = _without(trial.config(["report"]), "/dev")
    configs.add_mount(config, "/volume", "none", str(sentinel.path), "bind")
    config["process"]["user"] = {"uid": uid, "gid": uid}
    bundle.write(config)
    reading, writing = os.pipe()
    try:
        made = trial.container(bundle)
        if made.create(stdin=reading).code == 0:
            made.watch()
            made.start()
            made.wait()
    finally:
        os.close(reading)
        os.close(writing)
    made.force()
    sentinel.untouched()


@each(row("file", "CVE-2025-31133", False), row("link", "CVE-2025-31133", True))
def a_mask_of_the_images_null(trial: Trial, linked: bool) -> None:
    """/dev/null of the image is another file, or a link to one ({0}); a masked file must not become that"""
    bundle = trial.bundle()
    (bundle.rootfs / "data").write_text("of the image")
    (bundle.rootfs / "target").write_text(SECRET)
    null = bundle.rootfs / "dev" / "null"
    if linked:
        null.symlink_to("/target")
    else:
        null.write_text(SECRET)
    # a runtime may have put the image's file in the place of standard output too
    actions = (["into", "/said"], ["read", "/data"], ["write", "/data", "changed"])
    config = _without(trial.config(*actions), "/dev")
    config["linux"]["maskedPaths"] = ["/data"]
    bundle.write(config)
    _attempt(trial, bundle)
    said = bundle.rootfs / "said"
    if said.exists():
        read = json.loads(said.read_text().splitlines()[1])
        expect(not read.get("text"), "a masked file has the image's text", seen=read)
    expect_equal((bundle.rootfs / "target").read_text(), SECRET, "the file that /dev/null leads to")


@case("CVE-2026-115521")
def the_images_own_proc(trial: Trial) -> None:
    """the image has a folder at /proc with links of its own at self/fd; a read-only root stays read-only"""
    bundle = trial.bundle()
    links = bundle.rootfs / "proc" / "self" / "fd"
    links.mkdir(parents=True)
    (bundle.rootfs / "decoy").mkdir()
    for number in range(64):
        (links / str(number)).symlink_to("/decoy")
    config = _without(trial.config(["create", "/new"], ["create", "/decoy/new"], ["create", "/tmp/new"]), "/proc")
    config["root"]["readonly"] = True
    config["process"]["capabilities"] = {
        name: [*configs.USUAL_CAPABILITIES, "CAP_DAC_OVERRIDE"] for name in ("bounding", "effective", "permitted")
    }
    bundle.write(config)
    report = trial.run_unless_refused(bundle)
    for line in report.lines if report else ():
        expect_equal(line["error"], "EROFS", "the error of making a file in a read-only root")
