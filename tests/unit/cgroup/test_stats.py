"""Statistics out of the files of cgroups, as kernels write them; and what stands for a file that is not there."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.linux.cgroup import groupfs, stats
from ocirun.linux.cgroup.stats import parsing, v1, v2
from ocirun_spec import schema

if TYPE_CHECKING:
    from pathlib import Path

MAX = (1 << 64) - 1
PRESSURE = "some avg10=1.25 avg60=0.50 avg300=0.07 total=78131\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
PSI = {
    "some": {"avg10": 1.25, "avg60": 0.5, "avg300": 0.07, "total": 78131},
    "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 9},
}
V1 = {
    "cpuacct": {
        "cpuacct.usage": "30941650\n",
        "cpuacct.usage_percpu": "1114133 29827517 \n",
        "cpuacct.usage_all": "cpu user system\n0 1000000 2000000\n1 28000000 0\n",
        "cpuacct.stat": "user 3\nsystem 2\n",
    },
    "cpu": {"cpu.stat": "nr_periods 20\nnr_throttled 3\nthrottled_time 4000000\nnr_bursts 0\nburst_time 0\n"},
    "cpuset": {
        "cpuset.cpus": "0-2,7\n",
        "cpuset.mems": "0\n",
        "cpuset.cpu_exclusive": "1\n",
        "cpuset.mem_hardwall": "0\n",
        "cpuset.memory_pressure": "5\n",
        "cpuset.sched_load_balance": "1\n",
        "cpuset.sched_relax_domain_level": "-1\n",
    },
    "memory": {
        "memory.stat": "cache 8192\nrss 53248\nhierarchical_memory_limit 67108864\n",
        "memory.limit_in_bytes": "67108864\n",
        "memory.usage_in_bytes": "217088\n",
        "memory.max_usage_in_bytes": "786432\n",
        "memory.failcnt": "4\n",
        "memory.memsw.limit_in_bytes": "9223372036854771712\n",
        "memory.memsw.usage_in_bytes": "217089\n",
        "memory.kmem.limit_in_bytes": "9223372036854771712\n",
        "memory.kmem.usage_in_bytes": "98304\n",
        "memory.kmem.tcp.limit_in_bytes": "1\n",
    },
    "pids": {"pids.current": "3\n", "pids.max": "50\n"},
    "blkio": {
        "blkio.bfq.io_service_bytes_recursive": "Total 0\n",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Total 4096\n0:7 Discard 1\nTotal 4097\n",
        "blkio.throttle.io_serviced": "8:16 Write 2\nTotal 2\n",
        "blkio.time_recursive": "8:0 11\n",
    },
    "hugetlb": {
        "hugetlb.2MB.usage_in_bytes": "1\n",
        "hugetlb.2MB.max_usage_in_bytes": "1\n",
        "hugetlb.2MB.failcnt": "1\n",
        "hugetlb.2MB.rsvd.usage_in_bytes": "2097152\n",
        "hugetlb.2MB.rsvd.max_usage_in_bytes": "4194304\n",
        "hugetlb.2MB.rsvd.failcnt": "7\n",
        "hugetlb.1GB.usage_in_bytes": "1073741824\n",
        "hugetlb.1GB.max_usage_in_bytes": "0\n",
        "hugetlb.1GB.failcnt": "0\n",
    },
}
V2 = {
    "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 5\n",
    "cpu.pressure": PRESSURE,
    "memory.stat": "anon 40960\nfile 8192\nslab 12\n",
    "memory.current": "100\n",
    "memory.max": "1000\n",
    "memory.peak": "900\n",
    "memory.events": "low 0\nhigh 1\nmax 6\noom 2\noom_kill 1\n",
    "memory.swap.current": "10\n",
    "memory.swap.max": "50\n",
    "memory.swap.events": "high 0\nmax 3\nfail 4\n",
    "memory.pressure": PRESSURE,
    "pids.current": "2\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=5 dios=6\n253:0 \n8:16 wbytes=512 cost.usage=3\n",
    "io.pressure": PRESSURE,
    "hugetlb.2MB.current": "1\n",
    "hugetlb.2MB.rsvd.current": "2097152\n",
    "hugetlb.2MB.events": "max 3\n",
    "cgroup.procs": "1\n2\n",
}


def written(folder: Path, files: dict[str, str]) -> str:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return str(folder)


@pytest.fixture
def unified(tmp_path: Path) -> str:
    return written(tmp_path / "unified", V2)


@pytest.fixture
def legacy(tmp_path: Path) -> dict[str, str]:
    return {name: written(tmp_path / name, files) for name, files in V1.items()}


def test_processor_time_of_v1(legacy: dict[str, str]) -> None:
    assert v1.usage(legacy["cpuacct"]) == {
        "total": 30941650,
        "percpu": [1114133, 29827517],
        "percpu_kernel": [2000000, 0],
        "percpu_user": [1000000, 28000000],
        "kernel": 20000000,
        "user": 30000000,
    }
    assert v1.throttling(legacy["cpu"]) == {"periods": 20, "throttledPeriods": 3, "throttledTime": 4000000}


def test_processor_time_of_v2_becomes_nanoseconds(unified: str) -> None:
    assert v2.usage(unified) == {"total": 30000, "kernel": 10000, "user": 20000}
    assert v2.throttling(unified) == {"periods": 4, "throttledPeriods": 2, "throttledTime": 5000}


def test_the_cpuset(legacy: dict[str, str]) -> None:
    found = v1.cpuset(legacy["cpuset"])
    assert (found["cpus"], found["mems"]) == ([0, 1, 2, 7], [0])
    assert (found["cpu_exclusive"], found["sched_load_balance"], found["memory_pressure"]) == (1, 1, 5)
    assert (found["mem_hardwall"], found["sched_relax_domain_level"]) == (0, -1)


def test_memory_of_v1(legacy: dict[str, str]) -> None:
    assert v1.memory(legacy["memory"]) == {
        "cache": 8192,
        "usage": {"limit": 67108864, "usage": 217088, "max": 786432, "failcnt": 4},
        "swap": {"limit": 9223372036854771712, "usage": 217089, "failcnt": 0},
        "kernel": {"limit": 9223372036854771712, "usage": 98304, "failcnt": 0},
        "kernelTCP": {"limit": 1, "failcnt": 0},
        "raw": {"cache": 8192, "rss": 53248, "hierarchical_memory_limit": 67108864},
    }


def test_memory_of_v2_counts_swap_as_v1_does(unified: str) -> None:
    assert v2.memory(unified) == {
        "cache": 8192,
        "usage": {"limit": 1000, "usage": 100, "max": 900, "failcnt": 6},
        "swap": {"limit": 1050, "usage": 110, "failcnt": 3},
        "kernel": {"limit": 0, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 0},
        "raw": {"anon": 40960, "file": 8192, "slab": 12},
    }


@pytest.mark.parametrize(
    ("files", "usage", "swap"),
    [
        ({"memory.max": "max\n", "memory.swap.max": "max\n"}, MAX, MAX),
        ({"memory.max": "max\n", "memory.swap.max": "5\n"}, MAX, MAX),
        ({"memory.max": "7\n", "memory.swap.max": "max\n"}, 7, MAX),
        ({"memory.max": "7\n"}, 7, 7),
    ],
)
def test_no_limit_is_the_largest_number(tmp_path: Path, files: dict[str, str], usage: int, swap: int) -> None:
    found = v2.memory(written(tmp_path / "group", files))
    assert (found["usage"]["limit"], found["swap"]["limit"]) == (usage, swap)


def test_pids(legacy: dict[str, str], unified: str, tmp_path: Path) -> None:
    assert v1.pids(legacy["pids"]) == {"current": 3, "limit": 50}
    assert v2.pids(unified) == {"current": 2}
    uncounted = written(tmp_path / "uncounted", {"cgroup.procs": "1\n2\n"})
    written(tmp_path / "uncounted" / "below", {"cgroup.procs": "3\n"})
    assert v2.pids(uncounted) == {"current": 3}


def test_block_devices_of_v1(legacy: dict[str, str]) -> None:
    assert v1.blkio(legacy["blkio"]) == {
        "ioServiceBytesRecursive": [
            {"major": 8, "op": "Read", "value": 4096},
            {"major": 8, "op": "Total", "value": 4096},
            {"minor": 7, "op": "Discard", "value": 1},
        ],
        "ioServicedRecursive": [{"major": 8, "minor": 16, "op": "Write", "value": 2}],
        "ioTimeRecursive": [{"major": 8, "value": 11}],
    }


def test_the_scheduler_s_count_is_preferred(tmp_path: Path) -> None:
    files = {**V1["blkio"], "blkio.bfq.io_service_bytes_recursive": "8:0 Read 3\nTotal 3\n"}
    found = v1.blkio(written(tmp_path / "group", files))
    assert found["ioServiceBytesRecursive"] == [{"major": 8, "op": "Read", "value": 3}]


def test_block_devices_of_v2_have_the_names_of_v1(unified: str) -> None:
    assert v2.blkio(unified) == {
        "ioServiceBytesRecursive": [
            {"major": 8, "op": "Read", "value": 4096},
            {"major": 8, "op": "Write"},
            {"major": 8, "minor": 16, "op": "Write", "value": 512},
        ],
        "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 1}, {"major": 8, "op": "Write"}],
    }


def test_huge_pages_are_counted_from_their_reservation_on(legacy: dict[str, str], unified: str) -> None:
    assert v1.hugetlb(legacy["hugetlb"]) == {
        "1GB": {"usage": 1073741824, "failcnt": 0},
        "2MB": {"usage": 2097152, "max": 4194304, "failcnt": 7},
    }
    assert v2.hugetlb(unified) == {"2MB": {"usage": 2097152, "failcnt": 3}}


def test_pressure(unified: str, tmp_path: Path) -> None:
    assert parsing.pressure(unified, "cpu.pressure") == {"psi": PSI}
    old = written(tmp_path / "old", {"cpu.pressure": PRESSURE.splitlines()[0] + "\n", "io.pressure": "some avg10=x\n"})
    assert parsing.pressure(old, "cpu.pressure") == {"psi": {"some": PSI["some"]}}
    assert parsing.pressure(old, "io.pressure") == {}
    assert parsing.pressure(old, "memory.pressure") == {}


@pytest.mark.parametrize(
    ("word", "number"), [(b"max", MAX), (b"0", 0), (b"-1", 0), (b"", 0), (b"x", 0), (b"9" * 30, MAX), (b"12", 12)]
)
def test_a_number(word: bytes, number: int) -> None:
    assert parsing.number(word) == number


@pytest.mark.parametrize(("text", "numbers"), [(b"\n", []), (b"3\n", [3]), (b"0-1,4", [0, 1, 4]), (b"x,1-", [])])
def test_a_list_of_processors(text: bytes, numbers: list[int]) -> None:
    assert parsing.numbers(text) == numbers


def document(paths: dict[str, str]) -> dict[str, Any]:
    """The document of these cgroups, which the schema has to take."""
    found = stats.read(paths)
    whole = {"type": "stats", "id": "x", "data": {**found, "intel_rdt": {}, "network_interfaces": []}}
    assert [error.message for error in schema.validator(schema.events_schema()).iter_errors(whole)] == []
    return found


def test_v1_alone_has_no_pressure(legacy: dict[str, str]) -> None:
    found = document(legacy)
    assert found["cpu"]["usage"]["percpu"] == [1114133, 29827517]
    assert "psi" not in found["cpu"]
    assert found["hugetlb"]["2MB"]["failcnt"] == 7


def test_v2_alone(unified: str) -> None:
    found = document({"unified": unified})
    assert found["cpu"]["psi"] == found["memory"]["psi"] == found["blkio"]["psi"] == PSI
    assert found["memory"]["usage"]["limit"] == 1000
    assert "cpus" not in found["cpuset"]


def test_each_controller_is_read_where_it_is(legacy: dict[str, str], unified: str) -> None:
    del legacy["hugetlb"], legacy["blkio"], legacy["pids"], legacy["cpu"]
    found = document({**legacy, "unified": unified})
    assert found["memory"]["usage"]["limit"] == 67108864
    assert found["memory"]["psi"] == PSI
    assert found["cpu"]["usage"]["total"] == 30941650
    assert found["cpu"]["throttling"]["throttledTime"] == 5000
    assert found["hugetlb"] == {"2MB": {"usage": 2097152, "failcnt": 3}}
    assert found["blkio"]["ioServicedRecursive"][0]["op"] == "Read"
    assert found["pids"] == {"current": 2}


@pytest.mark.parametrize("name", ["memory", "unified"])
def test_what_is_not_there_is_left_out(tmp_path: Path, name: str) -> None:
    found = document({name: str(tmp_path / "gone")})
    assert found["pids"] == found["blkio"] == found["hugetlb"] == {}
    assert found["memory"]["usage"] == {"limit": 0, "failcnt": 0}
    assert found["cpu"] == {"usage": {"kernel": 0, "user": 0}, "throttling": {}}


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.EACCES])
def test_what_a_kernel_answers_for_a_file_that_it_does_not_have(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groupfs, "read", lambda _path: (_ for _ in ()).throw(OSError(number, "")))
    assert parsing.text("/nowhere", "cpu.pressure") == b""


def test_another_error_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groupfs, "read", lambda _path: (_ for _ in ()).throw(OSError(errno.EMFILE, "")))
    with pytest.raises(Failure, match=r"read /nowhere/cpu\.stat"):
        parsing.text("/nowhere", "cpu.stat")
