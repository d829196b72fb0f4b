"""The v1 driver on the machine's own hierarchies: create, limit, enter, freeze, kill, remove."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kernel.cgroup.sandbox import NAME, Container, clean_up, config, left_behind, spawn, until
from support import facility

from ocirun.errors import Failure
from ocirun.linux import cgroup
from ocirun.linux.cgroup import writing
from ocirun.linux.cgroup.limits import Setting
from ocirun.steps import InsideStep, OutsideStep

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(facility.root() or facility.cgroup_v1()), reason=facility.root() or facility.cgroup_v1()),
]
MIB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    left = left_behind()
    clean_up()
    assert left == []


def value(record: dict[str, Any], controller: str, file: str) -> str:
    return Path(record["paths"][controller], file).read_text().strip()


def own_cgroups(pid: int | str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {line.split(":")[1]: line.split(":", 2)[2] for line in lines}


def test_the_process_is_in_every_hierarchy_and_the_limits_hold() -> None:
    box = Container(
        config(
            NAME + "/deep/box",
            memory={"limit": 64 * MIB, "swap": 128 * MIB, "reservation": 32 * MIB},
            cpu={"shares": 512, "period": 100000, "quota": 50000, "cpus": "0"},
            pids={"limit": 20},
        )
    )
    box.create()
    pid = box.start()
    assert set(own_cgroups(pid).values()) == {NAME + "/deep/box"}
    assert cgroup.pids(box.record) == [pid]
    assert value(box.record, "memory", "memory.limit_in_bytes") == str(64 * MIB)
    assert value(box.record, "memory", "memory.memsw.limit_in_bytes") == str(128 * MIB)
    assert value(box.record, "memory", "memory.soft_limit_in_bytes") == str(32 * MIB)
    assert value(box.record, "cpu", "cpu.shares") == "512"
    assert value(box.record, "cpu", "cpu.cfs_quota_us") == "50000"
    assert value(box.record, "cpuset", "cpuset.cpus") == "0"
    assert value(box.record, "pids", "pids.max") == "20"
    assert box.undo() == []
    assert cgroup.remove(box.record) == []


def test_the_memory_limit_kills() -> None:
    def eat() -> int:
        hoard = bytearray(256 * MIB)
        return len(hoard) % 2

    box = Container(config(memory={"limit": 32 * MIB, "swap": 32 * MIB}))
    box.create()
    pid = box.start(eat)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert box.undo() == []


def test_limits_of_memory_and_swap_go_in_the_order_that_the_kernel_takes() -> None:
    existing = Container(config(memory={"limit": 16 * MIB, "swap": 16 * MIB}))
    existing.create()
    larger = Container(config(memory={"limit": 64 * MIB, "swap": 64 * MIB}))
    larger.create()
    assert value(larger.record, "memory", "memory.memsw.limit_in_bytes") == str(64 * MIB)
    assert cgroup.remove(larger.record) == []
    assert Path(existing.record["paths"]["memory"]).exists(), (
        "it was there before: not the second container's to remove"
    )
    assert cgroup.remove(existing.record) == []


def test_a_refused_value_names_pointer_value_and_file() -> None:
    box = Container(config(cpu={"cpus": "4000"}))
    with pytest.raises(Failure, match=r"^/linux/resources/cpu/cpus: write 4000 to cpuset.cpus .*: write: ") as caught:
        box.create()
    assert caught.value.errno
    assert box.undo() == []


def test_a_limit_needs_its_file() -> None:
    box = Container(config())
    box.create()
    asked = [Setting("cpu", "cpu.imagined", 3, "cpu/idle")]
    with pytest.raises(Failure, match=r"^/linux/resources/cpu/idle: this kernel's cgroups have no file cpu.imagined"):
        writing.write(asked, box.record)
    writing.write([Setting("cpu", "cpu.imagined", 3, "cpu/idle", ("cpu.shares", "77"))], box.record)
    assert value(box.record, "cpu", "cpu.shares") == "77"
    writing.write([Setting("cpu", "cpu.imagined", 3, "cpu/idle", optional=True)], box.record)
    assert box.undo() == []


def test_an_inhabited_cgroup_is_refused_and_survives() -> None:
    first = Container(config())
    first.create()
    pid = first.start()
    second = Container(config())
    with pytest.raises(Failure, match=r"is not empty: .* holds 1 process"):
        second.create()
    assert second.undo() == []
    assert cgroup.pids(first.record) == [pid]
    assert first.undo() == []


def test_a_process_in_a_sub_cgroup_counts_and_goes() -> None:
    box = Container(config())
    box.create()
    box.start()
    pid = spawn()
    for path in dict.fromkeys(box.record["paths"].values()):
        Path(path, "sub").mkdir()
        if "cpuset" in path:
            for name in ("cpuset.cpus", "cpuset.mems"):
                Path(path, "sub", name).write_text(Path(path, name).read_text())
    cgroup.join(box.record, pid, "sub")
    assert set(own_cgroups(pid).values()) == {NAME + "/sub"}
    assert sorted(cgroup.pids(box.record)) == sorted([pid, box.host.pid])
    assert box.undo() == []
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_join_one_controller_elsewhere() -> None:
    box = Container(config())
    box.create()
    Path(box.record["paths"]["cpu"], "fast").mkdir()
    pid = spawn()
    cgroup.join(box.record, pid, "cpu:fast")
    found = own_cgroups(pid)
    assert found["cpu"] == NAME + "/fast"
    assert found["memory"] == NAME
    with pytest.raises(Failure, match=r"is not a sub cgroup path"):
        cgroup.join(box.record, pid, "cpu:../..")
    assert box.undo() == []
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_exec_enters_by_itself() -> None:
    box = Container(config())
    box.create()
    doors = cgroup.open_doors(box.record)
    step = InsideStep(cgroup.enter, "", "enter", doors, False)

    def enter() -> int:
        cgroup.enter(step, None)  # type: ignore[arg-type]
        mine = own_cgroups("self")
        mine.pop("")
        return 0 if set(mine.values()) == {NAME} else 1

    pid = spawn(enter)
    assert os.waitpid(pid, 0)[1] == 0
    cgroup.close_doors(OutsideStep(cgroup.close_doors, "", "", doors), box.host)  # type: ignore[arg-type]
    assert box.undo() == []


def test_freeze_holds_and_a_frozen_container_can_be_killed() -> None:
    box = Container(config())
    box.create()
    pid = box.start()
    cgroup.freeze(box.record)
    assert cgroup.is_frozen(box.record)
    assert value(box.record, "freezer", "freezer.state") == "FROZEN"
    cgroup.thaw(box.record)
    assert not cgroup.is_frozen(box.record)
    cgroup.freeze(box.record)
    cgroup.kill_all(box.record, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert cgroup.pids(box.record) == []
    assert box.undo() == []


def test_kill_all_without_cgroup_kill_leaves_nobody() -> None:
    def breed() -> int:
        for _ in range(8):
            if os.fork() == 0:
                signal.pause()
        signal.pause()
        return 0

    box = Container(config())
    box.create()
    pid = box.start(breed)
    until(lambda: len(cgroup.pids(box.record)) == 9)
    pure = {**box.record, "paths": {k: v for k, v in box.record["paths"].items() if k != "unified"}}
    cgroup.kill_all(pure, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == signal.SIGTERM
    cgroup.kill_all(pure, signal.SIGKILL)
    assert cgroup.pids(pure) == []
    assert box.undo() == []


def test_devices_are_denied_without_rules() -> None:
    full = os.makedev(1, 7)
    kmsg = os.makedev(1, 11)

    def look() -> int:
        for number, name in ((full, "full"), (kmsg, "kmsg")):
            os.mknod(f"/dev/shm/ocirun-{os.getpid()}-{name}", 0o600 | 0o020000, number)
        try:
            os.close(os.open(f"/dev/shm/ocirun-{os.getpid()}-full", os.O_RDWR))
            os.close(os.open(f"/dev/shm/ocirun-{os.getpid()}-kmsg", os.O_RDONLY))
        except PermissionError as problem:
            return 7 if str(problem.filename).endswith("kmsg") else 8
        finally:
            for name in ("full", "kmsg"):
                Path(f"/dev/shm/ocirun-{os.getpid()}-{name}").unlink()
        return 0

    for rules, expected in (([], 7), ([{"allow": True, "access": "rwm"}], 0)):
        box = Container(config(devices=rules))
        box.create()
        pid = box.start(look)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == expected
        assert box.undo() == []


def test_every_directory_is_recorded_before_the_first_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A creator that is killed at any mkdir leaves a record with which everything can be removed."""
    for at in (0, 1, 7):
        ready, told = os.pipe()

        def create(at: int = at, told: int = told) -> int:
            box = Container(config(NAME + "/deep/box"))
            box.host.told = told
            real, calls = os.mkdir, []

            def mkdir(path: str, mode: int) -> None:
                calls.append(path)
                if len(calls) > at:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(path, mode)

            monkeypatch.setattr(os, "mkdir", mkdir)
            box.create()
            return 0

        pid = spawn(create)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        os.close(told)
        record = json.loads(os.read(ready, 1 << 16).splitlines()[-1])["cgroup"]
        os.close(ready)
        assert len(left_behind()) == -(-at // 3)
        assert cgroup.remove(record) == []
        assert left_behind() == []


def test_a_parent_with_other_containers_stays_until_its_maker_can_remove_it() -> None:
    first, second = Container(config(NAME + "/one")), Container(config(NAME + "/two"))
    first.create()
    second.create()
    assert first.undo() == []
    assert Path(second.record["paths"]["memory"]).exists()
    assert second.undo() == []
    for path in first.record["made"]:
        if Path(path).exists():
            Path(path).rmdir()


def test_the_cgroup_namespace_has_the_container_as_its_root() -> None:
    boxed = config()
    boxed["linux"]["namespaces"] = [{"type": "cgroup"}]
    box = Container(boxed)
    box.create()
    pid = box.start(lambda: 0 if set(own_cgroups("self").values()) == {"/"} else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert box.undo() == []


def test_a_busy_cgroup_is_reported() -> None:
    box = Container(config())
    box.create()
    pid = box.start()
    problems = cgroup.remove(box.record)
    assert problems
    assert all("device or resource busy" in each for each in problems)
    assert not cgroup.remove_unused(box.record)
    cgroup.kill_all(box.record, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert cgroup.remove_unused(box.record)
    assert cgroup.remove(box.record) == []
    assert not any(os.path.exists(path) for path in box.record["paths"].values())


def test_without_the_right_there_is_no_cgroup_unless_a_limit_wants_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: str, _mode: int) -> None:
        raise PermissionError(13, os.strerror(13), path)

    monkeypatch.setattr(os, "mkdir", refuse)
    free = Container(config())
    free.create()
    assert free.host.record["cgroup"] is None
    assert json.loads(free.host.saved[-1])["cgroup"] is None
    assert "without a cgroup" in capfd.readouterr().err
    pid = free.start()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    bound = Container(config(pids={"limit": 5}))
    with pytest.raises(Failure, match="permission denied"):
        bound.create()
    assert bound.undo() == []
