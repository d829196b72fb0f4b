"""What brings a cgroup's file back to what it reads now."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from ocirun.errors import Failure
from ocirun.journal import Journal
from ocirun.linux.cgroup import groupfs, restoring

if TYPE_CHECKING:
    from pathlib import Path

IO_MAX = "8:0 rbps=1048576 wbps=max riops=max wiops=120\n8:16 rbps=5 wbps=max riops=max wiops=max\n"
FORMS: list[tuple[str, str, str, list[str]]] = [
    ("memory.limit_in_bytes", "9223372036854771712\n", "5", ["9223372036854771712"]),
    ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "1", ["0"]),
    ("memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 3\n", "0", ["1"]),
    ("memory.max", "max\n", "5", ["max"]),
    ("cpu.max", "max 100000\n", "5 10", ["max 100000"]),
    ("cpu.cfs_quota_us", "-1\n", "5", ["-1"]),
    ("cpuset.cpus", "\n", "0", ["\n"]),
    ("cpuset.cpus", "0-1\n", "0", ["0-1"]),
    ("cpuset.cpus.partition", "root invalid (Cpu list in cpuset.cpus not exclusive)\n", "member", ["root"]),
    ("net_prio.ifpriomap", "lo 0\neth0 5\n", "eth0 7", ["eth0 5"]),
    ("net_prio.ifpriomap", "lo 0\n", "eth0 7", ["eth0 0"]),
    ("rdma.max", "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n", "ocrdma1 hca_handle=1",
     ["ocrdma1 hca_handle=3 hca_object=max"]),
    ("blkio.throttle.read_bps_device", "8:0 1024\n8:16 7\n", "8:16 9", ["8:16 7"]),
    ("blkio.throttle.read_bps_device", "8:0 1024\n", "8:16 9", ["8:16 0"]),
    ("blkio.throttle.write_iops_device", "", "8:16 9", ["8:16 0"]),
    ("blkio.bfq.weight", "100\n", "200", ["100"]),
    ("blkio.bfq.weight_device", "default 100\n8:0 300\n", "8:0 200", ["8:0 300"]),
    ("blkio.weight_device", "", "8:0 200", ["8:0 default"]),
    ("io.weight", "default 100\n8:0 300\n", "200", ["default 100"]),
    ("io.weight", "default 100\n8:0 300\n", "default 200", ["default 100"]),
    ("io.weight", "default 100\n8:0 300\n", "8:0 200", ["8:0 300"]),
    ("io.bfq.weight", "default 100\n", "8:0 200", ["8:0 default"]),
    ("io.max", IO_MAX, "8:16 wbps=9", ["8:16 rbps=5 wbps=max riops=max wiops=max"]),
    ("io.max", IO_MAX, "8:32 wbps=9", ["8:32 rbps=max wbps=max riops=max wiops=max"]),
    ("io.latency", "8:0 target=75\n", "8:16 target=3", ["8:16 target=max"]),
    ("misc.max", "res_a max\nres_b 4\n", "res_b 5", ["res_b 4"]),
    ("memory.pressure", "some avg10=0.00\nfull avg10=0.00\n", "some 150000 1000000", []),
    ("cgroup.pressure", "1\n", "0", ["1"]),
    ("memory.peak", "12345\n", "reset", []),
    ("imagined.lines", "a 1\nb 2\n", "a 3", ["a 1", "b 2"]),
]  # fmt: skip


@pytest.mark.parametrize(("file", "present", "value", "back"), FORMS)
def test_forms(file: str, present: str, value: str, back: list[str]) -> None:
    assert restoring.ways_back(file, present, value) == back


def test_the_journal_brings_the_files_back_newest_first(tmp_path: Path) -> None:
    group, journal = tmp_path, Journal()
    (group / "pids.max").write_text("max\n")
    (group / "cpu.weight").write_text("59\n")
    (group / "cpu.idle").write_text("0\n")
    restoring.write(str(group), "pids.max", "5", journal)
    restoring.write(str(group), "pids.max", "6", journal)
    restoring.write(str(group), "cpu.idle", "1", journal)
    (group / "cpu.weight").write_text("0\n")
    assert journal.take_back() == []
    assert [(group / name).read_text().split()[0] for name in ("pids.max", "cpu.weight", "cpu.idle")] == [
        "max",
        "59",
        "0\n".strip(),
    ]
    assert journal.take_back() == []


def test_an_idle_cgroup_s_weight_is_not_written(tmp_path: Path) -> None:
    journal = Journal()
    (tmp_path / "cpu.weight").write_text("0\n")
    (tmp_path / "cpu.idle").write_text("1\n")
    restoring.write(str(tmp_path), "cpu.idle", "0", journal)
    (tmp_path / "cpu.weight").write_text("100\n")
    assert journal.take_back() == []
    assert (tmp_path / "cpu.weight").read_text() == "100\n"
    assert (tmp_path / "cpu.idle").read_text().startswith("1")


def test_a_cpuset_that_cannot_be_emptied_gets_what_its_parent_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, journal = tmp_path / "box", Journal()
    group.mkdir()
    (group / "cpuset.cpus").write_text("\n")
    (tmp_path / "cpuset.cpus.effective").write_text("0-3\n")
    restoring.write(str(group), "cpuset.cpus", "0", journal)
    write = groupfs.write

    def refuse_empty(path: str, value: bytes) -> None:
        if value == b"\n":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, value)

    monkeypatch.setattr(groupfs, "write", refuse_empty)
    assert journal.take_back() == []
    assert (group / "cpuset.cpus").read_text() == "0-3\n"


def test_a_refused_write_leaves_no_way_back(tmp_path: Path) -> None:
    journal = Journal()
    with pytest.raises(FileNotFoundError):
        restoring.write(str(tmp_path), "nothing", "5", journal)
    assert journal.take_back() == []
    assert not (tmp_path / "nothing").exists()


def test_ways_that_have_to_wait_for_others() -> None:
    """Two bounds that do not cross: the lower one can go up only when the upper one has."""
    low, high, journal = [5], [9], Journal()

    def set_low(value: int) -> None:
        if value > high[0]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        low[0] = value

    def set_high(value: int) -> None:
        high[0] = value

    journal.add("high", set_high, 30)
    journal.add("low", set_low, 20)
    assert journal.take_back() == []
    assert (low, high) == ([20], [30])


def test_what_cannot_be_taken_back_is_said() -> None:
    def fail(problem: Exception) -> None:
        raise problem

    done: list[int] = []
    journal = Journal()
    journal.add("write 5 back", fail, Failure("no"))
    journal.add("add one", done.append, 1)
    journal.add("write 6 back", fail, OSError(errno.EINVAL, "invalid"))
    assert journal.take_back() == ["write 6 back: [Errno 22] invalid", "write 5 back: no"]
    assert done == [1]


def test_close_closes_what_ways_back_need() -> None:
    journal = Journal()
    fd = os.open("/", os.O_PATH)
    journal.keep(fd)
    journal.add("nothing", os.close, fd)
    journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert journal.take_back() == []
