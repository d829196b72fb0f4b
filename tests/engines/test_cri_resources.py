"""Limits of Kubernetes' containers, their changes, what is counted of them, and what happens at the memory limit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import wait_for
from support.cri import CriError
from support.facility import requires
from support.host import cgroup_of

if TYPE_CHECKING:
    from support.pods import Pods

pytestmark = pytest.mark.engines

MIB = 1 << 20
LIMIT = 64 * MIB
FILLED = 20 * MIB
FILL = "dd if=/dev/zero of=/dev/shm/used bs=1M count=20 2>/dev/null; touch /filled; exec sleep 600"
# tail keeps the whole of what it reads, since it never sees a newline.
TOO_MUCH = "tail /dev/zero"


def file_of(pods: Pods, container: str, controller: str, name: str) -> str:
    """A file of the container's cgroup."""
    return (cgroup_of(pods.pid(container), controller) / name).read_text().strip()


@requires(facility.cgroup_v1)
def test_limits_reach_the_cgroup(pods: Pods) -> None:
    limits = {"cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512, "memory_limit_in_bytes": LIMIT}
    container = pods.run(pods.pod(), "sleep", "600", resources={**limits, "cpuset_cpus": "0"})
    assert file_of(pods, container, "cpu", "cpu.cfs_quota_us") == "50000"
    assert file_of(pods, container, "cpu", "cpu.shares") == "512"
    assert file_of(pods, container, "memory", "memory.limit_in_bytes") == str(LIMIT)
    assert file_of(pods, container, "cpuset", "cpuset.cpus") == "0"


def test_cgroup_is_in_that_of_the_pod(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    path = cgroup_of(pods.pid(container), "memory")
    assert path.name == container
    assert path.parent.name == pods.cgroup.removeprefix("/")


@requires(facility.cgroup_v1)
def test_update(pods: Pods) -> None:
    """What the kubelet calls when a pod is resized, and its processor manager always."""
    container = pods.run(pods.pod(), "sleep", "600", resources={"memory_limit_in_bytes": LIMIT, "cpu_shares": 512})
    changed = {"memory_limit_in_bytes": 2 * LIMIT, "cpu_quota": 30000, "cpu_period": 100000, "cpuset_cpus": "0"}
    pods.client.call("UpdateContainerResources", {"container_id": container, "linux": changed})
    assert file_of(pods, container, "memory", "memory.limit_in_bytes") == str(2 * LIMIT)
    assert file_of(pods, container, "cpu", "cpu.cfs_quota_us") == "30000"
    assert file_of(pods, container, "cpu", "cpu.shares") == "512"
    assert file_of(pods, container, "cpuset", "cpuset.cpus") == "0"


@requires(facility.cgroup_v1)
def test_update_between_create_and_start(pods: Pods) -> None:
    container = pods.create(pods.pod(), "sleep", "600")
    linux = {"memory_limit_in_bytes": LIMIT}
    pods.client.call("UpdateContainerResources", {"container_id": container, "linux": linux})
    pods.client.call("StartContainer", {"container_id": container})
    assert file_of(pods, container, "memory", "memory.limit_in_bytes") == str(LIMIT)


@requires(facility.cgroup_v1)
def test_refused_update_changes_nothing(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600", resources={"cpu_shares": 512})
    linux = {"cpuset_cpus": str((os.cpu_count() or 1) + 4000), "cpu_shares": 1024}
    with pytest.raises(CriError, match="failed to update resources"):
        pods.client.call("UpdateContainerResources", {"container_id": container, "linux": linux})
    assert file_of(pods, container, "cpu", "cpu.shares") == "512"
    assert pods.exec(container, "true")["exit_code"] == 0


def test_oom_score(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600", resources={"oom_score_adj": 500})
    assert pods.shell(container, "cat /proc/1/oom_score_adj") == "500\n"


def test_out_of_memory_is_the_reason(pods: Pods) -> None:
    resources = {"memory_limit_in_bytes": LIMIT, "memory_swap_limit_in_bytes": LIMIT}
    container = pods.run(pods.pod(), "sh", "-c", f"exec {TOO_MUCH}", resources=resources)
    status = pods.ended(container)
    assert (status["exit_code"], status["reason"]) == (137, "OOMKilled")


@requires(facility.cgroup_v1)
def test_stats_of_a_container(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sh", "-c", FILL, labels={"name": "filled"})
    wait_for(lambda: pods.exec(container, "test", "-e", "/filled")["exit_code"] == 0, what="the memory in use")
    least = int(file_of(pods, container, "cpuacct", "cpuacct.usage"))
    stats = pods.client.call("ContainerStats", {"container_id": container})["stats"]
    assert stats["attributes"]["id"] == container
    assert stats["attributes"]["labels"] == {"name": "filled"}
    most = int(file_of(pods, container, "cpuacct", "cpuacct.usage"))
    assert least <= stats["cpu"]["usage_core_nano_seconds"]["value"] <= most
    assert FILLED <= stats["memory"]["working_set_bytes"]["value"] < 2 * FILLED


def test_stats_of_all_containers(pods: Pods) -> None:
    pod = pods.pod()
    running = {pods.run(pod, "sleep", "600") for _ in range(2)}
    pods.ended(pods.run(pod, "true"))
    listed = pods.client.call("ListContainerStats")["stats"]
    assert {each["attributes"]["id"] for each in listed if "memory" in each} == running


def test_stats_of_a_pod(pods: Pods) -> None:
    pod = pods.pod("counted")
    container = pods.run(pod, "sleep", "600")
    stats = pods.client.call("PodSandboxStats", {"pod_sandbox_id": pod})["stats"]
    assert stats["attributes"]["metadata"]["name"] == "counted"
    assert [each["attributes"]["id"] for each in stats["linux"]["containers"]] == [container]
    assert stats["linux"]["memory"]["working_set_bytes"]["value"] > 0
