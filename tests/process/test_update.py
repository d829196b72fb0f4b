"""`update`: each option and member reaches the container's cgroups, of either version, and its configuration."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from process.updating import (
    KEPT,
    MIB,
    Resources,
    config_of,
    find,
    kept,
    on_v2,
    same_controllers,
    settable,
    started,
    update,
    value,
)

from ocirun.linux.cgroup.limits.blockio import io_weight
from ocirun.linux.cgroup.limits.cpu import weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.fixture(autouse=True)
def _controllers() -> Iterator[None]:
    with same_controllers():
        yield


Shown = dict[str, str]
OPTIONS: list[tuple[list[str], Shown, Shown, Resources]] = [
    (
        ["--memory", "48m"],
        {"memory.limit_in_bytes": str(48 * MIB), "memory.memsw.limit_in_bytes": str(96 * MIB)},
        {"memory.max": str(48 * MIB), "memory.swap.max": str(48 * MIB)},
        {"memory": {"limit": 48 * MIB, "swap": 96 * MIB}},
    ),
    (
        ["--memory", "128m", "--memory-swap", "160m"],
        {"memory.limit_in_bytes": str(128 * MIB), "memory.memsw.limit_in_bytes": str(160 * MIB)},
        {"memory.max": str(128 * MIB), "memory.swap.max": str(32 * MIB)},
        {"memory": {"limit": 128 * MIB, "swap": 160 * MIB}},
    ),
    (
        ["--memory-swap=64m"],
        {"memory.memsw.limit_in_bytes": str(64 * MIB)},
        {"memory.swap.max": "0"},
        {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
    ),
    (
        ["--memory", "-1"],
        {"memory.limit_in_bytes": str((1 << 63) - 4096), "memory.memsw.limit_in_bytes": str((1 << 63) - 4096)},
        {"memory.max": "max", "memory.swap.max": "max"},
        {"memory": {"limit": -1}},
    ),
    (
        ["--memory-reservation", "0.5g"],
        {"memory.soft_limit_in_bytes": str(512 * MIB)},
        {"memory.low": str(512 * MIB)},
        {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 512 * MIB}},
    ),
    (["--cpu-share", "512"], {"cpu.shares": "512"}, {"cpu.weight": str(weight(512))}, {"cpu": {"shares": 512}}),
    (
        ["--cpu-quota", "20000"],
        {"cpu.cfs_quota_us": "20000", "cpu.cfs_period_us": "100000"},
        {"cpu.max": "20000 100000"},
        {"cpu": {"quota": 20000}},
    ),
    (
        ["--cpu-period", "200000"],
        {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "200000"},
        {"cpu.max": "50000 200000"},
        {"cpu": {"period": 200000}},
    ),
    (
        ["--cpu-quota", "5000", "--cpu-period", "8000"],
        {"cpu.cfs_quota_us": "5000", "cpu.cfs_period_us": "8000"},
        {"cpu.max": "5000 8000"},
        {"cpu": {"quota": 5000, "period": 8000}},
    ),
    (["--cpu-quota", "-1"], {"cpu.cfs_quota_us": "-1"}, {"cpu.max": "max 100000"}, {"cpu": {"quota": -1}}),
    (["--cpu-burst", "3000"], {"cpu.cfs_burst_us": "3000"}, {"cpu.max.burst": "3000"}, {"cpu": {"burst": 3000}}),
    (["--cpu-idle", "1"], {"cpu.idle": "1"}, {"cpu.idle": "1"}, {"cpu": {"idle": 1}}),
    (["--cpuset-cpus", "0"], {"cpuset.cpus": "0"}, {"cpuset.cpus": "0"}, {"cpu": {"cpus": "0"}}),
    (["--cpuset-mems", "0"], {"cpuset.mems": "0"}, {"cpuset.mems": "0"}, {"cpu": {"mems": "0"}}),
    (["--pids-limit", "17"], {"pids.max": "17"}, {"pids.max": "17"}, {"pids": {"limit": 17}}),
    (["--pids-limit", "-1"], {"pids.max": "max"}, {"pids.max": "max"}, {"pids": {"limit": -1}}),
]


def expected(kept_resources: Resources) -> Resources:
    """The usual limits with these members changed; a memory member replaces the usual one."""
    found: Resources = json.loads(json.dumps(KEPT))
    for name, member in kept_resources.items():
        found[name] = member if name in ("memory", "pids") else {**found.get(name, {}), **member}
    return found


def limits_of(box: Box) -> Resources:
    return {name: member for name, member in kept(box).items() if name != "devices"}


@pytest.mark.parametrize(
    ("options", "legacy", "modern", "changed"), OPTIONS, ids=[" ".join(each[0]) for each in OPTIONS]
)
def test_an_option(box: Box, options: list[str], legacy: Shown, modern: Shown, changed: Resources) -> None:
    """Only the files that it is about change."""
    started(box)
    files = modern if on_v2(box) else legacy
    paths = {str(find(box, file)): text for file, text in files.items()}
    before = settable(box)
    result = update(box, *options).ok()
    assert (result.out, result.err) == ("", "")
    after = settable(box)
    assert {path: after[path].strip() for path in paths} == paths
    about = {name.partition(".")[0] for name in files}
    others = {path for path in before if before[path] != after[path] and path not in paths}
    assert {path for path in others if Path(path).name.partition(".")[0] not in about} == set()
    assert limits_of(box) == expected(changed)
    for path, text in paths.items():
        inside = "/sys/fs/cgroup" if on_v2(box) else f"/sys/fs/cgroup/{Path(path).name.partition('.')[0]}"
        assert box.exec(f"cat {inside}/{Path(path).name}").ok().out.strip() == text


def needs_block_io(box: Box, *files: str) -> None:
    """One of these files on v1; on v2 the controller, which a container does not have before it asks for it."""
    if not on_v2(box):
        find(box, *files)
    elif "io" not in Path("/sys/fs/cgroup/cgroup.controllers").read_text().split():
        pytest.skip("not this lane: needs the controller io")


def test_the_weight_of_block_devices(box: Box) -> None:
    started(box)
    needs_block_io(box, "blkio.weight", "blkio.bfq.weight")
    update(box, "--blkio-weight", "300").ok()
    path = find(box, "blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight")
    shown = {"io.weight": f"default {io_weight(300)}", "io.bfq.weight": "default 300"}
    assert path.read_text().splitlines()[0] == shown.get(path.name, "300")
    assert kept(box)["blockIO"] == {"weight": 300}


def test_the_realtime_budget(box: Box) -> None:
    started(box)
    find(box, "cpu.rt_runtime_us")
    update(box, "--cpu-rt-period", "500000", "--cpu-rt-runtime", "1000").ok()
    assert (value(box, "cpu.rt_period_us"), value(box, "cpu.rt_runtime_us")) == ("500000", "1000")
    update(box, "--cpu-rt-runtime", "2000").ok()
    assert value(box, "cpu.rt_runtime_us") == "2000"


def throttled() -> dict[str, int]:
    """Some block device of the machine."""
    for file in sorted(Path("/sys/class/block").glob("*/dev")):
        if not (file.parent / "partition").exists():
            major, minor = file.read_text().split(":")
            return {"major": int(major), "minor": int(minor)}
    pytest.skip("not this lane: no block device")


def test_rates_of_a_block_device(box: Box) -> None:
    """The asked entry changes, another member's entry for the same device stays, and 0 lifts a limit."""
    device = throttled()
    started(box)
    needs_block_io(box, "blkio.throttle.read_bps_device")
    update(box, resources={"blockIO": {"throttleReadBpsDevice": [{**device, "rate": MIB}]}}).ok()
    update(box, resources={"blockIO": {"throttleWriteIOPSDevice": [{**device, "rate": 120}]}}).ok()
    number = f"{device['major']}:{device['minor']}"
    if on_v2(box):
        assert value(box, "io.max") == f"{number} rbps={MIB} wbps=max riops=max wiops=120"
    else:
        assert value(box, "blkio.throttle.read_bps_device") == f"{number} {MIB}"
        assert value(box, "blkio.throttle.write_iops_device") == f"{number} 120"
    update(box, resources={"blockIO": {"throttleReadBpsDevice": [{**device, "rate": 0}]}}).ok()
    assert f"rbps={MIB}" not in value(box, "io.max", "blkio.throttle.write_iops_device")
    assert kept(box)["blockIO"]["throttleReadBpsDevice"] == [{**device, "rate": 0}]
    assert kept(box)["blockIO"]["throttleWriteIOPSDevice"] == [{**device, "rate": 120}]


def test_huge_pages(box: Box) -> None:
    """A limit of 0 is one; the file is read in the same form on each version. Here nothing had asked for it before."""
    started(box)
    if not list(Path("/sys/kernel/mm/hugepages").glob("hugepages-2048kB")):
        pytest.skip("not this lane: no huge pages of 2 MiB")
    controllers = " ".join(path.read_text() for path in Path("/sys/fs/cgroup").glob("**/cgroup.controllers"))
    if "hugetlb" not in controllers and not list(Path("/sys/fs/cgroup").glob("hugetlb/cgroup.procs")):
        pytest.skip("not this lane: no controller hugetlb")
    update(box, resources={"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}).ok()
    assert value(box, "hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes") == str(4 * MIB)
    update(box, resources={"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}).ok()
    assert value(box, "hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes") == "0"
    assert kept(box)["hugepageLimits"] == [{"pageSize": "2MB", "limit": 0}]


def test_swappiness_and_the_oom_killer(box: Box) -> None:
    started(box)
    find(box, "memory.swappiness")
    update(box, resources={"memory": {"swappiness": 0, "disableOOMKiller": True}}).ok()
    assert value(box, "memory.swappiness") == "0"
    assert "oom_kill_disable 1" in value(box, "memory.oom_control")
    update(box, resources={"memory": {"swappiness": 30, "disableOOMKiller": False}}).ok()
    assert "oom_kill_disable 0" in value(box, "memory.oom_control")
    assert kept(box)["memory"] == {**KEPT["memory"], "swappiness": 30, "disableOOMKiller": False}


def test_files_of_the_cgroup2(box: Box) -> None:
    started(box)
    find(box, "cgroup.max.depth")
    update(box, resources={"unified": {"cgroup.max.depth": "5"}}).ok()
    update(box, resources={"unified": {"cgroup.max.descendants": "6"}}).ok()
    assert (value(box, "cgroup.max.depth"), value(box, "cgroup.max.descendants")) == ("5", "6")
    assert kept(box)["unified"] == {"cgroup.max.depth": "5", "cgroup.max.descendants": "6"}


def test_what_engines_send(box: Box) -> None:
    """Zeros and empty strings leave what there is."""
    started(box)
    before = settable(box)
    sent: dict[str, Any] = {
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0, "kernelTCP": 0},
        "cpu": {
            "shares": 0,
            "quota": 0,
            "period": 0,
            "realtimeRuntime": 0,
            "realtimePeriod": 0,
            "cpus": "",
            "mems": "",
        },
        "pids": {"limit": 0},
        "blockIO": {"weight": 0},
        "devices": [],
    }
    update(box, resources=sent).ok()
    assert settable(box) == before
    sent["pids"]["limit"] = 31
    update(box, resources=sent).ok()
    assert value(box, "pids.max") == "31"
    assert limits_of(box) == {**KEPT, "pids": {"limit": 31}}


@pytest.mark.parametrize("words", [[], ["--memory", "0"], ["--cpuset-cpus="], ["--pids-limit=0", "--cpu-share", "0"]])
def test_nothing_asked_is_nothing_done(box: Box, words: list[str]) -> None:
    started(box)
    before, file = settable(box), box.runtime.root / box.ident / "config.json"
    stat = file.stat()
    update(box, *words).ok()
    assert settable(box) == before
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


@pytest.mark.parametrize("spelling", [["-r", "FILE"], ["--resources", "FILE"], ["--resources=FILE"], ["-r=FILE"]])
def test_resources_in_a_file(box: Box, spelling: list[str]) -> None:
    started(box)
    file = box.directory / "limits.json"
    file.write_text(json.dumps({"pids": {"limit": 23}}))
    update(box, *(word.replace("FILE", str(file)) for word in spelling)).ok()
    assert value(box, "pids.max") == "23"


@pytest.mark.parametrize("spelling", [["-r", "-"], ["--resources", "-"], ["--resources=-"]])
def test_resources_on_standard_input(box: Box, spelling: list[str]) -> None:
    started(box)
    box.runtime.call("update", box.ident, *spelling, stdin=b'{"pids": {"limit": 24}}').ok()
    assert value(box, "pids.max") == "24"


def test_unknown_members_are_warned_of(box: Box) -> None:
    started(box)
    result = update(box, resources={"pids": {"limit": 25, "limt": 3}, "cpus": {}}).ok()
    said = [line["msg"] for line in result.log if line["level"] == "warning"]
    assert said == [
        "/pids/limt: unknown property, it is ignored; did you mean limit?",
        "/cpus: unknown property, it is ignored; did you mean cpu?",
    ]
    assert value(box, "pids.max") == "25"
    assert limits_of(box) == {**KEPT, "pids": {"limit": 25}}


def test_a_created_container(box: Box) -> None:
    """Its program starts with the new limits."""
    box.create(config_of(box, KEPT, "exec sleep 1000")).ok()
    update(box, "--memory", "32m", "--pids-limit", "19").ok()
    assert box.runtime.status(box.ident) == "created"
    box.runtime.start(box.ident).ok()
    assert value(box, "pids.max") == "19"
    assert value(box, "memory.max", "memory.limit_in_bytes") == str(32 * MIB)
    box.exec("true").ok()


def test_a_paused_container(box: Box) -> None:
    """It stays paused, also when its device rules are changed as a whole."""
    started(box)
    box.runtime.call("pause", box.ident).ok()
    everything: Resources = {"devices": [{"allow": True, "access": "rwm"}], "pids": {"limit": 18}}
    update(box, resources=everything).ok()
    assert box.runtime.status(box.ident) == "paused"
    assert value(box, "pids.max") == "18"
    box.runtime.call("resume", box.ident).ok()
    box.exec("true").ok()


def test_the_idle_mark_leaves_the_shares(box: Box) -> None:
    """The kernel gives a cgroup that is not idle any more the usual ones."""
    started(box)
    before = value(box, "cpu.weight", "cpu.shares")
    find(box, "cpu.idle")
    update(box, "--cpu-idle", "1").ok()
    update(box, "--cpu-idle", "0").ok()
    assert value(box, "cpu.idle") == "0"
    assert value(box, "cpu.weight", "cpu.shares") == before


def test_what_was_not_asked_for_is_not_written(box: Box) -> None:
    """Somebody else may have changed it meanwhile."""
    started(box)
    shares, pids = find(box, "cpu.weight", "cpu.shares"), find(box, "pids.max")
    shares.write_text("77")
    pids.write_text("88")
    update(box, "--cpu-quota", "30000", "--memory", "50m").ok()
    assert (shares.read_text(), pids.read_text()) == ("77\n", "88\n")


def test_exec_after_an_update(box: Box) -> None:
    started(box)
    update(box, "--memory", "70m", "--cpuset-cpus", "0").ok()
    assert box.exec("grep Cpus_allowed_list /proc/self/status").ok().out.split() == ["Cpus_allowed_list:", "0"]
    update(box, "--memory", "71m").ok()
    assert kept(box)["cpu"]["cpus"] == "0"


def test_updates_at_once(box: Box) -> None:
    """Each takes its turn, so that none is forgotten."""
    started(box)
    changes = {"--pids-limit": "21", "--cpu-share": "600", "--cpu-quota": "30000", "--memory-swap": "90m"}
    results = box.calls([["update", option, text, box.ident] for option, text in changes.items()] * 2)
    assert [result.code for result in results] == [0] * 8
    assert limits_of(box) == {
        "memory": {"limit": 64 * MIB, "swap": 90 * MIB},
        "cpu": {"shares": 600, "quota": 30000, "period": 100000},
        "pids": {"limit": 21},
    }
    assert value(box, "pids.max") == "21"


def test_a_configuration_without_limits(box: Box) -> None:
    """The bundle's own file stays as it is."""
    started(box, {})
    written = (box.bundle / "config.json").read_bytes()
    update(box, "--pids-limit", "22").ok()
    assert value(box, "pids.max") == "22"
    assert limits_of(box) == {"pids": {"limit": 22}}
    assert (box.bundle / "config.json").read_bytes() == written
    assert os.stat(box.runtime.root / box.ident / "config.json").st_mode & 0o777 == 0o600


def test_a_stopped_container(box: Box) -> None:
    started(box)
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    said = one_sentence(update(box, "--memory", "1m").expect(1))
    assert said == f"update {box.ident}: container not running: it is stopped"


def test_an_unknown_container(box: Box) -> None:
    assert one_sentence(update(box, "--memory", "1m").expect(1)) == f"update {box.ident}: container does not exist"


@pytest.mark.parametrize("member", ["limit", "swap"])
def test_the_state_directory_has_the_sum(box: Box, member: str) -> None:
    """Two updates one after the other are seen together."""
    started(box)
    change: dict[str, Any] = {"limit": 60 * MIB} if member == "limit" else {"swap": 80 * MIB}
    update(box, resources={"memory": change}).ok()
    update(box, "--cpu-share", "1024").ok()
    assert kept(box)["memory"] == {**KEPT["memory"], **change}
    assert kept(box)["cpu"] == {**KEPT["cpu"], "shares": 1024}
