"""linux.resources: what each limit does to a program that wants more."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence, status_lines
from resources.limited import MIB
from support.bundle import DEFAULT_CAPABILITIES, with_args, with_capabilities, with_shell
from support.disk import Disk, loop_disk
from support.facility import requires
from support.runtime import wait_for

from ocirun.linux.cgroup.limits.blockio import io_weight

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resources.limited import LimitedBox

GREEDY = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
SMALL = {"memory": {"limit": 24 * MIB, "swap": 24 * MIB}}


def two_cpus() -> str:
    return "" if {0, 1} <= os.sched_getaffinity(0) else "not this lane: needs the CPUs 0 and 1"


def test_more_memory_than_the_limit_ends_the_program(box: LimitedBox) -> None:
    box.run(with_args(box.limited(SMALL), *GREEDY)).expect(137)


def test_the_kernel_counts_the_process_that_it_killed(box: LimitedBox) -> None:
    """One of two: the program itself goes on."""
    script = f"{' '.join(GREEDY)}; echo $? > /shared/new; mv /shared/new /shared/code; exec sleep 1000"
    box.run(with_shell(box.with_shared(box.limited(SMALL)), script), "--detach").ok()
    wait_for((box.shared / "code").exists, what="the end of the greedy program")
    assert (box.shared / "code").read_text() == "137\n"
    assert box.read("memory limit") == 24 * MIB
    assert box.read("oom kills") == 1
    assert box.runtime.status(box.ident) == "running"


@pytest.mark.parametrize(("limit", "forks"), [(0, 0), (1, 0), (3, 2), (-1, 4)])
def test_a_pids_limit_stops_forks(box: LimitedBox, limit: int, forks: int) -> None:
    """A limit of 0 is one: the program runs, since it was there before, and cannot fork."""
    script = "".join(f"sleep 1000 & echo {number}; " for number in range(4)) + "kill $(jobs -p)"
    result = box.run(with_shell(box.limited({"pids": {"limit": limit}}), script))
    assert len(result.out.split()) == forks, result.details()
    assert ("can't fork" in result.err) == (forks < 4)


def test_a_pids_limit_stops_a_fork_bomb(box: LimitedBox) -> None:
    """Each process makes two, seven times: not more than 254 without a limit."""
    bomb = "bomb() { [ $1 = 0 ] || { bomb $(($1 - 1)) & bomb $(($1 - 1)) & }; exec sleep 1000; }"
    box.run(with_shell(box.limited({"pids": {"limit": 20}}), f"{bomb}; bomb 7 & exec sleep 1000"), "--detach").ok()
    assert box.read("pids limit") == 20
    wait_for(lambda: box.read("refused forks") > 0, what="a fork that is refused")
    assert 2 <= box.read("pids") <= 20
    assert len(box.pids()) <= 20
    assert box.runtime.status(box.ident) == "running"


def spinner(box: LimitedBox, quota: int) -> str:
    """A container that would use one processor for itself, but for this share of each 100 ms; returns its id."""
    ident = box.name("spinner")
    config = box.limited({"cpu": {"quota": quota, "period": 100_000}}, ident)
    box.runtime.run(ident, box.write(with_shell(config, "while :; do :; done")), "--detach").ok()
    return ident


def test_a_cpu_quota_gives_its_share(box: LimitedBox) -> None:
    """Half a processor and a tenth of one, in the same time: five times as much, when nothing else disturbs."""
    half, tenth = spinner(box, 50_000), spinner(box, 10_000)
    wait_for(lambda: all(box.read("throttled periods", each) for each in (half, tenth)), what="throttling")
    assert (box.read("cpu quota", half), box.read("cpu quota", tenth)) == (50_000, 10_000)
    began = {each: box.read("cpu time", each) for each in (half, tenth)}
    wait_for(lambda: box.read("cpu time", tenth) - began[tenth] > 150_000_000, 60.0, "0.15 s for the slower one")
    used = {each: box.read("cpu time", each) - began[each] for each in (half, tenth)}
    assert 2.5 < used[half] / used[tenth] < 10


@requires(two_cpus)
def test_the_program_runs_on_the_given_processors_and_memory_nodes(box: LimitedBox) -> None:
    found = box.shell("nproc; cat /proc/self/status", box.limited({"cpu": {"cpus": "1", "mems": "0"}}))
    count, status = found.split("\n", 1)
    lists = status_lines(status)
    assert (count, lists["Cpus_allowed_list"], lists["Mems_allowed_list"]) == ("1", "1", "0")


KMSG: dict[str, Any] = {"type": "c", "major": 1, "minor": 11}
LOOK = "mknod /dev/k c 1 11; for m in '<' '>'; do (eval \": $m /dev/k\") 2>/dev/null && echo $m; done; true"
"""Prints the ways in which /dev/kmsg can be opened: for reading, for writing."""


@pytest.mark.parametrize(
    ("rules", "opened"),
    [
        ([], ""),
        ([{"allow": True, "access": "r", **KMSG}], "<"),
        ([{"allow": True, "access": "rw", **KMSG}], "< >"),
        ([{"allow": True, "access": "rw", **KMSG, "minor": 12}], ""),
    ],
    ids=["none", "read", "both", "another"],
)
def test_only_an_allowed_device_can_be_opened(box: LimitedBox, rules: list[dict[str, Any]], opened: str) -> None:
    """By the program, and by one that `exec` adds."""
    config = box.limited({"devices": [{"allow": False, "access": "rwm"}, *rules]})
    config = with_capabilities(box.with_shared(config), (*DEFAULT_CAPABILITIES, "CAP_MKNOD", "CAP_SYSLOG"))
    box.run(with_shell(config, f"({LOOK}) > /shared/new; mv /shared/new /shared/seen; exec sleep 1000"), "-d").ok()
    wait_for((box.shared / "seen").exists, what="the program to have looked")
    assert (box.shared / "seen").read_text().split() == opened.split()
    again = LOOK.removeprefix("mknod /dev/k c 1 11; ")
    assert box.exec(again).ok().out.split() == opened.split()


@pytest.fixture
def disk(box: LimitedBox) -> Iterator[Disk]:
    """Free when the containers are gone."""
    with loop_disk(box.directory / "disk") as found:
        yield found
        box.runtime.remove_all()


@pytest.mark.parametrize(
    ("member", "rate", "command"),
    [
        ("throttleReadBpsDevice", 65536, "dd if=/tmp/disk of=/dev/null bs=32k count=2 iflag=direct"),
        ("throttleWriteBpsDevice", 65536, "dd if=/dev/zero of=/tmp/disk bs=32k count=2 oflag=direct"),
        ("throttleReadIOPSDevice", 10, "dd if=/tmp/disk of=/dev/null bs=4k count=10 iflag=direct"),
        ("throttleWriteIOPSDevice", 10, "dd if=/dev/zero of=/tmp/disk bs=4k count=10 oflag=direct"),
    ],
)
def test_a_throttle_slows_the_device_down(box: LimitedBox, disk: Disk, member: str, rate: int, command: str) -> None:
    """A second's worth of reading or writing takes most of a second."""
    rule = {"allow": True, "type": "b", **disk.entry, "access": "rw"}
    config = box.limited({"blockIO": {member: [{**disk.entry, "rate": rate}]}, "devices": [rule]})
    node = f"mknod /tmp/disk b {disk.number.replace(':', ' ')}"
    began = time.monotonic()
    box.shell(f"{node}; {command} 2>&1", with_capabilities(config, (*DEFAULT_CAPABILITIES, "CAP_MKNOD")))
    assert time.monotonic() - began > 0.5


def test_a_weight_is_where_the_controller_has_one(box: LimitedBox) -> None:
    """Weights are of two kinds, and a kernel may have neither, which refuses one with its pointer."""
    config = with_args(box.limited({"blockIO": {"weight": 321}}), "sleep", "1000")
    result = box.create(config)
    if result.code:
        assert "/linux/resources/blockIO/weight: this kernel's cgroups have no file " in one_sentence(result)
        pytest.skip("not this lane: its kernel has no weights of block devices")
    groups = box.groups()
    directory, prefix = (groups["blkio"], "blkio") if "blkio" in groups else (groups["unified"], "io")
    values = [line for line in weights(directory, prefix) if line.startswith(("321", "default "))]
    assert f"default {io_weight(321)}" in values or {"321", "default 321"} & set(values)


def weights(directory: Path, prefix: str) -> list[str]:
    """The lines of the files in which a weight can be."""
    files = [directory / f"{prefix}{kind}.weight" for kind in ("", ".bfq")]
    return [line for file in files if file.exists() for line in file.read_text().splitlines()]
