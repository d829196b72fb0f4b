"""Names that a process swaps with links all the time, in a volume or an image, while containers are made of them."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance import facility, host
from ocirun_conformance.case import Fails, each, expect, expect_equal, row
from ocirun_conformance.inbox import Inbox
from ocirun_conformance.sentinel import UP, Sentinel
from ocirun_conformance.trial import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial


@contextmanager
def _swapped(trial: Trial, name: Path, link: Path) -> Iterator[None]:
    """Exchange both names all the time; both have to be there. Fails when the swapping has not gone on to the end."""
    with subprocess.Popen([str(trial.program), "swap", str(name), str(link)]) as swapper:
        try:
            wait_until(name.is_symlink, "the first swap")
            yield
            if swapper.poll() is not None:
                raise Fails("the runtime has removed or replaced what was swapped", seen=swapper.returncode)
        finally:
            swapper.kill()


def _volume(trial: Trial, sentinel: Sentinel) -> tuple[Path, Path]:
    """A folder `target` in a volume and, beside it, a link to the host's folder."""
    target, link = trial.path / "volume" / "target", trial.path / "volume" / "link"
    target.mkdir(parents=True)
    link.symlink_to(f"{UP}{str(sentinel.path).lstrip('/')}")
    return target, link


def _mount(trial: Trial, config: Config, kind: str) -> None:
    """What shall be mounted below the name that is swapped."""
    source = trial.path / "source"
    source.mkdir()
    (source / "file").touch()
    if kind == "tmpfs":
        configs.add_mount(config, "/volume/target", "tmpfs", "tmpfs", "nosuid")
    elif kind == "bind":
        configs.add_mount(config, "/volume/target", "none", str(source), "bind")
    elif kind == "file":
        configs.add_mount(config, "/volume/target/file", "none", str(source / "file"), "bind")
    elif kind == "below":
        configs.add_mount(config, "/volume/target/made/deep", "tmpfs", "tmpfs", "nosuid")
    elif kind == "masked":
        config["linux"]["maskedPaths"] = ["/volume/target", "/volume/target/secret"]
        config["linux"]["readonlyPaths"] = ["/volume/target/inner"]
    elif kind == "cwd":
        config["process"]["cwd"] = "/volume/target/made"
    elif kind == "device":
        device = {"path": "/volume/target/null", "type": "c", "major": 1, "minor": 3}
        config["linux"]["devices"] = [device]


@each(
    row("tmpfs", "CVE-2021-30465", "tmpfs"),
    row("bind", "CVE-2021-30465", "bind"),
    row("file", "CVE-2021-30465 CVE-2024-45310", "file"),
    row("below", "CVE-2021-30465 CVE-2024-45310", "below"),
    row("masked", "CVE-2021-30465 CVE-2025-31133", "masked"),
    row("cwd", "CVE-2024-45310", "cwd"),
    row("device", "CVE-2024-45310", "device", needs=[facility.root]),
)
def a_swapped_destination(trial: Trial, kind: str) -> None:
    """create with {0} at a folder of a volume that is swapped with a link to the host's"""
    sentinel = Sentinel(trial)
    target, link = _volume(trial, sentinel)
    config = trial.config()
    configs.add_mount(config, "/volume", "none", str(target.parent), "bind")
    _mount(trial, config, kind)
    bundle = trial.bundle(config)
    sentinel.inside(bundle.rootfs)
    made = trial.container(bundle)
    with _swapped(trial, target, link):
        for _ in range(trial.rounds):
            made.create()
            sentinel.untouched()
            made.force()
    expect_equal(host.mounts_below(trial.path), [], "what is mounted on the host afterwards")


@each(row("masked", "CVE-2025-31133", False), row("terminal", "CVE-2025-52565", True))
def a_swapped_null_device(trial: Trial, terminal: bool) -> None:
    """/dev of the image is swapped with a link, while files are masked and a terminal is put there ({0})"""
    sentinel = Sentinel(trial)
    config = trial.config(["read", "/data"])
    config["mounts"] = [each for each in config["mounts"] if not each["destination"].startswith("/dev")]
    config["linux"]["maskedPaths"] = ["/data"]
    config["process"]["terminal"] = terminal
    bundle = trial.bundle(config)
    (bundle.rootfs / "data").write_text("of the image")
    inside = sentinel.inside(bundle.rootfs)
    (inside / "null").write_text("of the image")
    link = bundle.rootfs / "link"
    link.symlink_to(f"{UP}{str(sentinel.path).lstrip('/')}")
    made = trial.container(bundle)
    inbox = Inbox(trial) if terminal else None
    with _swapped(trial, bundle.rootfs / "dev", link):
        for _ in range(trial.rounds):
            made.create(console_socket=str(inbox.path) if inbox else "")
            sentinel.untouched()
            made.force()


@each(row("volume", "CVE-2025-52881"), needs=[facility.root])
def a_swapped_sysctl(trial: Trial) -> None:
    """a volume is mounted through a name that is swapped with a link to /proc/sys, while a sysctl is written"""
    target, link = trial.path / "volume" / "target", trial.path / "volume" / "link"
    target.mkdir(parents=True)
    link.symlink_to("/proc/sys/kernel")
    canary = trial.path / "source"
    canary.mkdir()
    (canary / "domainname").write_text("untouched")
    config = trial.config(["read", "/proc/sys/kernel/domainname"])
    config["linux"]["sysctl"] = {"kernel.domainname": "written"}
    configs.add_mount(config, "/volume", "none", str(target.parent), "bind")
    configs.add_mount(config, "/volume/target", "none", str(canary), "bind")
    bundle = trial.bundle(config)
    with _swapped(trial, target, link):
        for _ in range(trial.rounds):
            made = trial.container(bundle)
            if made.create().code == 0:
                made.watch()
                if made.start().code == 0:
                    made.wait()
                    expect("written" in made.output, "the sysctl is not the kernel's", seen=made.output)
            expect_equal((canary / "domainname").read_text(), "untouched", "the volume's file")
            made.force()
            trial.containers.remove(made)
