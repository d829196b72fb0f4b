"""Docker Swarm with the runtime as each node's default: on one node, and on two.

Each node is a dockerd in a network namespace of its own, so that Swarm's bridge and tunnels are not the machine's, and
the try to pull a local image fails at once. Services have no virtual addresses (`--endpoint-mode dnsrr`) and publish
nothing: kernels without IPVS have no other way.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import wait_for
from support.docker import Docker
from support.engines import private_directory
from support.host import HostSnapshot
from support.network import Space, ip, veth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engines

DEADLINE = 30.0
ADDRESSES = ("10.213.0.1", "10.213.0.2")
SCRIPT = "trap 'exit 0' TERM; echo version $VERSION; while :; do usleep 20000; done"
QUICK = (
    "--update-monitor",
    "200ms",
    "--rollback-monitor",
    "200ms",
    "--restart-delay",
    "100ms",
    "--stop-grace-period",
    "5s",
)
CREATE = ("service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr", *QUICK)


class Node:
    """A dockerd and the container engine's view of Swarm on it."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker

    def say(self, *words: str, stdin: bytes = b"") -> str:
        """What a docker command that succeeds prints."""
        return self.docker.call(*words, stdin=stdin).ok().out.strip()

    def id(self) -> str:
        """The node's id in its swarm."""
        return self.say("info", "--format", "{{.Swarm.NodeID}}")

    def containers(self, service: str) -> list[str]:
        """The running containers of a service on this node."""
        return self.say(
            "ps", "--quiet", "--no-trunc", "--filter", f"label=com.docker.swarm.service.name={service}"
        ).split()

    def wait_running(self, service: str, count: int) -> list[str]:
        """The containers, when as many run."""
        wait_for(lambda: len(self.containers(service)) == count, DEADLINE, f"{count} tasks of {service}")
        return self.containers(service)

    def versions(self, service: str) -> list[str]:
        """What VERSION is in each running container of a service."""
        own = "{{range .Config.Env}}{{println .}}{{end}}"
        lines = [self.docker.inspect(each, own).splitlines() for each in self.containers(service)]
        return [line.partition("=")[2] for each in lines for line in each if line.startswith("VERSION=")]

    def wait_update(self, service: str, state: str) -> None:
        """Until the update of a service is in this state."""
        template = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
        ask = ("service", "inspect", "--format", template, service)
        wait_for(lambda: self.say(*ask) == state, DEADLINE, f"{service} being {state}")

    def leave(self) -> None:
        """Remove all services, then leave; nothing happens on a node of no swarm."""
        state = self.say("info", "--format", "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}")
        if state == "active true":
            for service in self.say("service", "ls", "--quiet").split():
                self.say("service", "rm", service)
        if state != "inactive false":
            self.say("swarm", "leave", "--force")


@contextmanager
def node(runtime: Path, rootfs: Path, space: Space) -> Iterator[Node]:
    """One daemon with two images, `app:one` and `app:two`, that tell their name in VERSION."""
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        docker = Docker(base, runtime, rootfs, prefix=["nsenter", f"--net={space.path}"])
        for name in ("one", "two"):
            docker.call("import", "--change", f"ENV VERSION={name}", str(base / "rootfs.tar"), f"app:{name}").ok()
        try:
            yield Node(docker)
        finally:
            docker.close()
        before.assert_unchanged()


@pytest.fixture(scope="module")
def nodes(runtime_binary: Path, rootfs: Path) -> Iterator[tuple[Node, Node]]:
    """Two machines' worth of Docker, joined by a cable."""
    facility.need(facility.docker, veth)
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(Space())) for _ in range(2))
        ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(second.pid), pid=first.pid)
        for space, address in zip((first, second), ADDRESSES, strict=True):
            ip("address", "add", f"{address}/24", "dev", "cable", pid=space.pid)
            for interface in ("lo", "cable"):
                ip("link", "set", interface, "up", pid=space.pid)
        yield (
            stack.enter_context(node(runtime_binary, rootfs, first)),
            stack.enter_context(node(runtime_binary, rootfs, second)),
        )


@pytest.fixture
def manager(nodes: tuple[Node, Node]) -> Iterator[Node]:
    """A swarm of one node on the loopback."""
    single = nodes[0]
    single.say("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
    yield single
    single.leave()
    single.docker.remove_containers()


@pytest.fixture
def both(nodes: tuple[Node, Node]) -> Iterator[tuple[Node, Node]]:
    """A swarm of a manager and a worker."""
    manager, worker = nodes
    manager.say("swarm", "init", "--advertise-addr", ADDRESSES[0], "--listen-addr", f"{ADDRESSES[0]}:2377")
    token = manager.say("swarm", "join-token", "--quiet", "worker")
    words = ("--token", token, "--advertise-addr", ADDRESSES[1], "--listen-addr", f"{ADDRESSES[1]}:2377")
    worker.say("swarm", "join", *words, f"{ADDRESSES[0]}:2377")
    yield nodes
    for each in nodes:
        each.leave()
        each.docker.remove_containers()


def test_replicas_scale_and_end(manager: Node) -> None:
    manager.say(*CREATE, "--name", "web", "--replicas", "2", "app:one", "sh", "-c", SCRIPT)
    first = manager.wait_running("web", 2)
    assert [manager.docker.inspect(each, "{{.HostConfig.Runtime}}") for each in first] == ["tested"] * 2
    manager.say("service", "scale", "--detach", "web=3")
    assert set(first) < set(manager.wait_running("web", 3))
    manager.say("service", "scale", "--detach", "web=1")
    manager.wait_running("web", 1)
    # The lines of tasks that have gone may have gone with them.
    wait_for(lambda: "version one" in manager.say("service", "logs", "--raw", "web"), DEADLINE, "the log")
    manager.say("service", "rm", "web")
    wait_for(lambda: manager.say("ps", "--all", "--quiet") == "", DEADLINE, "no container")


def test_rolling_update_and_rollback(manager: Node) -> None:
    manager.say(*CREATE, "--name", "web", "--replicas", "2", "app:one", "sh", "-c", SCRIPT)
    manager.wait_running("web", 2)
    manager.say("service", "update", "--detach", "--no-resolve-image", "--image", "app:two", "web")
    manager.wait_update("web", "completed")
    assert manager.versions("web") == ["two"] * 2
    manager.say("service", "rollback", "--detach", "web")
    manager.wait_update("web", "rollback_completed")
    assert manager.versions("web") == ["one"] * 2


@pytest.mark.parametrize(
    ("command", "error"), [("sh -c 'exit 3'", "non-zero exit (3)"), ("no-such-program", "no-such-program")]
)
def test_update_that_fails_rolls_back(manager: Node, command: str, error: str) -> None:
    """Swarm hears of a program that ends, and of one that the runtime cannot start."""
    options = ("--replicas", "1", "--update-failure-action", "rollback", "--update-monitor", "2s")
    manager.say(*CREATE, *options, "--name", "web", "app:one", "sh", "-c", SCRIPT)
    kept = manager.wait_running("web", 1)
    argv = ("service", "update", "--detach", "--update-order", "start-first", "--args", command)
    manager.say(*argv, "web")
    manager.wait_update("web", "rollback_completed")
    (now,) = manager.wait_running("web", 1)
    assert "exit 3" not in manager.say("inspect", "--format", "{{json .Args}}", now)
    # One that has run for a moment may have taken the place of the old one.
    assert [now] == kept or error != "no-such-program"
    assert error in manager.say("service", "ps", "--no-trunc", "--format", "{{.Error}}", "web")


def test_task_that_is_killed_gets_a_successor(manager: Node) -> None:
    manager.say(*CREATE, "--name", "web", "--replicas", "2", "app:one", "sh", "-c", SCRIPT)
    killed, kept = manager.wait_running("web", 2)
    manager.say("kill", killed)
    wait_for(lambda: killed not in manager.containers("web"), DEADLINE, "the end of the killed one")
    assert kept in manager.wait_running("web", 2)


def test_flags_of_a_service_reach_the_runtime(manager: Node) -> None:
    """runc 1.1.5 fails now and then: its `exec` gives the soft limit of nofile as Go has raised it."""
    manager.say("secret", "create", "password", "-", stdin=b"secret\n")
    manager.say("config", "create", "settings", "-", stdin=b"setting\n")
    options = ["--limit-memory", "32m", "--limit-cpu", "0.5", "--limit-pids", "50", "--cap-drop", "ALL", "--read-only"]
    options += ["--user", "1000:1001", "--group", "77", "--workdir", "/srv", "--hostname", "somewhere", "--init"]
    options += ["--secret", "source=password,mode=0444", "--config", "settings", "--env", "A=1"]
    options += ["--mount", "type=tmpfs,target=/scratch,tmpfs-size=1m", "--sysctl", "kernel.msgmax=9000"]
    options += ["--ulimit", "nofile=100:200", "--network", "host"]
    manager.say(*CREATE, *options, "--name", "web", "app:one", "sh", "-c", SCRIPT)
    container = manager.wait_running("web", 1)[0]
    script = "id -u; id -g; pwd; hostname; cat /proc/1/comm /run/secrets/password /settings /proc/sys/kernel/msgmax; "
    script += "touch /new 2>/dev/null || echo refused; touch /scratch/new; echo $A; ulimit -n; "
    script += "set -- $(grep CapBnd /proc/self/status); echo $2"
    said = manager.say("exec", container, "sh", "-c", script).split()
    expected = ["1000", "1001", "/srv", "somewhere", "docker-init", "secret", "setting", "9000", "refused", "1", "100"]
    assert said == [*expected, "0" * 16]
    if not facility.cgroup_v1():
        files = [
            f"/sys/fs/cgroup/{file}"
            for file in ("memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "pids/pids.max")
        ]
        assert manager.say("exec", container, "cat", *files).split() == [str(32 << 20), "50000", "50"]


def test_global_service_is_on_each_node(both: tuple[Node, Node]) -> None:
    both[0].say(*CREATE, "--name", "agent", "--mode", "global", "app:one", "sh", "-c", SCRIPT)
    for each in both:
        each.wait_running("agent", 1)


def test_replicas_spread_and_a_drained_node_hands_over(both: tuple[Node, Node]) -> None:
    manager, worker = both
    manager.say(*CREATE, "--name", "web", "--replicas", "4", "app:one", "sh", "-c", SCRIPT)
    for each in both:
        each.wait_running("web", 2)
    name = worker.id()
    manager.say("node", "update", "--availability", "drain", name)
    worker.wait_running("web", 0)
    manager.wait_running("web", 4)
    manager.say("node", "update", "--availability", "active", name)
    manager.say("service", "update", "--detach", "--force", "--no-resolve-image", "--image", "app:two", "web")
    manager.wait_update("web", "completed")
    for each in both:
        assert each.versions("web") == ["two"] * 2


def test_tasks_on_two_nodes_talk_over_an_overlay_network(both: tuple[Node, Node]) -> None:
    manager, worker = both
    manager.say("network", "create", "--driver", "overlay", "--subnet", "10.214.0.0/24", "mesh")
    manager.say(*CREATE, "--name", "web", "--mode", "global", "--network", "mesh", "app:one", "sh", "-c", SCRIPT)
    here, there = (each.wait_running("web", 1)[0] for each in both)
    address = worker.docker.inspect(there, "{{.NetworkSettings.Networks.mesh.IPAddress}}")
    reach = ("exec", here, "ping", "-c", "1", "-W", "1", address)
    wait_for(lambda: manager.docker.call(*reach).code == 0, DEADLINE, "an answer of the other node's task")
    assert address.startswith("10.214.0.")
    manager.say("service", "rm", "web")
    for each in both:
        each.wait_running("web", 0)
    wait_for(lambda: manager.docker.call("network", "rm", "mesh").code == 0, DEADLINE, "the network's end")
