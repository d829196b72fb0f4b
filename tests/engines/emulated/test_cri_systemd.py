"""The CRI plugin with `SystemdCgroup = true`: pods and containers are units of the machine's systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import facility
from support.engines import private_directory
from support.host import HostSnapshot, cgroup_of
from support.pods import Pods
from support.systemd import asked, group_of, is_loaded, unit_properties, unit_property

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engines

LIMIT = 64 << 20


@pytest.fixture(scope="module")
def pods_engine(runtime_binary: Path, rootfs: Path) -> Iterator[Pods]:
    """containerd with the systemd driver; the slice of the pods is the kubelet's, and here the test's."""
    facility.need(facility.containerd)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Pods(base, runtime_binary, rootfs, "overlayfs", driver="systemd")
        yield engine
        engine.close()
        asked("systemctl", "stop", engine.cgroup.strip("/"))
        before.assert_unchanged()


def unit(container: str) -> str:
    """The CRI plugin's name for the unit of a container or of a sandbox."""
    return f"cri-containerd-{container}.scope"


def test_a_pod_and_its_container_are_scopes_of_their_slice(pods: Pods) -> None:
    pod = pods.pod()
    container = pods.run(pod, "sleep", "600", resources={"memory_limit_in_bytes": LIMIT})
    for each in (pod, container):
        shown = unit_properties(unit(each), "Slice", "ActiveState", "Delegate")
        assert shown == {"Slice": pods.cgroup.strip("/"), "ActiveState": "active", "Delegate": "yes"}
        assert cgroup_of(pods.pid(each), "memory") == group_of(unit(each))
    assert unit_property(unit(container), "MemoryMax") == str(LIMIT)
    assert pods.shell(container, "cat /proc/1/cgroup /proc/self/cgroup") == "0::/\n0::/\n"
    stats = pods.client.call("ContainerStats", {"container_id": container})["stats"]
    assert 0 < stats["memory"]["working_set_bytes"]["value"] < LIMIT
    assert stats["cpu"]["usage_core_nano_seconds"]["value"] > 0
    linux = {"memory_limit_in_bytes": 2 * LIMIT}
    pods.client.call("UpdateContainerResources", {"container_id": container, "linux": linux})
    assert unit_property(unit(container), "MemoryMax") == str(2 * LIMIT)
    pods.stop(container)
    pods.client.call("RemoveContainer", {"container_id": container})
    assert not is_loaded(unit(container))
    assert is_loaded(unit(pod))
    pods.remove_pod(pod)
    assert not is_loaded(unit(pod))
