"""What the engines say of a container's resources: they read it in the cgroups that the runtime has made.

Each test compares with the files of these cgroups, which it reads before and after the engine does.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import facility
from support.command import wait_for
from support.docker import DOCKER_IMAGE
from support.engines import PODMAN_IMAGE
from support.host import cgroup_of

if TYPE_CHECKING:
    from support.docker import Docker
    from support.engines import Containerd, Podman

pytestmark = pytest.mark.engines

MIB = 1 << 20
LIMIT = 128 * MIB
USED = 20 * MIB
WRITTEN = 4 * MIB
PROCESSES = 2
# /dev/shm is a tmpfs of the container: what is in it counts as its memory, and so does the buffer of the program that
# spins. O_DIRECT writes at once, where a disk is.
LOAD = """
dd if=/dev/zero of=/dev/shm/used bs=1M count=20 2>/dev/null
dd if=/dev/zero of=/written bs=1M count=4 oflag=direct 2>/dev/null
dd if=/dev/zero of=/dev/null bs=20M &
exec sleep 600
"""
# Beyond the most that the processors can give: the engines divide by clocks that tick rarely.
MOST_PERCENT = 110.0 * (os.cpu_count() or 1)
UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30}
SECONDS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "µs": 10**3, "ns": 1}
# The engines show three digits or more.
DIGITS = 5e-3


class Group:
    """What the cgroups of a container that runs LOAD say, by the pid of its init; v1 and v2. LOAD has begun."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.unified = not facility.cgroup_v2()
        wait_for(lambda: self.anonymous() >= USED, 30.0, what="the buffer being filled")

    def memory(self) -> int:
        """Bytes in use."""
        return int(self._read("memory", "memory.current" if self.unified else "memory.usage_in_bytes"))

    def anonymous(self) -> int:
        """The bytes of them that are no file's."""
        return self._numbers("memory", "memory.stat")["anon" if self.unified else "total_rss"]

    def limit(self) -> int:
        """The most bytes."""
        return int(self._read("memory", "memory.max" if self.unified else "memory.limit_in_bytes"))

    def inactive_file(self) -> int:
        """The bytes that Docker does not count: page cache that nobody has used lately."""
        return self._numbers("memory", "memory.stat")["inactive_file" if self.unified else "total_inactive_file"]

    def processes(self) -> int:
        """How many processes."""
        return int(self._read("pids", "pids.current"))

    def cpu(self) -> int:
        """Nanoseconds of processor time."""
        if self.unified:
            return self._numbers("cpu", "cpu.stat")["usage_usec"] * 1000
        return int(self._read("cpuacct", "cpuacct.usage"))

    def disk(self) -> tuple[int, int]:
        """Bytes read and written, of all devices."""
        if self.unified:
            words = self._read("io", "io.stat").split()
            return self._sum(words, "rbytes="), self._sum(words, "wbytes=")
        lines = [line.split() for line in self._read("blkio", "blkio.throttle.io_service_bytes_recursive").splitlines()]
        read, written = (sum(int(line[2]) for line in lines if line[1:2] == [word]) for word in ("Read", "Write"))
        return read, written

    def _read(self, controller: str, file: str) -> str:
        return (cgroup_of(self.pid, controller) / file).read_text()

    def _numbers(self, controller: str, file: str) -> dict[str, int]:
        return {name: int(value) for name, value in map(str.split, self._read(controller, file).splitlines())}

    @staticmethod
    def _sum(words: list[str], prefix: str) -> int:
        return sum(int(word.removeprefix(prefix)) for word in words if word.startswith(prefix))


def size(text: str) -> float:
    """Bytes of ``20.71MiB`` or ``21.7MB``."""
    found = re.fullmatch(r"([\d.]+)([kKMG]?i?B)", text.strip())
    assert found, text
    return float(found[1]) * UNITS[found[2]]


def pair(text: str) -> tuple[float, float]:
    """Bytes of ``20.71MiB / 128MiB``."""
    first, second = text.split(" / ")
    return size(first), size(second)


def percent(text: str) -> float:
    """The number of ``61.37%``."""
    return float(text.removesuffix("%"))


def nanoseconds(text: str) -> int:
    """Of Go's duration ``1m2.5s``."""
    parts = re.findall(r"([\d.]+)(h|ms|m|µs|ns|s)", text)
    assert "".join(number + unit for number, unit in parts) == text
    return round(sum(float(number) * SECONDS[unit] for number, unit in parts))


def assert_bytes(shown: float, own: int, least: int) -> None:
    """The number is that of the cgroup, which changes by a few pages, and what the container uses for sure is in it."""
    assert shown == pytest.approx(own, rel=DIGITS, abs=MIB)
    assert least <= shown < least + USED


def assert_disk(shown: tuple[float, float], group: Group) -> None:
    """The bytes are those of the cgroup, and on a disk they are those that were written."""
    assert shown == pytest.approx(group.disk(), rel=DIGITS)
    if not group.unified:
        assert shown[1] >= WRITTEN * (1 - DIGITS)


def docker_stats(docker: Docker, name: str) -> dict[str, str]:
    """Docker waits for a second sample, so that there is a difference to show."""
    line: dict[str, str] = json.loads(docker.call("stats", "--no-stream", "--format", "{{json .}}", name).ok().out)
    assert line["Name"] == name
    return line


def docker_load(docker: Docker, name: str, *options: str) -> Group:
    """A container that runs LOAD."""
    docker.run("--detach", "--name", name, "--network", "none", *options, DOCKER_IMAGE, "sh", "-c", LOAD).ok()
    return Group(int(docker.inspect(name, "{{.State.Pid}}")))


def test_docker_memory_and_processes(docker: Docker) -> None:
    group = docker_load(docker, "seen", "--memory", str(LIMIT))
    line = docker_stats(docker, "seen")
    used, limit = pair(line["MemUsage"])
    assert_bytes(used, group.memory() - group.inactive_file(), 2 * USED)
    assert limit == group.limit() == LIMIT
    assert percent(line["MemPerc"]) == pytest.approx(100 * used / limit, rel=2 * DIGITS)
    assert int(line["PIDs"]) == group.processes() == PROCESSES


def test_docker_disk(docker: Docker) -> None:
    group = docker_load(docker, "seen")
    assert_disk(pair(docker_stats(docker, "seen")["BlockIO"]), group)


def test_docker_processor_until_paused(docker: Docker) -> None:
    docker_load(docker, "seen")
    shown = wait_for(lambda: percent(docker_stats(docker, "seen")["CPUPerc"]), 30.0, what="some processor time")
    assert 0 < shown <= MOST_PERCENT
    docker.call("pause", "seen").ok()
    wait_for(lambda: docker_stats(docker, "seen")["CPUPerc"] == "0.00%", 30.0, what="no processor time")
    docker.call("unpause", "seen").ok()
    wait_for(lambda: percent(docker_stats(docker, "seen")["CPUPerc"]), 30.0, what="some processor time again")


def test_docker_without_a_limit_shows_the_machines_memory(docker: Docker) -> None:
    docker_load(docker, "free")
    assert pair(docker_stats(docker, "free")["MemUsage"])[1] == pytest.approx(machine_memory(), rel=DIGITS)


def podman_stats(podman: Podman, name: str) -> dict[str, str]:
    lines: list[dict[str, str]] = json.loads(podman.call("stats", "--no-stream", "--format", "json", name).ok().out)
    assert [line["name"] for line in lines] == [name]
    return lines[0]


def podman_load(podman: Podman, name: str, *options: str) -> Group:
    """A container that runs LOAD."""
    podman.run("--detach", "--name", name, "--network", "none", *options, PODMAN_IMAGE, "sh", "-c", LOAD).ok()
    return Group(int(podman.inspect(name, "{{.State.Pid}}")))


def test_podman_memory_and_processes(podman: Podman) -> None:
    """On cgroup v2 Podman 4.3 shows the member anon of memory.stat as the memory in use, whatever the runtime."""
    group = podman_load(podman, "seen", "--memory", str(LIMIT))
    line = podman_stats(podman, "seen")
    used, limit = pair(line["mem_usage"])
    if group.unified:
        assert_bytes(used, group.anonymous(), USED)
    else:
        assert_bytes(used, group.memory(), 2 * USED)
    assert group.limit() == LIMIT
    assert limit == pytest.approx(LIMIT, rel=DIGITS)
    assert percent(line["mem_percent"]) == pytest.approx(100 * used / limit, rel=2 * DIGITS)
    assert int(line["pids"]) == group.processes() == PROCESSES


def test_podman_disk(podman: Podman) -> None:
    group = podman_load(podman, "seen")
    assert_disk(pair(podman_stats(podman, "seen")["block_io"]), group)


def test_podman_processor_until_paused(podman: Podman) -> None:
    """Podman's percentage is since the start of the container."""
    group = podman_load(podman, "seen")
    before = group.cpu()
    line = podman_stats(podman, "seen")
    assert 0 < before <= nanoseconds(line["cpu_time"]) <= group.cpu()
    assert 0 < percent(line["cpu_percent"]) <= MOST_PERCENT
    podman.call("pause", "seen").ok()
    paused = podman_stats(podman, "seen")
    assert podman_stats(podman, "seen")["cpu_time"] == paused["cpu_time"]
    assert nanoseconds(paused["cpu_time"]) == group.cpu()
    podman.call("unpause", "seen").ok()
    wait_for(lambda: podman_stats(podman, "seen")["cpu_time"] != paused["cpu_time"], 30.0, what="some processor time")


def test_podman_without_a_limit_shows_the_machines_memory(podman: Podman) -> None:
    podman_load(podman, "free")
    assert pair(podman_stats(podman, "free")["mem_usage"])[1] == pytest.approx(machine_memory(), rel=DIGITS)


def containerd_metrics(containerd: Containerd, name: str) -> dict[str, Any]:
    """The shim's answer: containerd's `Metrics` of v1, or of v2."""
    document: dict[str, Any] = json.loads(containerd.call("tasks", "metrics", "--format", "json", name).ok().out)
    return document


def containerd_load(containerd: Containerd, name: str, *options: str) -> Group:
    """A container that runs LOAD."""
    # A detached ctr gives the task null streams: with inherited ones the container would keep our files open.
    containerd.run(["--detach", "--null-io", *options], name, "sh", "-c", LOAD).ok()
    return Group(containerd.task_pid(name))


def test_containerd_memory_and_processes(containerd: Containerd) -> None:
    group = containerd_load(containerd, "seen", "--memory-limit", str(LIMIT))
    metrics = containerd_metrics(containerd, "seen")
    memory = metrics["memory"]
    used, limit = (
        (memory["usage"], memory["usage_limit"])
        if group.unified
        else (memory["usage"]["usage"], memory["usage"]["limit"])
    )
    assert_bytes(used, group.memory(), 2 * USED)
    assert limit == group.limit() == LIMIT
    assert metrics["pids"]["current"] == group.processes() == PROCESSES


def test_containerd_processor_until_paused(containerd: Containerd) -> None:
    group = containerd_load(containerd, "seen")

    def shown() -> int:
        """Nanoseconds."""
        cpu = containerd_metrics(containerd, "seen")["cpu"]
        return int(cpu["usage_usec"] * 1000 if group.unified else cpu["usage"]["total"])

    before = group.cpu()
    assert 0 < before <= shown() <= group.cpu()
    containerd.call("tasks", "pause", "seen").ok()
    paused = shown()
    assert paused == shown() == group.cpu()
    containerd.call("tasks", "resume", "seen").ok()
    wait_for(lambda: shown() > paused, 30.0, what="some processor time")


def machine_memory() -> int:
    """Bytes of this machine (proc_meminfo(5))."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return int(line.split()[1]) * 1024
