"""The time namespace with linux.timeOffsets, seen by the clocks of a container (time_namespaces(7))."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from process.box import one_sentence
from support.bundle import default_config, with_namespace

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

DAY = 86400


def shifted(seconds: int) -> Config:
    config = with_namespace(default_config(), "time")
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": seconds}, "boottime": {"secs": seconds, "nanosecs": 5}}
    return config


def test_the_clocks_of_the_container_are_shifted(box: Box) -> None:
    words = box.shell("cut -d. -f1 /proc/uptime; readlink /proc/self/ns/time", shifted(DAY)).split()
    assert 0 <= int(words[0]) - DAY <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert words[1] != str(Path("/proc/self/ns/time").readlink())


def test_the_offsets_are_the_configured_ones(box: Box) -> None:
    pid = box.start_sleeper(shifted(DAY))
    lines = [line.split() for line in Path(f"/proc/{pid}/timens_offsets").read_text().splitlines()]
    assert lines == [["monotonic", str(DAY), "0"], ["boottime", str(DAY), "5"]]
    assert int(box.exec("cut -d. -f1 /proc/uptime").ok().out) >= DAY


def test_an_offset_that_the_kernel_refuses_is_one_error(box: Box) -> None:
    """A clock cannot be set to a time before zero."""
    sentence = one_sentence(box.run(shifted(-DAY * 10000)).expect(1))
    assert "/linux/timeOffsets" in sentence
    assert "numerical result out of range" in sentence
