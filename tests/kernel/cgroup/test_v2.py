"""The v2 driver, on a cgroup2 that a private mount namespace has on /sys/fs/cgroup."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kernel.cgroup.sandbox import NAME, Container, clean_up, config, in_private_cgroup2, left_behind, spawn
from support import facility

from ocirun.errors import Failure
from ocirun.linux import cgroup
from ocirun.linux.cgroup import v2, writing
from ocirun.linux.cgroup.hierarchy import discover
from ocirun.linux.cgroup.limits import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(facility.cgroup_v2_private()), reason=facility.cgroup_v2_private()),
]
ROOT = Path("/sys/fs/cgroup")
DENY_ALL = {"allow": False, "access": "rwm"}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    left = left_behind()
    clean_up()
    assert left == []


def own_cgroup(pid: int | str) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


def started(boxed: dict[str, Any]) -> Container:
    box = Container(boxed)
    box.create()
    box.start()
    return box


def test_the_process_is_born_in_the_cgroup() -> None:
    def body() -> None:
        box = started(config(NAME + "/deep/box"))
        assert box.record["driver"] == "v2"
        assert box.host.cgroup_fd >= 0
        assert own_cgroup(box.host.pid) == NAME + "/deep/box"
        assert cgroup.pids(box.record) == [box.host.pid]
        assert box.undo() == []
        assert cgroup.remove(box.record) == []

    in_private_cgroup2(body)


@pytest.mark.parametrize("namespaces", [[], [{"type": "cgroup"}]])
def test_a_process_enters_a_cgroup_that_was_there(namespaces: list[dict[str, str]]) -> None:
    """It is not born there, see `members`: it has to go in by itself."""

    def body() -> None:
        group = ROOT / NAME[1:]
        group.mkdir()
        boxed = config()
        boxed["linux"]["namespaces"] = namespaces
        box = started(boxed)
        assert box.host.cgroup_fd == -1
        assert own_cgroup(box.host.pid) == NAME
        assert box.undo() == []
        group.rmdir()

    in_private_cgroup2(body)


def test_a_container_without_a_path_lies_beside_the_runtime_s_own_cgroup() -> None:
    def body() -> None:
        (ROOT / NAME[1:] / "mine").mkdir(parents=True)
        pid = spawn(beside)
        (ROOT / NAME[1:] / "mine/cgroup.procs").write_text(str(pid))
        os.kill(pid, signal.SIGUSR1)
        assert os.waitpid(pid, 0)[1] == 0
        (ROOT / NAME[1:] / "mine").rmdir()
        (ROOT / NAME[1:]).rmdir()

    def beside() -> int:
        signal.sigwait([signal.SIGUSR1])
        box = Container(config(""))
        box.create()
        assert box.record["paths"] == {"unified": f"/sys/fs/cgroup{NAME}/box"}
        assert box.undo() == []
        return 0

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        in_private_cgroup2(body)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def test_controllers_are_enabled_on_the_way_down() -> None:
    def body() -> None:
        if "hugetlb" not in (ROOT / "cgroup.controllers").read_text().split():
            return
        before = (ROOT / "cgroup.subtree_control").read_text()
        found = discover()
        box = Container(config(NAME + "/deep/box"))
        box.create()
        asked = [Setting("hugetlb", "hugetlb.2MB.max", 4 << 20, "hugepageLimits/0")]
        v2.check(found, asked)
        assert found.unified
        asked[0].unified = True
        v2.enable(found.unified, box.record["paths"]["unified"], asked)
        writing.write(asked, box.record)
        assert Path(box.record["paths"]["unified"], "hugetlb.2MB.max").read_text().strip() == str(4 << 20)
        assert box.undo() == []
        if "hugetlb" not in before:
            (ROOT / "cgroup.subtree_control").write_text("-hugetlb")

    in_private_cgroup2(body)


def test_a_limit_without_its_controller_is_refused() -> None:
    def body() -> None:
        if "memory" in (ROOT / "cgroup.controllers").read_text().split():
            return
        with pytest.raises(Failure, match=r"^/linux/resources/memory/limit: memory.max needs .* controller memory"):
            Container(config(memory={"limit": 1 << 26}))

    in_private_cgroup2(body)


def test_an_inhabited_or_threaded_cgroup_is_refused() -> None:
    def body() -> None:
        first = started(config())
        second = Container(config())
        with pytest.raises(Failure, match="not empty"):
            second.create()
        assert second.undo() == []
        assert first.undo() == []
        place = ROOT / NAME[1:] / "threads"
        place.mkdir(parents=True)
        (place / "cgroup.type").write_text("threaded")
        third = Container(config(NAME + "/threads"))
        with pytest.raises(Failure, match="of type threaded"):
            third.create()
        assert third.undo() == []
        place.rmdir()
        (ROOT / NAME[1:]).rmdir()

    in_private_cgroup2(body)


def test_freeze_waits_for_the_kernel_s_event() -> None:
    def body() -> None:
        box = started(config())
        cgroup.freeze(box.record)
        assert cgroup.is_frozen(box.record)
        assert "frozen 1" in Path(box.record["paths"]["unified"], "cgroup.events").read_text()
        cgroup.thaw(box.record)
        assert not cgroup.is_frozen(box.record)
        cgroup.freeze(box.record)
        assert box.undo() == []

    in_private_cgroup2(body)


def test_kill_all_reaches_sub_cgroups() -> None:
    def body() -> None:
        box = started(config())
        top = Path(box.record["paths"]["unified"])
        (top / "a/b").mkdir(parents=True)
        pid = spawn()
        cgroup.join(box.record, pid, "a/b")
        assert own_cgroup(pid) == NAME + "/a/b"
        assert sorted(cgroup.pids(box.record)) == sorted([pid, box.host.pid])
        cgroup.kill_all(box.record, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == signal.SIGTERM
        assert os.waitpid(box.host.pid, 0)[1] == signal.SIGTERM
        cgroup.kill_all(box.record, signal.SIGKILL)
        assert cgroup.remove(box.record) == []

    in_private_cgroup2(body)


def test_exec_finds_the_process_of_a_container_that_manages_its_own_cgroups() -> None:
    def body() -> None:
        if "hugetlb" not in (ROOT / "cgroup.controllers").read_text().split():
            return
        before = (ROOT / "cgroup.subtree_control").read_text()
        (ROOT / "cgroup.subtree_control").write_text("+hugetlb")
        box = started(config())
        top = Path(box.record["paths"]["unified"])
        (top / "init").mkdir()
        (top / "init/cgroup.procs").write_text(str(box.host.pid))
        (top / "cgroup.subtree_control").write_text("+hugetlb")
        assert cgroup.open_for_clone(box.record) == -1, "what the container made may have seen cgroup.kill"
        (fd,) = cgroup.open_doors(box.record).fds
        assert os.readlink(f"/proc/self/fd/{fd}") == str(top / "init/cgroup.procs")
        os.close(fd)
        pid = spawn()
        cgroup.join(box.record, pid)
        assert own_cgroup(pid) == NAME + "/init"
        assert box.undo() == []
        os.waitpid(pid, 0)
        if "hugetlb" not in before:
            (ROOT / "cgroup.subtree_control").write_text("-hugetlb")

    in_private_cgroup2(body)


def test_remove_waits_until_the_killed_are_gone() -> None:
    def body() -> None:
        box = started(config())
        os.kill(box.host.pid, signal.SIGKILL)
        assert cgroup.remove(box.record) == []
        os.waitpid(box.host.pid, 0)

    in_private_cgroup2(body)


def test_what_nobody_uses_is_removed_without_a_look_who_is_in_it() -> None:
    def body() -> None:
        box = started(config())
        top = Path(box.record["paths"]["unified"])
        (top / "below").mkdir()
        assert not cgroup.remove_unused(box.record)
        cgroup.kill_all(box.record, signal.SIGKILL)
        os.waitpid(box.host.pid, 0)
        assert not cgroup.remove_unused(box.record), "there is another one in it"
        (top / "below").rmdir()
        made = box.record["made"]
        box.record["made"] = []
        assert not cgroup.remove_unused(box.record), "what it has not made stays"
        box.record["made"] = made
        assert top.exists()
        assert cgroup.remove_unused(box.record)
        assert not top.exists()
        assert cgroup.remove(box.record) == []

    in_private_cgroup2(body)


def look(number: int, flags: int) -> int:
    """The errno of opening a node of that character device, 0 when it can be opened."""
    path = f"/tmp/ocirun-{os.getpid()}-node"  # on Debian /dev/shm is mounted nodev
    os.mknod(path, 0o600 | 0o020000, number)
    try:
        os.close(os.open(path, flags))
    except OSError as problem:
        return problem.errno or 99
    finally:
        os.unlink(path)
    return 0


ALLOW_ALL = {"allow": True, "access": "rwm"}
KMSG = {"type": "c", "major": 1, "minor": 11}
CASES = [
    ([], (1, 11), os.O_RDONLY, 1),
    ([], (1, 3), os.O_RDWR, 0),
    ([DENY_ALL], (1, 11), os.O_RDONLY, 1),
    ([DENY_ALL, {"allow": True, "access": "r", **KMSG}], (1, 11), os.O_RDONLY, 0),
    ([DENY_ALL, {"allow": True, "access": "r", **KMSG}], (1, 11), os.O_WRONLY, 1),
    ([DENY_ALL, {"allow": True, "access": "r", **KMSG}], (1, 11), os.O_RDWR, 1),
    ([{"allow": True, "access": "rw", **KMSG}, DENY_ALL], (1, 11), os.O_RDONLY, 1),
    ([ALLOW_ALL], (1, 11), os.O_RDONLY, 0),
    ([ALLOW_ALL, {"allow": False, "access": "w", **KMSG}], (1, 11), os.O_RDONLY, 0),
    ([ALLOW_ALL, {"allow": False, "access": "w", **KMSG}], (1, 11), os.O_WRONLY, 1),
    ([ALLOW_ALL, {"allow": False, "access": "rwm", "type": "b"}], (1, 11), os.O_RDONLY, 0),
    ([{"allow": True, "access": "rw", "major": 1}], (1, 11), os.O_RDONLY, 0),
]


@pytest.mark.parametrize(("rules", "device", "flags", "expected"), CASES)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_device_rules(
    version: str, rules: list[dict[str, Any]], device: tuple[int, int], flags: int, expected: int
) -> None:
    """The same verdicts from the v1 controller and from the program."""

    def body() -> None:
        box = Container(config(devices=rules))
        box.create()
        assert box.record["driver"] == version
        pid = box.start(lambda: look(os.makedev(*device), flags))
        status = os.waitpid(pid, 0)[1]
        assert box.undo() == []
        assert os.waitstatus_to_exitcode(status) == expected

    if version == "v2":
        in_private_cgroup2(body)
    elif facility.cgroup_v1():
        pytest.skip(facility.cgroup_v1())
    else:
        body()
