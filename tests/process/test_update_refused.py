"""`update` that is refused: one sentence with the option or the place in the JSON, and every limit as it was."""

from __future__ import annotations

import json
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
    refused,
    same_controllers,
    settable,
    started,
    update,
    value,
)
from support.facility import requires
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.fixture(autouse=True)
def _controllers() -> Iterator[None]:
    with same_controllers():
        yield


TOO_MANY = str((1 << 22) + 1)
"""Of processes, for any machine: PID_MAX_LIMIT is 1 << 22."""


BAD_OPTIONS = [
    (["--memory", "banana"], "--memory: 'banana' is not a size"),
    (["--memory", "-5"], "--memory: '-5' is not a size"),
    (["--memory", "9000000000g"], f"--memory: 9000000000g is more than {(1 << 63) - 1} bytes"),
    (["--memory-swap", "63m"], f"--memory-swap: swap {63 * MIB} limits memory plus swap, and is below the memory"),
    (["--memory", "97m"], f"--memory: the memory limit {97 * MIB} would be above the container's limit {96 * MIB} of"),
    (["--cpu-period", "-1"], "--cpu-period: -1 is not between 0 and"),
    (["--cpu-period", "5"], "--cpu-period: write "),
    (["--cpu-quota", "5"], "--cpu-quota: write "),
    (["--cpu-quota", "9" * 30], f"--cpu-quota: {'9' * 30} is not between"),
    (["--cpu-burst", "60000"], "--cpu-burst: the burst 60000 is above the quota 50000"),
    (["--cpu-idle", "2"], "--cpu-idle: write 2 to cpu.idle"),
    (["--cpuset-cpus", "4000"], "--cpuset-cpus: write 4000 to cpuset.cpus"),
    (["--cpuset-cpus", "x"], "--cpuset-cpus: write x to cpuset.cpus"),
    (["--cpuset-mems", "60"], "--cpuset-mems: write 60 to cpuset.mems"),
    (["--pids-limit", TOO_MANY], f"--pids-limit: write {TOO_MANY} to pids.max"),
    (["--blkio-weight", "70000"], "--blkio-weight: 70000 is not between 0 and 65535"),
    (["--kernel-memory", "5m"], "--kernel-memory: "),
    (["--l3-cache-schema", "L3:0=f"], "--l3-cache-schema: the container has no class of service (linux.intelRdt)"),
    (["--mem-bw-schema", "MB:0=5", "--pids-limit", "9"], "--mem-bw-schema: the container has no class of service"),
    (["--resources", "/no/such/file"], "/no/such/file: read the resources: no such file or directory"),
    (["--resources", "/"], "/: read the resources: is a directory"),
    (["--resources", "-", "--memory", "5m"], "--resources says all limits, --memory cannot be given beside it"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "said"), BAD_OPTIONS, ids=[" ".join(each[0])[:40] for each in BAD_OPTIONS])
def test_options_that_are_refused(box: Box, options: list[str], said: str) -> None:
    started(box)
    if options[0] == "--cpu-idle":
        find(box, "cpu.idle")
    before, kept_before = settable(box), kept(box)
    sentence = refused(box, update(box, *options), before, kept_before)
    assert sentence.startswith(said), sentence


BAD_JSON: list[tuple[Any, str]] = [
    ([], ":1:1: [] is not allowed here, expected an object"),
    ({"memory": 5}, ":1:12: /memory: 5 is not allowed here, expected an object"),
    ({"memory": {"limit": "64m"}}, ':1:22: /memory/limit: "64m" is not allowed here, expected an integer'),
    ({"memory": {"limit": 1 << 63}}, ":1:22: /memory/limit: 9223372036854775808 is not allowed here"),
    ({"memory": {"limit": 1.5}}, ":1:22: /memory/limit: 1.5 is not allowed here"),
    ({"memory": {"swappiness": 101}}, ": /memory/swappiness: the swappiness 101 is not between 0 and 100"),
    ({"memory": {"swap": 1 * MIB}}, f": /memory/swap: swap {MIB} limits memory plus swap, and is below the memory"),
    ({"cpu": {"shares": -2}}, ":1:20: /cpu/shares: -2 is not allowed here"),
    ({"cpu": {"cpus": "4000"}}, ": /cpu/cpus: write 4000 to cpuset.cpus"),
    ({"cpu": {"idle": 7}}, ": /cpu/idle: "),
    ({"pids": {"limit": True}}, ":1:20: /pids/limit: true is not allowed here"),
    ({"devices": [{"allow": False}, {"type": "c"}]}, ":1:32: /devices/1/allow: the member allow is missing"),
    ({"devices": [{"allow": True, "type": "x"}]}, ':1:38: /devices/0/type: "x" is not allowed here'),
    ({"devices": [{"allow": True, "access": "rx"}]}, ':1:40: /devices/0/access: "rx" is not allowed here'),
    ({"devices": [{"allow": True, "major": "1"}]}, ':1:39: /devices/0/major: "1" is not allowed here'),
    ({"unified": {"imagined.max": "5"}}, ": /unified/imagined.max: imagined.max "),
    ({"unified": {"cgroup.procs": "0"}}, ": /unified/cgroup.procs: cgroup.procs is the runtime's to write"),
    ({"unified": {"../x": "0"}}, ': /unified/..~1x: "../x" is not the name of a file'),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, ": /hugepageLimits/0/limit: "),
    ({"network": {"priorities": [{"name": "lo", "priority": 0}, {"name": "no", "priority": 3}]}}, ": /network/prior"),
    ({"rdma": {"no/such": {"hcaHandles": 3}}}, ": /rdma/no~1such: "),
    ({"blockIO": {"throttleReadBpsDevice": [{"major": 0, "minor": 0, "rate": 5}]}},
     ": /blockIO/throttleReadBpsDevice/0/rate: "),
    ({"blockIO": {"leafWeight": 500}}, ": /blockIO/leafWeight: "),
]  # fmt: skip


@pytest.mark.parametrize(("resources", "said"), BAD_JSON, ids=[json.dumps(each[0])[:60] for each in BAD_JSON])
def test_json_that_is_refused(box: Box, resources: Any, said: str) -> None:
    started(box)
    if "idle" in json.dumps(resources):
        find(box, "cpu.idle")
    before, kept_before = settable(box), kept(box)
    sentence = refused(box, update(box, resources=resources), before, kept_before)
    assert sentence.startswith(f"standard input{said}"), sentence


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1, "a": 2}', '{"memory": {"limit": 99999999999999999999}}', "\ufeff{}"]
)
def test_what_is_no_json(box: Box, text: str) -> None:
    started(box)
    before, kept_before = settable(box), kept(box)
    result = box.runtime.call("update", "-r", "-", box.ident, stdin=text.encode())
    assert refused(box, result, before, kept_before).startswith("standard input:1:")


def test_files_of_cgroup_v2_on_v1(box: Box) -> None:
    """Where the controller is one of cgroup v1."""
    started(box)
    if on_v2(box):
        pytest.skip("not this lane: memory is on cgroup v2")
    before, kept_before = settable(box), kept(box)
    result = update(box, resources={"unified": {"memory.high": "5000000"}})
    sentence = refused(box, result, before, kept_before)
    assert sentence.startswith("standard input: /unified/memory.high: memory.high "), sentence
    assert "cgroup v2" in sentence


ALL_BUT_LAST: Resources = {
    "memory": {"limit": 80 * MIB, "swap": 120 * MIB, "reservation": 16 * MIB},
    "cpu": {"shares": 100, "quota": 20000, "period": 40000, "burst": 5000, "cpus": "0", "mems": "0"},
}
LAST: list[tuple[Resources, str]] = [
    ({"pids": {"limit": int(TOO_MANY)}}, "/pids/limit: write "),
    ({"pids": {"limit": 11}, "unified": {"cgroup.max.descendants": "7", "cgroup.max.depth": "-3"}},
     "/unified/cgroup.max.depth: write -3 to cgroup.max.depth"),
    ({"pids": {"limit": 11}, "blockIO": {"throttleReadBpsDevice": [{"major": 0, "minor": 0, "rate": 5}]}},
     "/blockIO/throttleReadBpsDevice/0/rate: write "),
]  # fmt: skip


@pytest.mark.parametrize(("last", "said"), LAST)
@pytest.mark.parametrize("grow", [True, False])
def test_what_was_written_before_the_refusal_comes_back(box: Box, last: Resources, said: str, grow: bool) -> None:
    """Limits that bound each other have to come back in the other order than they went."""
    started(box)
    if "unified" in last:
        find(box, "cgroup.max.depth")
    asked = {**ALL_BUT_LAST, **last}
    if not grow:
        asked["memory"] = {"limit": 30 * MIB, "swap": 40 * MIB}
        asked["cpu"] = {"quota": 5000, "period": 10000}
    before, kept_before = settable(box), kept(box)
    sentence = refused(box, update(box, resources=asked), before, kept_before)
    assert sentence.startswith(f"standard input: {said}"), sentence
    del asked["pids"]
    update(box, resources={name: asked[name] for name in ("memory", "cpu")}).ok()
    assert settable(box) != before


def test_the_idle_mark_comes_back_with_the_shares(box: Box) -> None:
    started(box)
    find(box, "cpu.idle")
    before, kept_before = settable(box), kept(box)
    asked: Resources = {"cpu": {"idle": 1}, "pids": {"limit": int(TOO_MANY)}}
    refused(box, update(box, resources=asked), before, kept_before)
    update(box, "--cpu-idle", "1").ok()
    before, kept_before = settable(box), kept(box)
    asked["cpu"]["idle"] = 0
    refused(box, update(box, resources=asked), before, kept_before)


@pytest.mark.parametrize("rest", [True, False])
def test_everything_comes_back_when_the_configuration_cannot_be_kept(box: Box, rest: bool) -> None:
    """The very last step fails: the device rules come back too, those of a list and those of another rest."""
    started(box)
    folder = box.runtime.root / box.ident
    asked = {
        **ALL_BUT_LAST,
        "pids": {"limit": 12},
        "devices": [{"allow": rest}, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
    }
    before, kept_before = settable(box), kept(box)
    (folder / "config.json.new").mkdir()
    result = update(box, resources=asked)
    (folder / "config.json.new").rmdir()
    sentence = refused(box, result, before, kept_before)
    assert sentence == f"write {folder}/config.json (config.json.new): is a directory"
    assert box.runtime.status(box.ident) == "running"
    assert box.exec("head -c 1 /dev/zero | wc -c").ok().out == "1\n"


HOLD = "dd if=/dev/zero of=/dev/shm/held bs=1M count=16 2>/dev/null && touch /shared/held && exec sleep 1000"


@pytest.mark.parametrize("checked", [True, False])
@requires(lambda: "" if Path("/proc/swaps").read_text().count("\n") == 1 else "not this lane: swap takes the memory")
def test_a_memory_limit_below_what_is_used(box: Box, checked: bool) -> None:
    """The kernel refuses it on v1; on v2 it would kill, and checkBeforeUpdate is asked for to refuse it."""
    box.run(box.with_shared(config_of(box, KEPT, HOLD)), "--detach").ok()
    wait_for((box.shared / "held").exists, what="the memory to be used")
    if on_v2(box) and not checked:
        pytest.skip("not this lane: the kernel takes such a limit on cgroup v2, and kills")
    before, kept_before = settable(box), kept(box)
    memory = {"limit": 4 * MIB, "swap": 4 * MIB, **({"checkBeforeUpdate": True} if checked else {})}
    result = update(box, resources={"memory": memory, "cpu": {"shares": 77}})
    sentence = refused(box, result, before, kept_before)
    assert sentence.startswith("standard input: /memory/limit: "), sentence
    assert f"would be {4 * MIB}, which is below the usage of " in sentence
    assert box.runtime.status(box.ident) == "running"
    update(box, "--memory", "40m").ok()
    assert value(box, "memory.max", "memory.limit_in_bytes") == str(40 * MIB)


def test_a_container_without_a_cgroup_of_its_own(box: Box) -> None:
    """Its record says so, as after a `create` without the right to make one."""
    started(box, {})
    folder = box.runtime.root / box.ident
    record = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**record, "cgroup": None}))
    try:
        sentence = one_sentence(update(box, "--pids-limit", "9").expect(1))
        said = "the container has no cgroup of its own, so that its limits cannot be changed"
        assert sentence == f"update {box.ident}: {said}"
        update(box, "--pids-limit", "0").ok()
    finally:
        (folder / "state.json").write_text(json.dumps(record))


def test_a_configuration_that_was_damaged(box: Box) -> None:
    started(box)
    before = settable(box)
    (box.runtime.root / box.ident / "config.json").write_text("{")
    sentence = one_sentence(update(box, "--pids-limit", "9").expect(1))
    assert f"{box.runtime.root}/{box.ident}/config.json: the configuration cannot be read: line 1" in sentence
    assert settable(box) == before
