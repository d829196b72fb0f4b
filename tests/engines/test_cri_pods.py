"""Pod sandboxes and the life of their containers, as the kubelet asks for them through containerd's CRI plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.command import process_alive
from support.cri import CriError

if TYPE_CHECKING:
    from support.pods import Pods

pytestmark = pytest.mark.engines


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
