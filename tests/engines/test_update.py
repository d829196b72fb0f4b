"""Docker and Podman change the limits of a running container, each in its own way.

Docker hands the new values to containerd's shim, which calls the runtime's `update --resources -`; Podman writes them
into a file and calls `update --resources=FILE`. The kernel's files of the container's cgroups tell what came of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import wait_for
from support.docker import DOCKER_IMAGE
from support.engines import PODMAN_IMAGE
from support.facility import requires
from support.host import cgroup_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.docker import Docker
    from support.engines import Podman

pytestmark = pytest.mark.engines

MIB = 1 << 20
WORDS = ("--detach", "--network", "none", "--memory", "64m", "--memory-swap", "64m", "--cpus", "0.9", "--name")
WAITING = ("sleep", "600")
V1 = {
    "memory": "memory.limit_in_bytes",
    "memsw": "memory.memsw.limit_in_bytes",
    "reservation": "memory.soft_limit_in_bytes",
    "quota": "cpu.cfs_quota_us",
    "period": "cpu.cfs_period_us",
    "pids": "pids.max",
    "cpus": "cpuset.cpus",
}
CONTROLLERS = {"memsw": "memory", "reservation": "memory", "quota": "cpu", "period": "cpu", "cpus": "cpuset"}


def limits(pid: int) -> dict[str, str]:
    """The limits by short names; `memsw` is the sum of memory and swap, as the options of the engines mean it."""
    if facility.cgroup_v2():
        return {
            name: (cgroup_of(pid, CONTROLLERS.get(name, name)) / file).read_text().strip() for name, file in V1.items()
        }
    group = cgroup_of(pid, "")
    found = {name: (group / f"{name}.max").read_text().strip() for name in ("memory", "cpu", "pids")}
    quota, period = found.pop("cpu").split()
    swap = (group / "memory.swap.max").read_text().strip()
    memsw = swap if "max" in (swap, found["memory"]) else str(int(found["memory"]) + int(swap))
    reservation = (group / "memory.low").read_text().strip()
    cpus = (group / "cpuset.cpus").read_text().strip()
    return {**found, "memsw": memsw, "reservation": reservation, "quota": quota, "period": period, "cpus": cpus}


def swap_of(docker: Docker) -> Callable[[int], dict[str, str]]:
    """What becomes of a number of MiB for `--memory-swap`.

    On cgroup v2 Docker looks for memory.swap.max in its own cgroup, and passes on no limit for swap when it does not
    find that, as in the root.
    """
    known = docker.call("info", "--format", "{{.SwapLimit}}").ok().out.strip() == "true"
    return lambda number: {"memsw": str(number * MIB) if known else "max"}


def test_docker_update_changes_only_what_is_named(docker: Docker) -> None:
    swap = swap_of(docker)
    docker.run(*WORDS, "changed", "--pids-limit", "50", DOCKER_IMAGE, *WAITING).ok()
    pid = int(docker.inspect("changed", "{{.State.Pid}}"))
    before = limits(pid)
    assert before.items() >= {"memory": str(64 * MIB), **swap(64), "quota": "90000", "pids": "50"}.items()
    docker.call("update", "--memory", "200m", "--memory-swap", "300m", "changed").ok()
    raised = {**before, "memory": str(200 * MIB), **swap(300)}
    assert limits(pid) == raised
    docker.call("update", "--pids-limit", "30", "--cpuset-cpus", "0", "changed").ok()
    assert limits(pid) == {**raised, "pids": "30", "cpus": "0"}
    docker.call("update", "--memory", "32m", "--memory-swap", "48m", "--cpus", "0.5", "changed").ok()
    lowered = {"memory": str(32 * MIB), **swap(48), "quota": "50000", "pids": "30", "cpus": "0"}
    assert limits(pid) == {**raised, **lowered}
    stats = docker.call("stats", "--no-stream", "--format", "{{json .}}", "changed").ok().out
    assert json.loads(stats)["MemUsage"].endswith(" / 32MiB")


def test_docker_update_takes_a_limit_away(docker: Docker) -> None:
    docker.run(*WORDS, "freed", "--pids-limit", "50", DOCKER_IMAGE, *WAITING).ok()
    pid = int(docker.inspect("freed", "{{.State.Pid}}"))
    before = limits(pid)
    docker.call("update", "--pids-limit", "-1", "freed").ok()
    assert limits(pid) == {**before, "pids": "max"}


def test_docker_update_of_a_paused_container_leaves_it_paused(docker: Docker) -> None:
    docker.run(*WORDS, "still", DOCKER_IMAGE, *WAITING).ok()
    pid = int(docker.inspect("still", "{{.State.Pid}}"))
    docker.call("pause", "still").ok()
    docker.call("update", "--cpus", "0.5", "still").ok()
    assert limits(pid)["quota"] == "50000"
    group = cgroup_of(pid, "freezer")
    frozen = "freezer.state" if facility.cgroup_v2() else "cgroup.freeze"
    assert (group / frozen).read_text().strip() in ("FROZEN", "1")
    docker.call("unpause", "still").ok()
    assert docker.call("exec", "still", "echo", "awake").ok().out == "awake\n"


@requires(facility.cgroup_v1)
def test_docker_shows_why_an_update_failed(docker: Docker) -> None:
    """cgroup v1 refuses a limit below what is in use and cannot be taken away; v2 kills instead."""
    script = "dd if=/dev/zero of=/dev/shm/used bs=1M count=20; exec sleep 600"
    docker.run(*WORDS, "full", DOCKER_IMAGE, "sh", "-c", script).ok()
    pid = int(docker.inspect("full", "{{.State.Pid}}"))
    group = cgroup_of(pid, "memory")
    wait_for(lambda: int((group / "memory.usage_in_bytes").read_text()) > 20 * MIB, what="20 MiB in use")
    failed = docker.call("update", "--memory", "10m", "--memory-swap", "10m", "full").expect(1)
    # The words of errno, or runc's for it.
    assert any(words in failed.err for words in ("device or resource busy", "unable to set memory limit"))
    assert docker.inspect("full", "{{.State.Status}}") == "running"
    assert limits(pid)["memory"] == str(64 * MIB)


def test_podman_update_changes_only_what_is_named(podman: Podman) -> None:
    podman.run(*WORDS, "changed", "--pids-limit", "50", PODMAN_IMAGE, *WAITING).ok()
    pid = int(podman.inspect("changed", "{{.State.Pid}}"))
    before = limits(pid)
    assert before.items() >= {"memory": str(64 * MIB), "memsw": str(64 * MIB), "quota": "90000", "pids": "50"}.items()
    podman.call("update", "--memory", "200m", "--memory-swap", "300m", "changed").ok()
    raised = {**before, "memory": str(200 * MIB), "memsw": str(300 * MIB)}
    assert limits(pid) == raised
    podman.call("update", "--cpuset-cpus", "0", "--cpus", "0.5", "changed").ok()
    assert limits(pid) == {**raised, "cpus": "0", "quota": "50000"}
    podman.call("update", "--memory-reservation", "16m", "changed").ok()
    assert limits(pid) == {**raised, "cpus": "0", "quota": "50000", "reservation": str(16 * MIB)}
    assert podman.call("exec", "changed", "echo", "there").ok().out == "there\n"
