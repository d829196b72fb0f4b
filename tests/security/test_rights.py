"""Rights that nobody asked for are not given: devices, capabilities, ids, the cgroup of what is executed later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from security.box import Box, Config, plain_config
from support import facility
from support.bundle import DEFAULT_CAPABILITIES, with_bind, with_capabilities
from support.command import process_alive, wait_for

pytestmark = [pytest.mark.security, pytest.mark.privileged]

DEVICES = {"kmsg": ("c", 1, 11), "mem": ("c", 1, 1), "loop0": ("b", 7, 0), "ram0": ("b", 1, 0)}
TRY_DEVICES = "\n".join(
    f"mknod /tmp/{name} {kind} {major} {minor} && (: </tmp/{name}) 2>&1"
    for name, (kind, major, minor) in DEVICES.items()
)


def without_rules(*args: str) -> Config:
    """No linux.resources at all, and the capability to make device nodes."""
    config = plain_config(*args)
    del config["linux"]["resources"]
    return with_capabilities(config, [*DEFAULT_CAPABILITIES, "CAP_MKNOD", "CAP_SYS_RAWIO", "CAP_SYSLOG"])


def assert_all_refused(text: str) -> None:
    """Each node was made, and opening each was refused by the device cgroup (EPERM)."""
    lines = text.splitlines()
    assert len(lines) == len(DEVICES), text
    assert all("Operation not permitted" in line for line in lines), text


def host_block_device() -> tuple[int, int]:
    """The host's first disk, as major and minor."""
    for entry in sorted(Path("/sys/class/block").iterdir()):
        major, minor = (entry / "dev").read_text().split(":")
        return int(major), int(minor)
    pytest.skip("not this lane: no block device")


def test_without_rules_no_device_of_the_host_can_be_opened(box: Box) -> None:
    done = box.runtime.run(box.ident, box.write(without_rules("sh", "-c", TRY_DEVICES)))
    assert_all_refused(done.out)


def test_exec_is_under_the_same_rules(box: Box) -> None:
    box.runtime.run(box.ident, box.write(without_rules("sleep", "60")), "--detach").ok()
    done = box.runtime.exec(box.ident, "sh", "-c", TRY_DEVICES)
    assert_all_refused(done.out)


def test_the_hosts_disk_is_refused_made_or_bound(box: Box) -> None:
    major, minor = host_block_device()
    node = box.base / "disk"
    os.mknod(node, 0o60000 | 0o600, os.makedev(major, minor))
    script = f"mknod /tmp/disk b {major} {minor} && (: </tmp/disk) 2>&1; (: </mnt/disk) 2>&1; (: >>/mnt/disk) 2>&1"
    config = with_bind(without_rules("sh", "-c", script), node, "/mnt/disk")
    done = box.runtime.run(box.ident, box.write(config))
    assert [("not permitted" in line) for line in done.out.splitlines()] == [True, True, True], done.out


def test_the_usual_devices_work_without_rules(box: Box) -> None:
    script = "for name in null zero full random urandom tty; do (: </dev/$name) 2>&1 || echo $name; done; true"
    done = box.runtime.run(box.ident, box.write(without_rules("sh", "-c", script))).ok()
    # A process without a terminal has no /dev/tty.
    assert [line for line in done.out.splitlines() if "tty" not in line] == [], done.out


def test_rules_hold_on_a_unified_hierarchy(box: Box) -> None:
    facility.need(facility.cgroup_v2_private)
    bundle = box.write(without_rules("sh", "-c", TRY_DEVICES))
    command = " ".join(box.command("run", "--bundle", str(bundle), box.ident))
    script = f"mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec {command}"
    done = box.raw("unshare", "-m", "--propagation", "private", "sh", "-c", script)
    assert_all_refused(done.out)


def cgroups(pid: int | str) -> set[str]:
    return set(Path(f"/proc/{pid}/cgroup").read_text().splitlines())


def test_an_executed_process_is_in_the_containers_cgroups(box: Box) -> None:
    box.runtime.run(box.ident, box.write(plain_config("sleep", "60")), "--detach").ok()
    pid_file = box.base / "exec.pid"
    box.runtime.exec(box.ident, "sleep", "60", options=["--detach", "--pid-file", str(pid_file)]).ok()
    init = int(box.runtime.state(box.ident)["pid"])
    entered = int(pid_file.read_text())
    assert cgroups(entered) == cgroups(init)
    assert all(box.ident in line for line in cgroups(init) if not line.startswith("0::")), cgroups(init)
    box.runtime.kill(box.ident).ok()
    wait_for(lambda: not process_alive(entered), what="the executed process ending with its container")


def sets(text: str) -> dict[str, int]:
    """CapInh, CapPrm, … of proc_pid_status(5)."""
    pairs = (line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))
    return {name: int(value, 16) for name, value in pairs}


STATUS = ("grep", "Cap", "/proc/self/status")


def test_inheritable_and_ambient_are_empty_by_default(box: Box) -> None:
    config = plain_config(*STATUS)
    found = sets(box.runtime.run(box.ident, box.write(config)).ok().out)
    assert (found["CapInh"], found["CapAmb"]) == (0, 0)
    assert found["CapPrm"] == found["CapBnd"] == found["CapEff"] != 0


@pytest.mark.parametrize("user", ["0", "1000"])
def test_exec_with_added_capabilities_leaves_inheritable_empty(box: Box, user: str) -> None:
    """CVE-2022-29162: a file with inheritable bits would gain them."""
    box.runtime.run(box.ident, box.write(plain_config("sleep", "60")), "--detach").ok()
    added = [option for name in ("CAP_SYS_ADMIN", "CAP_NET_RAW") for option in ("--cap", name)]
    found = sets(box.runtime.exec(box.ident, *STATUS, options=[*added, "--user", user]).ok().out)
    assert (found["CapInh"], found["CapAmb"]) == (0, 0)
    assert found["CapBnd"] >> 21 & 1
    assert (found["CapEff"] >> 21 & 1) == (user == "0")
    before = sets(box.runtime.exec(box.ident, *STATUS).ok().out)
    assert not before["CapBnd"] >> 21 & 1, "what was added for one process must not stay"


def test_no_capabilities_means_none(box: Box) -> None:
    config = plain_config(*STATUS)
    del config["process"]["capabilities"]
    found = sets(box.runtime.run(box.ident, box.write(config)).ok().out)
    assert set(found.values()) == {0}, found


@pytest.mark.parametrize(
    "user",
    ["root", "-1", "0x0", "1000:", ":1000", "1000:-1", "4294967295", "4294967296", "18446744073709551616", "1 0",
     "٣", "1e3", "+0", "0:0:0"],
)  # fmt: skip
def test_exec_refuses_a_malformed_user(box: Box, user: str) -> None:
    """No name, sign, overflow or leftover is ever taken for user 0 (CVE-2026-30892)."""
    box.runtime.run(box.ident, box.write(plain_config("sleep", "60")), "--detach").ok()
    done = box.runtime.exec(box.ident, "id", options=["--user", user])
    assert done.code == 255, done.details()
    assert "uid=" not in done.out
