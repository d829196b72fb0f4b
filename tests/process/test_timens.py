"""linux.timeOffsets, by the clocks that the program reads (config-linux.md, Offset for Time Namespace)."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box, namespaces_of, one_sentence
from process.plain import plain_box, plain_user_namespace
from support import facility
from support.bundle import Config, default_config, with_bind, with_namespace, with_user_namespace
from support.facility import need, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.privileged]

MONTH = 30 * 86400
OFFSETS = {"boottime": {"secs": MONTH, "nanosecs": 500_000_000}, "monotonic": {"secs": 1000}}
NS_GET_USERNS = 0xB701
SLACK = 60
"""Seconds that a run takes at most, on a slow machine."""
LOOK = (
    "cut -d. -f1 /proc/uptime; while read clock secs nanosecs; do echo $clock/$secs/$nanosecs; done "
    "< /proc/self/timens_offsets; for name in time time_for_children; do readlink /proc/self/ns/$name; done"
)


@pytest.fixture(autouse=True)
def _time_namespaces() -> None:
    need(facility.time_namespace)


def with_offsets(config: Config, offsets: dict[str, dict[str, int]] | None = None) -> Config:
    with_namespace(config, "time")
    config["linux"]["timeOffsets"] = OFFSETS if offsets is None else offsets
    return config


def check(text: str) -> None:
    """What LOOK printed under OFFSETS."""
    uptime, monotonic, boottime, own, children = text.split()
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert -2 <= now + MONTH - int(uptime) <= SLACK
    assert (monotonic, boottime) == ("monotonic/1000/0", f"boottime/{MONTH}/500000000")
    assert own == children != os.readlink("/proc/self/ns/time")


@pytest.mark.parametrize("userns", [False, True])
def test_offsets(box: Box, userns: bool) -> None:
    if userns:
        need(facility.user_namespace)
    config = with_offsets(default_config())
    mine = os.readlink("/proc/self/ns/time_for_children")
    check(box.shell(LOOK, with_user_namespace(config) if userns else config))
    assert os.readlink("/proc/self/ns/time_for_children") == mine


def test_a_created_container_is_in_it_already(box: Box) -> None:
    """Newer kernels would put the program there by execve(2), Linux 5.12 does not."""
    box.create(with_offsets(default_config())).ok()
    pid = box.runtime.state(box.ident)["pid"]
    own, children = (os.readlink(f"/proc/{pid}/ns/{name}") for name in ("time", "time_for_children"))
    assert own == children != os.readlink("/proc/self/ns/time")


@pytest.mark.parametrize("userns", [False, True])
def test_exec_reads_the_same_clocks(box: Box, userns: bool) -> None:
    if userns:
        need(facility.user_namespace)
    config = with_offsets(default_config())
    box.start_sleeper(with_user_namespace(config) if userns else config)
    check(box.exec(LOOK).ok().out)


def test_the_monotonic_clock(box: Box) -> None:
    """The clock that programs read without a system call, by the host's python3."""
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip(f"not this lane: needs {python}")
    config = default_config()
    config["process"]["env"] = ["PATH=/usr/bin"]
    for name in ("usr", "lib", "lib64"):
        if Path("/", name).exists():
            with_bind(config, Path("/", name).resolve(), f"/{name}", "ro")
    config["process"]["args"] = [str(python), "-IS", "-c", "import time; print(time.monotonic())"]
    found = float(box.run(with_offsets(config, {"monotonic": {"secs": MONTH}})).ok().out)
    assert 0 <= time.monotonic() + MONTH - found <= SLACK


def test_clocks_can_be_set_back(box: Box) -> None:
    """Negative seconds; the nanoseconds always go forward (time_namespaces(7))."""
    config = with_offsets(default_config(), {"boottime": {"secs": -1, "nanosecs": 5}})
    assert "boottime/-1/5" in box.shell(LOOK, config).split()


def test_an_offset_of_nothing(box: Box) -> None:
    config = with_offsets(default_config(), {"boottime": {}})
    assert "boottime/0/0" in box.shell(LOOK, config).split()


@requires(facility.user_namespace)
def test_the_time_namespace_belongs_to_a_joined_user_namespace(box: Box) -> None:
    first = box.start_sleeper(with_user_namespace(default_config()))
    config = with_namespace(default_config(), "user", f"/proc/{first}/ns/user")
    box.ident = box.name("second")
    check(box.shell(LOOK, with_offsets(config)))


@requires(facility.user_namespace)
def test_the_time_namespace_is_the_new_user_namespaces_own(box: Box) -> None:
    """So that the container's root has in it the rights that user_namespaces(7) gives the owner."""
    pid = box.start_sleeper(with_user_namespace(with_offsets(default_config())))
    with Path(f"/proc/{pid}/ns/time").open("rb") as clocks:
        owner = fcntl.ioctl(clocks, NS_GET_USERNS)
    try:
        assert Path(f"/proc/self/fd/{owner}").readlink() == Path(f"/proc/{pid}/ns/user").readlink()
        assert namespaces_of(pid)["user"] != namespaces_of()["user"]
    finally:
        os.close(owner)


def test_offsets_out_of_range_are_refused(box: Box) -> None:
    box.write(with_offsets(default_config(), {"boottime": {"secs": -(1 << 40)}}))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert ": /linux/timeOffsets: make the time namespace with the offsets boottime -1099511627776" in sentence
    assert sentence.endswith("write: numerical result out of range")
    before.assert_unchanged()


@pytest.fixture
def plain(program: Path) -> Iterator[Box]:
    """A box that a plain user runs."""
    need(facility.root, facility.busybox, plain_user_namespace)
    with plain_box(program) as box:
        yield box


def test_a_plain_user_sets_clocks(plain: Box) -> None:
    """It needs no right on the host; a process's files in /proc are its user's only while it is dumpable."""
    config = json.loads((plain.bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    check(plain.shell(LOOK, with_offsets(config)))
