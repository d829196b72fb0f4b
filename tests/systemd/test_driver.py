"""--systemd-cgroup with a real systemd: the unit, its properties, its cgroup's files, and that nothing stays."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from support.bundle import Config, default_config, with_cgroup, with_hook, with_shell
from support.runtime import wait_for
from support.systemd import asked, group_of, is_loaded, unit_properties, unit_property

if TYPE_CHECKING:
    from process.box import Box

SLICE = "ocirun-test.slice"
MIB = 1 << 20


@pytest.fixture
def box(unit_box: Box) -> Box:
    """All tests of this file are of the systemd driver."""
    return unit_box


def unit_of(box: Box) -> str:
    return f"made-{box.ident}.scope"


def config_of(box: Box, resources: dict[str, Any] | None = None) -> Config:
    return with_cgroup(default_config(), f"{SLICE}:made:{box.ident}", resources)


RESOURCES: dict[str, Any] = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 2048, "quota": 50000, "period": 100000, "cpus": "0-1"},
    "pids": {"limit": 20},
    "blockIO": {"weight": 500},
}


def test_the_container_is_a_scope_of_its_slice(box: Box) -> None:
    pid = box.start_sleeper(config_of(box))
    unit = unit_of(box)
    shown = unit_properties(unit, "Slice", "Delegate", "ActiveState", "Transient", "Description", "CollectMode")
    assert shown == {
        "Slice": SLICE,
        "Delegate": "yes",
        "ActiveState": "active",
        "Transient": "yes",
        "Description": f"container {box.ident}",
        "CollectMode": "inactive-or-failed",
    }
    group = group_of(unit)
    assert group.parts[-3:] == ("ocirun.slice", SLICE, unit)
    assert (group / "cgroup.procs").read_text().split() == [str(pid)]
    box.runtime.delete(box.ident, force=True).ok()
    assert not is_loaded(unit)
    assert not group.exists()


def test_without_a_path_it_is_a_unit_of_the_system_s_slice(box: Box) -> None:
    config = default_config()
    config["linux"].pop("cgroupsPath", None)
    box.start_sleeper(config)
    assert unit_property(f"ocirun-{box.ident}.scope", "Slice") == "system.slice"


def test_limits_are_the_unit_s_and_in_the_files(box: Box) -> None:
    box.start_sleeper(config_of(box, RESOURCES))
    unit = unit_of(box)
    names = ("MemoryMax", "MemorySwapMax", "MemoryLow", "CPUWeight", "CPUQuotaPerSecUSec", "AllowedCPUs", "TasksMax",
             "IOWeight")  # fmt: skip
    shown = unit_properties(unit, *names)
    files = {
        "memory.max": shown["MemoryMax"],
        "memory.swap.max": shown["MemorySwapMax"],
        "memory.low": shown["MemoryLow"],
        "cpu.weight": shown["CPUWeight"],
        "cpuset.cpus": shown["AllowedCPUs"],
        "pids.max": shown["TasksMax"],
        "io.weight": f"default {shown['IOWeight']}",
    }
    group = group_of(unit)
    assert {name: (group / name).read_text().strip() for name in files} == files
    assert files["memory.max"] == str(64 * MIB)
    assert files["memory.swap.max"] == str(32 * MIB)
    assert files["pids.max"] == "20"
    assert shown["CPUQuotaPerSecUSec"] == "500ms"
    assert (group / "cpu.max").read_text().strip() == "50000 100000"


def test_a_reload_of_systemd_keeps_the_limits(box: Box) -> None:
    """Those that it has no property for as well."""
    resources = {**RESOURCES, "unified": {"memory.high": str(48 * MIB), "hugetlb.2MB.max": "0"}}
    box.start_sleeper(config_of(box, resources))
    group = group_of(unit_of(box))
    names = ("memory.max", "memory.high", "memory.swap.max", "memory.low", "cpu.weight", "cpu.max", "pids.max",
             "cpuset.cpus", "io.weight", "hugetlb.2MB.max")  # fmt: skip
    before = {name: (group / name).read_text() for name in names}
    assert before["hugetlb.2MB.max"].strip() == "0"
    asked("systemctl", "daemon-reload")
    assert {name: (group / name).read_text() for name in names} == before


def test_an_idle_container_stays_idle_after_a_reload(box: Box) -> None:
    box.start_sleeper(config_of(box, {"cpu": {"idle": 1}}))
    group = group_of(unit_of(box))
    asked("systemctl", "daemon-reload")
    assert (group / "cpu.idle").read_text().strip() == "1"


def test_without_a_limit_of_tasks_there_is_none(box: Box) -> None:
    """Not the manager's default either."""
    box.start_sleeper(config_of(box))
    assert unit_properties(unit_of(box), "TasksMax") == {"TasksMax": "infinity"}


def test_one_task_is_enough(box: Box) -> None:
    """The process that keeps the unit does not count."""
    box.run(with_shell(config_of(box, {"pids": {"limit": 1}}), "echo one")).ok()


def test_the_program_is_in_its_cgroup_from_the_beginning(box: Box) -> None:
    """As a hook finds it before the program runs; and no process of the runtime stays there."""
    script = """pid=$(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p'); cat /proc/$pid/cgroup >&2; exit 1"""
    config = with_hook(config_of(box), "createRuntime", "/bin/sh", "-c", script)
    assert f"/{unit_of(box)}" in box.run(config).expect(1).err
    found = box.shell("cat /proc/self/cgroup /sys/fs/cgroup/cgroup.procs", config_of(box)).split()
    assert found[0] == "0::/"
    assert found[1:] == ["1"]


def test_annotations_are_properties(box: Box) -> None:
    config = config_of(box)
    config["annotations"] = {
        "org.systemd.property.TimeoutStopSec": "uint64 33",
        "org.systemd.property.Description": "'of its own'",
        "org.systemd.property.Documentation": "['https://example.org/a']",
    }
    box.start_sleeper(config)
    shown = unit_properties(unit_of(box), "TimeoutStopUSec", "Description", "Documentation")
    assert shown == {
        "TimeoutStopUSec": "33s",
        "Description": "of its own",
        "Documentation": "https://example.org/a",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"annotations": {"org.systemd.property.NoSuchThing": "true"}}, "systemd says: "),
        ({"annotations": {"org.systemd.property.MemoryMax": "true"}}, "systemd says: "),
        ({"annotations": {"org.systemd.property.After": "5 5"}}, "/annotations/org.systemd.property.After: "),
        ({"path": "/a/path"}, "has not the form slice:prefix:name"),
        ({"resources": {"cpu": {"cpus": "900"}}}, "/linux/resources/cpu/cpus: "),
        ({"resources": {"unified": {"nothing.max": "1"}}}, "/linux/resources/unified/nothing.max: "),
        ({"resources": {"pids": {"limit": 0}}, "args": ["/bin/nothing"]}, "/bin/nothing"),
    ],
)
def test_a_refused_container_leaves_no_unit(box: Box, change: dict[str, Any], words: str) -> None:
    config = config_of(box, change.get("resources"))
    config["annotations"] = change.get("annotations") or {}
    config["linux"]["cgroupsPath"] = change.get("path") or config["linux"]["cgroupsPath"]
    config["process"]["args"] = change.get("args") or ["true"]
    before = box.snapshot()
    assert words in one_sentence(box.run(config).expect(1))
    assert not is_loaded(unit_of(box))
    before.assert_unchanged()


def test_a_living_unit_of_that_name_is_left_alone(box: Box) -> None:
    box.start_sleeper(config_of(box))
    config = config_of(box)
    other = box.name("other")
    result = box.runtime.run(other, box.write(config)).expect(1)
    assert f"start the unit {unit_of(box)}: systemd says: unit {unit_of(box)} " in result.err
    assert unit_property(unit_of(box), "ActiveState") == "active"
    assert box.exec("true").code == 0


def test_a_name_can_be_used_again_at_once(box: Box) -> None:
    for _round in range(4):
        box.start_sleeper(config_of(box))
        box.runtime.delete(box.ident, force=True).ok()


def test_an_exited_container_s_name_is_free_for_another(box: Box) -> None:
    for code in (0, 7):
        box.run(with_shell(config_of(box), f"exit {code}")).expect(code)


@pytest.mark.parametrize(("call", "when"), [("sendto", 2), ("recvfrom", 2), ("recvfrom", 3), ("kill", 1)])
def test_a_killed_runtime_leaves_what_delete_can_undo(box: Box, call: str, when: int) -> None:
    """Killed when it asks for the unit, when it waits for it, and when it ends the process that kept it."""
    before = box.snapshot()
    box.write(with_shell(config_of(box), "exec sleep 1000"))
    trace = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={when}"]
    argv = [*trace, str(box.runtime.path), "--root", str(box.runtime.root), "--systemd-cgroup", "create", "--bundle"]
    done = subprocess.run(
        [*argv, str(box.bundle), box.ident], check=False, timeout=60, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    box.runtime.delete(box.ident, force=True).ok()
    assert not is_loaded(unit_of(box))
    before.assert_unchanged()


def test_sub_cgroups_and_exec(box: Box) -> None:
    box.start_sleeper(config_of(box, {"pids": {"limit": 20}}))
    group = group_of(unit_of(box))
    (group / "below").mkdir()
    assert box.exec("cat /proc/self/cgroup").ok().out == "0::/\n"
    assert box.exec("cat /proc/self/cgroup", "--cgroup", "below").ok().out == "0::/below\n"


def test_pause_resume_and_kill_all(box: Box) -> None:
    box.start_sleeper(config_of(box))
    group = group_of(unit_of(box))
    box.runtime.call("pause", box.ident).ok()
    assert "frozen 1" in (group / "cgroup.events").read_text()
    box.runtime.call("resume", box.ident).ok()
    assert "frozen 0" in (group / "cgroup.events").read_text()
    box.runtime.call("kill", "--all", box.ident, "9").ok()
    box.runtime.wait_status(box.ident, "stopped")
    box.runtime.delete(box.ident).ok()
    assert not is_loaded(unit_of(box))


def test_systemd_stopping_the_unit_ends_the_container(box: Box) -> None:
    box.start_sleeper(config_of(box))
    asked("systemctl", "kill", "--signal=KILL", unit_of(box))
    box.runtime.wait_status(box.ident, "stopped")
    wait_for(lambda: not is_loaded(unit_of(box)), what="the unit's end")
    box.runtime.delete(box.ident).ok()


def test_update_changes_unit_and_files(box: Box) -> None:
    box.start_sleeper(config_of(box, RESOURCES))
    box.runtime.call("update", "--memory", str(80 * MIB), "--pids-limit", "33", "--cpu-quota", "12345", box.ident).ok()
    shown = unit_properties(unit_of(box), "MemoryMax", "MemorySwapMax", "TasksMax", "CPUQuotaPerSecUSec")
    expected = {"MemoryMax": str(80 * MIB), "MemorySwapMax": str(16 * MIB), "TasksMax": "33"}
    assert shown == expected | {"CPUQuotaPerSecUSec": "130ms"}
    group = group_of(unit_of(box))
    assert (group / "cpu.max").read_text().strip() == "12345 100000"
    assert (group / "memory.max").read_text().strip() == str(80 * MIB)
    asked("systemctl", "daemon-reload")
    assert (group / "pids.max").read_text().strip() == "33"


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"cpu": {"quota": 20000}, "unified": {"memory.low": "much"}}, "/unified/memory.low: "),
        ({"pids": {"limit": 9}, "unified": {"memory.min": "4096", "memory.swap.high": "much"}}, "/unified/memory.swap"),
        ({"memory": {"limit": 70 * MIB}, "cpu": {"cpus": "900"}}, "/cpu/cpus: "),
    ],
)
def test_a_refused_update_leaves_unit_and_files_as_they_were(box: Box, resources: dict[str, Any], words: str) -> None:
    """Also the exact quota, which the unit's property rounds, and what was never set."""
    before_update = {**RESOURCES, "cpu": {**RESOURCES["cpu"], "quota": 12345}}
    box.start_sleeper(config_of(box, before_update))
    unit, group = unit_of(box), group_of(unit_of(box))
    names = ("MemoryMax", "MemoryLow", "MemoryMin", "MemorySwapMax", "CPUWeight", "CPUQuotaPerSecUSec", "AllowedCPUs",
             "TasksMax", "IOWeight")  # fmt: skip
    files = ("memory.max", "memory.low", "memory.min", "memory.swap.max", "memory.swap.high", "cpu.weight", "cpu.max",
             "cpuset.cpus", "pids.max", "io.weight")  # fmt: skip
    before = unit_properties(unit, *names), [(group / file).read_text() for file in files]
    result = box.runtime.call("update", "--resources", "-", box.ident, stdin=json.dumps(resources).encode())
    assert words in one_sentence(result.expect(1))
    assert (unit_properties(unit, *names), [(group / file).read_text() for file in files]) == before


def test_device_rules_hold_in_a_unit(box: Box) -> None:
    config = config_of(box)
    config["linux"]["resources"]["devices"] = [{"allow": False, "access": "rwm"}]
    script = "cat /dev/null; mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg"
    config["process"]["capabilities"]["bounding"].append("CAP_MKNOD")
    config["process"]["capabilities"]["effective"].append("CAP_MKNOD")
    config["process"]["capabilities"]["permitted"].append("CAP_MKNOD")
    assert "Operation not permitted" in box.run(with_shell(config, script)).expect(1).err


def test_features_say_so(box: Box) -> None:
    assert '"systemd": true' in box.runtime.call("features").ok().out


def test_why_the_first_process_died_is_known_each_time(box: Box) -> None:
    """systemd drops a unit whose processes are all dead, so the runtime's own in it must outlive the container's."""
    config = with_shell(config_of(box, {"memory": {"limit": 4096, "swap": 4096}}), "exec true")
    for _ in range(8):
        assert "was killed for want of memory" in one_sentence(box.run(config).expect(1))
