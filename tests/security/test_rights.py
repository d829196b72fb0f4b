"""Rights that nobody asked for are not given: devices, capabilities, ids, the cgroup of what is executed later."""

from __future__ import annotations

import os
import subprocess
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
    ["root", "-1", "0x0", "1000:", ":1000", "1000:-1", "4294967295", "4294967296", "18446744073709551616", "1 0", "",
     "٣", "1e3", "+0", "0:0:0"],
)  # fmt: skip
def test_exec_refuses_a_malformed_user(box: Box, user: str) -> None:
    """No name, sign, overflow or leftover is ever taken for user 0 (CVE-2026-30892)."""
    box.runtime.run(box.ident, box.write(plain_config("sleep", "60")), "--detach").ok()
    done = box.runtime.exec(box.ident, "id", options=["--user", user])
    assert done.code == 255, done.details()
    assert "uid=" not in done.out


STATE_SIZES = ("4k", "8k", "12k", "16k", "20k")


@pytest.mark.parametrize("size", STATE_SIZES)
def test_a_full_state_directory_fails_in_one_sentence_and_leaves_nothing(box: Box, size: str) -> None:
    """The runtime's --root on a tmpfs of a few pages: a create that cannot write its record undoes what it made."""
    bundle = box.write(plain_config("true"))
    root = box.base / "small"
    root.mkdir()
    argv = [str(box.runtime.path), "--root", str(root), "create", "--bundle", str(bundle), box.ident]
    fill = f"mount -t tmpfs -o size={size} none {root} && {' '.join(argv)}; code=$?; ls -A {root} | grep -v @cache"
    delete = f"{argv[0]} --root {root} delete --force {box.ident} >&2 || exit 99"
    done = box.raw("unshare", "-m", "--propagation", "private", "sh", "-c", f"{fill}; {delete}; exit $code")
    assert done.code in (0, 1), done.details()
    if done.code == 1:
        assert len(done.err.splitlines()) - done.err.count("hint:") == 1, done.err
        assert "no space left on device" in done.err
        assert done.out == ""


@pytest.mark.parametrize("limit", range(3, 40, 4))
def test_too_few_descriptors_fail_in_one_sentence_and_leave_nothing(box: Box, limit: int) -> None:
    """EMFILE at one call after the other."""
    bundle = box.write(plain_config("true"))
    command = box.command("run", "--bundle", str(bundle), box.ident)
    done = box.raw("sh", "-c", f"ulimit -n {limit}; exec {' '.join(command)}")
    assert done.code in (0, 1, 127), done.details()
    if done.code:
        assert "Traceback" not in done.err
        assert "too many open files" in done.err.lower(), done.err
    assert not (box.runtime.root / box.ident).exists()


def test_a_full_disk_is_a_real_one(box: Box) -> None:
    """What the two tests above rely on: the smallest state directory does make a create fail."""
    root = box.base / "small"
    root.mkdir()
    bundle = box.write(plain_config("true"))
    argv = [str(box.runtime.path), "--root", str(root), "create", "--bundle", str(bundle), box.ident]
    script = f"mount -t tmpfs -o size=4k none {root} && {' '.join(argv)}"
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 1
