"""Pod sandboxes and the life of their containers, as the kubelet asks for them through containerd's CRI plugin."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command import process_alive, wait_for
from support.cri import CriError

if TYPE_CHECKING:
    from support.pods import Pods

pytestmark = pytest.mark.engines

SERVICE = ("sh", "-c", "trap 'exit 5' TERM; touch /ready; while :; do usleep 20000; done")


def namespace(pid: int, kind: str) -> str:
    """The link of one namespace of a process."""
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_runtime_is_ready(pods: Pods) -> None:
    conditions = pods.client.call("Status")["status"]["conditions"]
    assert {each["type"]: each["status"] for each in conditions} == {"RuntimeReady": True, "NetworkReady": True}
    assert pods.client.call("Version")["runtime_name"] == "containerd"


def test_pod_runs_stops_and_is_removed(pods: Pods) -> None:
    pod = pods.pod("web")
    status = pods.client.call("PodSandboxStatus", {"pod_sandbox_id": pod})["status"]
    assert status["state"] == "SANDBOX_READY"
    assert status["runtime_handler"] == "ocirun"
    pid = pods.pid(pod)
    assert process_alive(pid)
    pods.client.call("StopPodSandbox", {"pod_sandbox_id": pod})
    assert pods.client.call("PodSandboxStatus", {"pod_sandbox_id": pod})["status"]["state"] == "SANDBOX_NOTREADY"
    assert not process_alive(pid)
    pods.client.call("RemovePodSandbox", {"pod_sandbox_id": pod})
    assert pods.client.call("ListPodSandbox")["items"] == []
    with pytest.raises(CriError) as refused:
        pods.client.call("PodSandboxStatus", {"pod_sandbox_id": pod})
    assert refused.value.code == "NOT_FOUND"


def test_unknown_runtime_handler_is_refused(pods: Pods) -> None:
    metadata = {"name": "none", "uid": "none", "namespace": "default"}
    with pytest.raises(CriError, match='no runtime for "other" is configured'):
        pods.client.call("RunPodSandbox", {"config": {"metadata": metadata}, "runtime_handler": "other"})


def test_container_is_created_started_stopped_and_removed(pods: Pods) -> None:
    pod = pods.pod()
    container = pods.create(pod, *SERVICE)
    assert pods.status(container)["state"] == "CONTAINER_CREATED"
    pods.client.call("StartContainer", {"container_id": container})
    assert pods.status(container)["state"] == "CONTAINER_RUNNING"
    wait_for(lambda: pods.exec(container, "test", "-e", "/ready")["exit_code"] == 0, what="the trap")
    pods.stop(container, timeout=30)
    status = pods.status(container)
    assert (status["state"], status["exit_code"], status["reason"]) == ("CONTAINER_EXITED", 5, "Error")
    assert status["created_at"] <= status["started_at"] <= status["finished_at"]
    pods.client.call("RemoveContainer", {"container_id": container})
    assert pods.client.call("ListContainers")["containers"] == []


def test_container_that_ignores_its_stop_signal_is_killed(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    pods.stop(container, timeout=1)
    assert pods.status(container)["exit_code"] == 137


def test_containers_are_listed_with_their_pod(pods: Pods) -> None:
    pod = pods.pod()
    first = pods.run(pod, "sleep", "600", labels={"name": "first"})
    second = pods.create(pod, "sleep", "600", labels={"name": "second"})
    listed = {each["id"]: each for each in pods.client.call("ListContainers")["containers"]}
    assert {each: listed[each]["state"] for each in listed} == {
        first: "CONTAINER_RUNNING",
        second: "CONTAINER_CREATED",
    }
    assert {each["pod_sandbox_id"] for each in listed.values()} == {pod}
    assert listed[second]["labels"] == {"name": "second"}


def test_running_container_is_removed_with_its_pod(pods: Pods) -> None:
    pod = pods.pod()
    pid = pods.pid(pods.run(pod, "sleep", "600"))
    pods.remove_pod(pod)
    assert not process_alive(pid)


def test_missing_program_is_named_in_the_status(pods: Pods) -> None:
    container = pods.create(pods.pod(), "no-such-program")
    with pytest.raises(CriError, match="executable file not found in"):
        pods.client.call("StartContainer", {"container_id": container})
    status = pods.status(container)
    assert (status["state"], status["exit_code"], status["reason"]) == ("CONTAINER_EXITED", 128, "StartError")
    assert "no-such-program" in status["message"]


def test_completed_container(pods: Pods) -> None:
    container = pods.run(pods.pod(), "true")
    assert (pods.ended(container)["exit_code"], pods.status(container)["reason"]) == (0, "Completed")


def test_log_has_both_streams_with_times(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sh", "-c", "echo one; echo two >&2; printf three")
    pods.ended(container)
    lines = pods.log(container)
    assert {(line.stream, line.tag, line.text) for line in lines} == {
        ("stdout", "F", "one\n"),
        ("stderr", "F", "two\n"),
        ("stdout", "P", "three"),
    }
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", line.time) for line in lines)


def test_log_is_reopened_after_it_was_moved(pods: Pods) -> None:
    script = "echo before; while ! [ -e /go ]; do usleep 20000; done; echo after; sleep 600"
    container = pods.run(pods.pod(), "sh", "-c", script)
    wait_for(lambda: len(pods.log(container)) == 1, what="the first line")
    path = Path(pods.status(container)["log_path"])
    path.rename(path.with_suffix(".1"))
    pods.client.call("ReopenContainerLog", {"container_id": container})
    pods.shell(container, "touch /go")
    wait_for(lambda: [line.text for line in pods.log(container)] == ["after\n"], what="the line in the new file")
    assert path.with_suffix(".1").read_text().endswith("before\n")


def test_log_of_a_terminal(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sh", "-c", "tty; exit 3", tty=True)
    assert pods.ended(container)["exit_code"] == 3
    assert [line.text.rstrip() for line in pods.log(container)] == ["/dev/pts/0"]


def test_working_directory_and_environment(pods: Pods) -> None:
    envs = [{"key": "GREETING", "value": "hello world"}]
    assert pods.output(pods.pod(), "sh", "-c", "pwd; echo $GREETING", working_dir="/srv", envs=envs) == (
        "/srv\nhello world\n"
    )


def test_host_network_pod_shares_network_and_host_name(pods: Pods) -> None:
    pod = pods.pod()
    pid = pods.pid(pods.run(pod, "sleep", "600"))
    assert namespace(pid, "net") == namespace(pods.pid(pod), "net") == os.readlink("/proc/self/ns/net")
    assert namespace(pid, "ipc") == namespace(pods.pid(pod), "ipc") != os.readlink("/proc/self/ns/ipc")


def test_pod_network(pods: Pods) -> None:
    """The containers of a pod share its network, host name and System V memory, and nobody else does."""
    pod = pods.pod("inside", network="POD")
    container = pods.run(pod, "sleep", "600")
    other = pods.pod("elsewhere", network="POD")
    pids = [pods.pid(each) for each in (container, pod, other)]
    for kind in ("net", "ipc", "uts"):
        own, of_pod, of_other = (namespace(pid, kind) for pid in pids)
        assert own == of_pod
        assert own not in (of_other, os.readlink(f"/proc/self/ns/{kind}"))
    assert pods.shell(container, "hostname") == "inside\n"
    assert pods.shell(container, "ls /sys/class/net") == "lo\n"
    status = pods.client.call("PodSandboxStatus", {"pod_sandbox_id": pod})["status"]
    assert status["network"]["ip"] == "192.0.2.2"


@pytest.mark.parametrize("mode", ["POD", "CONTAINER", "NODE"])
def test_process_namespace(pods: Pods, mode: str) -> None:
    options = {"namespace_options": {"pid": mode}}
    pod = pods.pod(security=options)
    container = pods.run(pod, "sleep", "600", security=options)
    own, of_pod = (namespace(pods.pid(each), "pid") for each in (container, pod))
    of_host = os.readlink("/proc/self/ns/pid")
    assert (own == of_pod, own == of_host) == {
        "POD": (True, False),
        "CONTAINER": (False, False),
        "NODE": (True, True),
    }[mode]
    if mode != "NODE":
        assert pods.shell(container, "cat /proc/1/comm") == "sleep\n"


def test_process_namespace_of_another_container(pods: Pods) -> None:
    """What `kubectl debug --target` asks for."""
    pod = pods.pod()
    target = pods.run(pod, "sleep", "600")
    options = {"namespace_options": {"pid": "TARGET", "target_id": target}}
    debugger = pods.run(pod, "sleep", "601", security=options)
    assert namespace(pods.pid(debugger), "pid") == namespace(pods.pid(target), "pid")
    assert "sleep 600" in pods.shell(debugger, "tr '\\0' ' ' </proc/1/cmdline")


def test_host_ipc(pods: Pods) -> None:
    options = {"namespace_options": {"ipc": "NODE"}}
    container = pods.run(pods.pod(security=options), "sleep", "600", security=options)
    assert namespace(pods.pid(container), "ipc") == os.readlink("/proc/self/ns/ipc")


def test_sysctls_of_the_pod(pods: Pods) -> None:
    pod = pods.pod(network="POD", sysctls={"net.ipv4.ip_unprivileged_port_start": "81", "kernel.shm_rmid_forced": "1"})
    names = "/proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert pods.output(pod, "sh", "-c", f"cat {names}") == "81\n1\n"


def test_sysctl_of_the_host_is_refused(pods: Pods) -> None:
    with pytest.raises(CriError, match=r"net\.ipv4\.ip_forward"):
        pods.pod(sysctls={"net.ipv4.ip_forward": "1"})


def test_shared_memory_is_that_of_the_pod(pods: Pods) -> None:
    pod = pods.pod()
    first = pods.run(pod, "sleep", "600")
    pods.shell(first, "echo shared > /dev/shm/file")
    assert pods.output(pod, "cat", "/dev/shm/file") == "shared\n"
