"""linux.resources.blockIO: config-linux.md, Block IO."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocirun_conformance import cgroups, facility, mounting
from ocirun_conformance.case import NotRun, case, each, expect, row
from ocirun_conformance.cgroups import Limit, io_weight, limit, limited, shown

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

NEEDS = [facility.controller("blkio")] if facility.has_controller("blkio") else [facility.controller("io")]
RATE = 4096
THROTTLES = {
    "throttleReadBpsDevice": ("read_bps", "rbps"),
    "throttleWriteBpsDevice": ("write_bps", "wbps"),
    "throttleReadIOPSDevice": ("read_iops", "riops"),
    "throttleWriteIOPSDevice": ("write_iops", "wiops"),
}


def disk() -> str:
    """The number, major:minor, of a block device that has a size."""
    found = [each for each in sorted(Path("/sys/block").iterdir()) if (each / "size").read_text().strip() != "0"]
    if not found:
        raise NotRun("needs a block device")
    whole = [each for each in found if not each.name.startswith(("loop", "ram", "zram"))]
    return (whole or found)[0].joinpath("dev").read_text().strip()


def entry(number: str, **members: int) -> dict[str, Any]:
    """An entry for a device."""
    major, minor = number.split(":")
    return {"major": int(major), "minor": int(minor), **members}


def throttle(name: str) -> Limit:
    """A rate for the device, in the way of both versions."""
    number, (old, new) = disk(), THROTTLES[name]
    keys = " ".join(f"{key}={RATE if key == new else 'max'}" for _, key in THROTTLES.values())
    return limit(
        "blkio",
        {"blockIO": {name: [entry(number, rate=RATE)]}},
        [{f"blkio.throttle.{old}_device": f"{number} {RATE}"}],
        [{"io.max": shown(f"{number} {keys}", written=f"{number} {new}={RATE}")}],
    )


@each(*(row(name, "RT-010 RT-039", name) for name in THROTTLES), needs=NEEDS)
def rate(trial: Trial, name: str) -> None:
    """blockIO.{0} is in the container's cgroup after create"""
    cgroups.applied(trial, throttle(name))


@case("RT-010", "RT-039", needs=NEEDS)
def rates_together(trial: Trial) -> None:
    """the four rates of one device do not replace each other"""
    number = disk()
    rates = {name: (index + 1) * RATE for index, name in enumerate(THROTTLES)}
    old = {f"blkio.throttle.{THROTTLES[name][0]}_device": f"{number} {value}" for name, value in rates.items()}
    new = " ".join(f"{THROTTLES[name][1]}={value}" for name, value in rates.items())
    entries = {name: [entry(number, rate=value)] for name, value in rates.items()}
    cgroups.applied(trial, limit("blkio", {"blockIO": entries}, [old], [{"io.max": f"{number} {new}"}]))


@each(*(row(name, "RT-010 RT-039", name) for name in THROTTLES), needs=[*NEEDS, facility.ext4])
def rates_of_two_devices(trial: Trial, name: str) -> None:
    """blockIO.{0} has an entry for each of two devices"""
    found = os.stat(mounting.image(trial)).st_rdev
    numbers, (old, new) = [disk(), f"{os.major(found)}:{os.minor(found)}"], THROTTLES[name]
    made = trial.created(limited(trial, {"blockIO": {name: [entry(each_one, rate=RATE) for each_one in numbers]}}))
    version = cgroups.generation("blkio")
    file = f"blkio.throttle.{old}_device" if version == 1 else "io.max"
    text = (cgroups.folder(made.pid, "blkio") / file).read_text()
    for number in numbers:
        line = next((line for line in text.splitlines() if line.split()[0] == number), "")
        expect(str(RATE) in line.replace(f"{new}=", "").split(), f"{file} has no such rate for {number}", seen=text)


def weight() -> Limit:
    """The weight of the group: CFQ's file or BFQ's, and on cgroup2 BFQ's or that of the cost model (1…10000)."""
    return limit(
        "blkio",
        {"blockIO": {"weight": 500}},
        [{"blkio.weight": "500"}, {"blkio.bfq.weight": shown("500", "default 500")}],
        [{"io.bfq.weight": "default 500"}, {"io.weight": f"default {io_weight(500)}"}],
    )


def device_weight() -> Limit:
    """The weight of one device."""
    number = disk()
    return limit(
        "blkio",
        {"blockIO": {"weightDevice": [entry(number, weight=321)]}},
        [{"blkio.weight_device": f"{number} 321"}, {"blkio.bfq.weight_device": f"{number} 321"}],
        [{"io.bfq.weight": f"{number} 321"}, {"io.weight": f"{number} {io_weight(321)}"}],
    )


def leaf_weight() -> Limit:
    """What only kernels with CFQ (before 5.0) have."""
    return limit("blkio", {"blockIO": {"leafWeight": 300}}, [{"blkio.leaf_weight": "300"}])


def device_leaf_weight() -> Limit:
    """The same for one device."""
    number = disk()
    entries = [entry(number, leafWeight=300)]
    return limit("blkio", {"blockIO": {"weightDevice": entries}}, [{"blkio.leaf_weight_device": f"{number} 300"}])


WEIGHTS = {
    "weight": weight,
    "weightDevice": device_weight,
    "leafWeight": leaf_weight,
    "weightDevice_leafWeight": device_leaf_weight,
}


@each(*(row(name, "RT-010 RT-039", name) for name in WEIGHTS), needs=NEEDS)
def weights(trial: Trial, name: str) -> None:
    """blockIO.{0} is in the container's cgroup after create"""
    wanted = WEIGHTS[name]()
    files = {file for found in cgroups.taken(trial, wanted)[0] for file in found}
    foreign = all("bfq" in file for file in files)
    reason = "this kernel has the weights of BFQ alone, in files that are named after it"
    cgroups.applied(trial, wanted, may_refuse=reason if foreign else "")


@each(*(row(name, "RT-041 RT-042", name) for name in WEIGHTS), needs=NEEDS)
def weight_is_an_error_if_impossible(trial: Trial, name: str) -> None:
    """blockIO.{0} is an error where the kernel cannot apply it"""
    cgroups.refused(trial, WEIGHTS[name]())


@each(*(row(name, "LNX-063", name) for name in WEIGHTS if "leaf" in name), needs=[facility.cgroup2, *NEEDS])
def has_no_counterpart(trial: Trial, name: str) -> None:
    """blockIO.{0}, which cgroup v2 has nothing like, is an error there"""
    trial.refused(limited(trial, WEIGHTS[name]().resources), f"blockIO.{name}, which cgroup v2 has nothing like")


@case("RT-041", "RT-042", needs=NEEDS)
def of_no_device(trial: Trial) -> None:
    """a rate for a device that there is not is an error"""
    resources = {"blockIO": {"throttleReadBpsDevice": [entry("511:7", rate=RATE)]}}
    trial.refused(limited(trial, resources), "a rate for a block device that there is not")
