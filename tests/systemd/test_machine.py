"""The machine is the one that this lane is for: systemd is in charge of pure cgroup v2, and answers on its buses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import default_config, with_cgroup
from support.runtime import wait_for
from support.systemd import RUNTIME_DIRECTORY, USER, USER_CGROUP, as_user, asked, unit_property
from vm.groups import TOP, group_of, read

if TYPE_CHECKING:
    from process.box import Box

BUS = "/run/dbus/system_bus_socket"
ALL_CAPABILITIES = (1 << 41) - 1
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def test_systemd_is_the_first_process_and_content(lane: str) -> None:
    assert lane == "systemd"
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    wait_for(lambda: asked("systemctl", "is-system-running", accept=(0, 1)) == "running", what="a system that runs")
    assert asked("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_the_tests_have_every_right_and_a_delegated_cgroup() -> None:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert int(status["CapEff"], 16) == ALL_CAPABILITIES
    assert Path("/proc/self/cgroup").read_text() == "0::/system.slice/tests.service\n"
    assert unit_property("tests.service", "Delegate") == "yes"


def test_every_controller_is_on_cgroup_v2_alone() -> None:
    assert facility.cgroup_v2() == facility.sys_resource() == facility.user_namespace() == ""
    assert {"cpuset", "cpu", "io", "memory", "hugetlb", "pids"} <= set(read(TOP, "cgroup.controllers").split())
    assert facility.cgroup_v1() != ""
    assert "apparmor" in Path("/sys/kernel/security/lsm").read_text().split(",")


def test_it_starts_a_scope_for_who_asks_on_the_bus() -> None:
    unit = "ocirun-probe.scope"
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        call = ("busctl", f"--address=unix:path={BUS}", "call", *MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))")
        properties = ("2", "PIDs", "au", "1", str(sleeper.pid), "Delegate", "b", "true", "0")
        assert "/org/freedesktop/systemd1/job/" in asked(*call, unit, "fail", *properties)
        wait_for(lambda: group_of(sleeper.pid) == TOP / "system.slice" / unit, what="the sleeper in its scope")
        assert unit_property(unit, "Delegate") == "yes"
    finally:
        sleeper.kill()
        sleeper.wait()
    wait_for(lambda: not (TOP / "system.slice" / unit).exists(), what="the end of the scope")


def test_it_starts_a_scope_for_who_asks_it_directly() -> None:
    """On the socket that is for root alone: where the bus should be there is nothing."""
    assert Path("/run/systemd/private").is_socket()
    command = ("systemd-run", "--scope", "--quiet", "--unit=ocirun-probe", "cat", "/proc/self/cgroup")
    out = asked("env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere", *command)
    assert out == "0::/system.slice/ocirun-probe.scope"


def test_a_container_beside_systemd_s_units(box: Box) -> None:
    """A cgroup at the top, which is not systemd's, as with the option that is the default."""
    pid = box.start_sleeper(with_cgroup(default_config(), f"/{box.ident}", {"pids": {"limit": 9}}))
    assert group_of(pid) == TOP / box.ident
    asked("systemctl", "daemon-reload")
    assert read(TOP / box.ident, "pids.max") == "9"


@pytest.mark.usefixtures("manager")
def test_a_plain_user_has_a_systemd_of_his_own() -> None:
    assert asked(*as_user("systemctl", "--user", "is-system-running", "--wait")) == "running"
    assert (RUNTIME_DIRECTORY / "systemd/private").is_socket()
    assert (RUNTIME_DIRECTORY / "bus").is_socket()
    assert {"cpu", "memory", "pids"} <= set(read(USER_CGROUP, "cgroup.controllers").split())
    assert USER_CGROUP.stat().st_uid == USER
    for file in ("/etc/subuid", "/etc/subgid"):
        assert "rootless:500000:65536" in Path(file).read_text().splitlines()


@pytest.mark.usefixtures("manager")
def test_he_starts_scopes_with_limits() -> None:
    limits = ("-p", "Delegate=yes", "-p", "TasksMax=9", "-p", "MemoryMax=64M", "-p", "CPUQuota=50%")
    command = ("sh", "-c", "cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && cat pids.max memory.max cpu.max; pwd")
    out = asked(*as_user("systemd-run", "--user", "--quiet", "--scope", "--unit=probe", *limits, *command))
    assert out.splitlines() == ["9", str(64 << 20), "50000 100000", str(USER_CGROUP / "app.slice/probe.scope")]
