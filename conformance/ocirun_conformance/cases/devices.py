"""Device nodes of the container: linux.devices, the default devices, and the links of /dev."""

from __future__ import annotations

import os
import select
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocirun_conformance import config as configs
from ocirun_conformance import facility
from ocirun_conformance.case import Fails, NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun_conformance.config import Config
    from ocirun_conformance.probe import Facts, Report
    from ocirun_conformance.trial import Trial


def _device(path: str, kind: str, **members: int) -> Config:
    return {"path": path, "type": kind, **members}


def _node(found: Facts, *names: str) -> dict[str, Any]:
    return {name: found.get(name) for name in names}


def _listed(trial: Trial, *devices: Config, umask: int | None = None) -> Report:
    """The probe's stat of each of these devices in a container that lists them."""
    config = trial.config(*(["stat", device["path"]] for device in devices))
    config["linux"]["devices"] = list(devices)
    if umask is not None:
        config["process"]["user"]["umask"] = umask
    return trial.run(config)


LISTED = [
    row("c", "LNX-014", _device("/dev/one", "c", major=1, minor=5), "char"),
    row("u", "LNX-014", _device("/dev/one", "u", major=1, minor=5), "char"),
    row("b", "LNX-014", _device("/dev/one", "b", major=7, minor=99), "block"),
    row("p", "LNX-014", _device("/dev/one", "p"), "fifo"),
    row("elsewhere", "LNX-014", _device("/else/where/one", "c", major=1, minor=3), "char"),
    row("large", "LNX-014", _device("/dev/one", "c", major=511, minor=1048575), "char"),
]


@each(*LISTED, needs=[facility.root])
def listed(trial: Trial, device: Config, kind: str) -> None:
    """the device {0} is in the container"""
    found = _listed(trial, device)[0]
    expect_equal(found.get("type"), kind, f"the type of file at {device['path']}")
    expected = {"major": device.get("major", 0), "minor": device.get("minor", 0)}
    expect_equal(_node(found, "major", "minor"), expected, f"the pair of numbers of {device['path']}")


@case("RT-039", needs=[facility.root])
def file_mode(trial: Trial) -> None:
    """fileMode is the device's mode, whatever the umask"""
    devices = [
        _device("/dev/one", "c", major=1, minor=5, fileMode=0o624),
        _device("/dev/two", "p", fileMode=0o426),
        _device("/dev/three", "b", major=7, minor=99, fileMode=0o640),
    ]
    report = _listed(trial, *devices, umask=0o77)
    for index, device in enumerate(devices):
        expect_equal(report[index].get("mode"), device["fileMode"], f"the mode of {device['path']}")


@each(
    row("uid", "RT-039", {"uid": 7}),
    row("gid", "RT-039", {"gid": 8}),
    row("both", "RT-039", {"uid": 5, "gid": 6}),
    needs=[facility.root],
)
def owner(trial: Trial, members: dict[str, int]) -> None:
    """a device with {0} has that owner"""
    devices = [_device("/dev/one", "c", major=1, minor=5, **members), _device("/dev/two", "p", **members)]
    report = _listed(trial, *devices)
    for index, device in enumerate(devices):
        seen = _node(report[index], "uid", "gid")
        expect_equal(seen, {"uid": 0, "gid": 0, **members}, f"the pair of owner and group of {device['path']}")


@case("LNX-014", needs=[facility.root])
def listed_works(trial: Trial) -> None:
    """a listed device does what the kernel's device of these numbers does"""
    config = trial.config(["write", "/dev/mine", "x"], ["open", "/dev/mine", "r"], ["write", "/data/null", "x"])
    devices = [("/dev/mine", 7), ("/data/null", 3)]
    config["linux"]["devices"] = [_device(path, "c", major=1, minor=minor, fileMode=0o666) for path, minor in devices]
    config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    report = trial.run(config)
    expect_equal(report[0]["error"], "ENOSPC", "the error of writing to a device that is /dev/full")
    expect_equal(report[1]["error"], None, "the error of opening a device that is /dev/full")
    expect_equal(report[2]["error"], None, "the error of writing to a device that is /dev/null")


OTHERS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text("kept"),
    "directory": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("nowhere"),
    "fifo": os.mkfifo,
    "other number": lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "other kind": lambda path: os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(1, 3)),
}


@each(*(row(name.replace(" ", "_"), "LNX-017", name) for name in OTHERS), needs=[facility.root])
def something_else_is_there(trial: Trial, what: str) -> None:
    """a file that is something else ({0}) at a device's path is an error"""
    config = trial.config()
    config["linux"]["devices"] = [_device("/data/one", "c", major=1, minor=3)]
    bundle = trial.bundle(config)
    (bundle.rootfs / "data").mkdir()
    OTHERS[what](bundle.rootfs / "data" / "one")
    trial.refused(bundle, f"another file ({what}) at a device's path")


@case("LNX-014", needs=[facility.root])
def the_very_device_is_there(trial: Trial) -> None:
    """a file that is the device already is no error"""
    config = trial.config(["stat", "/data/one"])
    config["linux"]["devices"] = [_device("/data/one", "c", major=1, minor=3, fileMode=0o666)]
    bundle = trial.bundle(config)
    (bundle.rootfs / "data").mkdir()
    os.mknod(bundle.rootfs / "data" / "one", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    found = _node(trial.run(bundle)[0], "type", "major", "minor")
    expect_equal(found, {"type": "char", "major": 1, "minor": 3}, "the device")


def _of_the_host() -> Config:
    """A device that this host has in its /dev and that is none of the default ones, as an entry of linux.devices."""
    for name in ("kmsg", "mem", "rtc0", "hwrng", "loop-control"):
        path = Path("/dev", name)
        if path.is_char_device():
            number = path.stat().st_rdev
            return _device(str(path), "c", major=os.major(number), minor=os.minor(number))
    raise NotRun("no device of the host is known that is not a default one")


@case("LNX-014", "LNX-020", needs=[facility.root, facility.userns])
def in_a_user_namespace(trial: Trial) -> None:
    """in a new user namespace, too, there are a listed device that the host has and the default devices"""
    device = _of_the_host()
    config = trial.config(["stat", device["path"]], ["write", "/dev/null", "x"], ["write", "/dev/full", "x"])
    config["linux"]["devices"] = [device]
    configs.add_namespace(config, "user")
    for member in ("uidMappings", "gidMappings"):
        config["linux"][member] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    report = trial.run(config)
    expected = {"type": "char", "major": device["major"], "minor": device["minor"]}
    expect_equal(_node(report[0], *expected), expected, "the listed device")
    expect_equal(report[1]["error"], None, "the error of writing to /dev/null")
    expect_equal(report[2]["error"], "ENOSPC", "the error of writing to /dev/full")


DEFAULTS = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


@each(*(row(name, "LNX-020", name) for name in DEFAULTS))
def default_device(trial: Trial, name: str) -> None:
    """/dev/{0} is there unasked, as the kernel's device of that name, for everybody"""
    found = trial.run(trial.config(["stat", f"/dev/{name}"]))[0]
    major, minor = DEFAULTS[name]
    expected = {"type": "char", "major": major, "minor": minor, "mode": 0o666}
    expect_equal(_node(found, *expected), expected, f"/dev/{name}")


@case("LNX-020")
def default_devices_work(trial: Trial) -> None:
    """null swallows, zero gives zeros, full has no room, random and urandom can be read, ptmx gives a terminal"""
    null_in, null_out = ["write", "/dev/null", "x"], ["read", "/dev/null"]
    opened = [["open", f"/dev/{name}", "r"] for name in ("zero", "random", "urandom")]
    report = trial.run(
        trial.config(null_in, null_out, ["write", "/dev/full", "x"], ["open", "/dev/ptmx", "rw"], *opened)
    )
    expect_equal(report[0]["error"], None, "the error of writing to /dev/null")
    expect_equal(report[1].get("text"), "", "what /dev/null gives")
    expect_equal(report[2]["error"], "ENOSPC", "the error of writing to /dev/full")
    expect_equal(report[3]["error"], None, "the error of opening /dev/ptmx")
    for index, (_action, path, _mode) in enumerate(opened, 4):
        expect_equal(report[index]["error"], None, f"the error of opening {path}")


@case("LNX-020")
def ptmx(trial: Trial) -> None:
    """/dev/ptmx is /dev/pts/ptmx of the container, by a link or a bind mount"""
    report = trial.run(trial.config(["stat", "/dev/ptmx"], ["stat", "/dev/pts/ptmx"]))
    link, real = report[0], report[1]
    same = (link.get("filesystem"), link.get("inode")) == (real.get("filesystem"), real.get("inode"))
    leads = link.get("type") == "link" and link.get("target") in ("pts/ptmx", "/dev/pts/ptmx")
    expect(leads or (same and link["error"] is None), "/dev/ptmx is not the container's /dev/pts/ptmx", seen=link)


@each(
    row("fd", "RTL-001", "fd", "/proc/self/fd"),
    row("stdin", "RTL-001", "stdin", "/proc/self/fd/0"),
    row("stdout", "RTL-001", "stdout", "/proc/self/fd/1"),
    row("stderr", "RTL-001", "stderr", "/proc/self/fd/2"),
)
def link(trial: Trial, name: str, target: str) -> None:
    """/dev/{0} is a link to {1}"""
    found = trial.run(trial.config(["stat", f"/dev/{name}"]))[0]
    expect_equal(_node(found, "type", "target"), {"type": "link", "target": target}, f"/dev/{name}")


def _until(master: int, mark: str, seconds: float = 10.0) -> str:
    """What comes out of a terminal, until the mark has come or nothing more comes."""
    text = ""
    while mark not in text and select.select([master], [], [], seconds)[0]:
        try:
            text += os.read(master, 65536).decode("utf-8", "backslashreplace")
        except OSError:  # nobody has the other side open
            break
    return text


@case("LNX-020")
def console(trial: Trial) -> None:
    """with a terminal /dev/console is there, and what is written to it comes out of that terminal"""
    config = trial.config(["write", "/dev/console", "written to the console"])
    config["process"]["terminal"] = True
    path = str(trial.path / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(10)
        made = trial.container(config)
        ok(made.create(console_socket=path), "create")
        try:
            connection, _address = listener.accept()
        except TimeoutError:
            raise Fails("the terminal was not sent to the console socket") from None
    with connection:
        _data, descriptors, _flags, _from = socket.recv_fds(connection, 4096, 1)
    expect(descriptors, "no terminal was sent to the console socket")
    trial.defer(lambda: os.close(descriptors[0]))
    ok(made.start(), "start")
    seen = _until(descriptors[0], "written to the console")
    expect("written to the console" in seen, "/dev/console is not the terminal of the process", seen=seen)
