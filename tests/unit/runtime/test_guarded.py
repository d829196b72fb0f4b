"""Which places `mounts` leaves alone."""

from __future__ import annotations

import pytest
from support.bundle import default_config

from ocirun import guarded


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/", "it is the container's root"),
        ("/proc", "it is the container's proc"),
        ("/proc/sys/kernel", "nothing is mounted inside /proc"),
        ("/proc/1/cpuinfo", "nothing is mounted inside /proc"),
        ("/proc/uptime", ""),
        ("/proc/stat", "it is in linux.maskedPaths"),
        ("/sys", "it is the container's sysfs"),
        ("/sys/fs", "/sys/fs/cgroup, which is in it, is the container's cgroup"),
        ("/sys/fs/cgroup", "it is the container's cgroup"),
        ("/sys/fs/bpf", ""),
        ("/sys/firmware", "it is in linux.maskedPaths"),
        ("/sys/firmware/efi", "it is in /sys/firmware, which is in linux.maskedPaths"),
        ("/data", "/data/closed, which is in it, is in linux.readonlyPaths"),
        ("/data/closed", "it is in linux.readonlyPaths"),
        ("/data/closed/deep", "it is in /data/closed, which is in linux.readonlyPaths"),
        ("/data/closed-not", ""),
        ("/dev", "it is made for every container"),
        ("/dev/null", "it is made for every container"),
        ("/dev/pts", "it is the container's devpts"),
        ("/dev/fuse", "it is in linux.devices"),
        ("/dev/shm", ""),
        ("/dev/kvm", ""),
        ("/srv", ""),
    ],
)
def test_refusal(place: str, why: str) -> None:
    config = default_config()
    config["linux"]["readonlyPaths"].append("/data/closed")
    config["linux"]["maskedPaths"].append("/proc/stat")
    config["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    assert guarded.refusal(place, guarded.guards(config)) == why


def test_without_anything_in_the_configuration() -> None:
    guards = guarded.guards({})
    assert {place for place in ("/proc", "/sys", "/dev", "/srv") if guarded.refusal(place, guards)} == {
        "/proc", "/sys", "/dev",
    }  # fmt: skip
