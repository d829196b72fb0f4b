"""What people do with Podman's containers and pods while these live."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command import process_alive, wait_for
from support.console import Interactive
from support.engines import PODMAN_IMAGE as IMAGE
from support.engines import Podman, remove_empty_cgroups, remove_plain_directories
from support.host import cgroup_mountpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engines

DEFAULT_PARENT = "libpod_parent"
KUBE = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: kube
spec:
  containers:
  - name: one
    image: {IMAGE}
    imagePullPolicy: Never
    command: ["/bin/sh", "-c", "echo $WORD; echo of-$HOSTNAME; exec sleep 1000"]
    env: [{{name: WORD, value: said}}]
    securityContext: {{runAsUser: 1000, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
    resources: {{limits: {{memory: 64Mi}}}}
  - name: two
    image: {IMAGE}
    imagePullPolicy: Never
    command: ["/bin/sleep", "1000"]
"""


def start(podman: Podman, name: str, *options: str, script: str = "exec sleep 1000") -> int:
    """A running container; the pid of its init."""
    podman.run("--detach", "--name", name, "--network", "none", *options, IMAGE, "sh", "-c", script).ok()
    return int(podman.inspect(name, "{{.State.Pid}}"))


def test_pod_shares_namespaces_and_has_a_life(podman: Podman) -> None:
    infra = ["--infra-image", IMAGE, "--infra-command", "sleep 1000", "--share", "ipc,net,uts,pid"]
    words = ["--name", "pod", "--network", "none", "--hostname", "shared", "--cgroup-parent", f"/{podman.cgroup}"]
    podman.call("pod", "create", *words, *infra).ok()
    for name in ("one", "two"):
        podman.call("create", "--pod", "pod", "--name", name, IMAGE, "sleep", "1000").ok()
    podman.call("pod", "start", "pod").ok()
    assert podman.call("exec", "one", "hostname").ok().out == "shared\n"
    assert podman.call("exec", "two", "ps").ok().out.count("sleep 1000") == 3
    pids = [podman.inspect(name, "{{.State.Pid}}") for name in ("one", "two")]
    for kind, same in (("ipc", True), ("net", True), ("uts", True), ("pid", True), ("mnt", False)):
        assert (len({os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids}) == 1) == same, kind
    podman.call("pod", "pause", "pod").ok()
    podman.call("pod", "unpause", "pod").ok()
    podman.call("pod", "restart", "pod").ok()
    podman.call("pod", "kill", "pod").ok()
    wait_for(lambda: podman.inspect("one", "{{.State.Status}}") == "exited", what="the end of one")
    podman.call("pod", "start", "pod").ok()
    assert podman.inspect("two", "{{.State.Status}}") == "running"
    podman.remove_pod("pod")
    assert podman.call("ps", "--all", "--quiet").ok().out == ""


@pytest.fixture
def in_default_parent(podman: Podman) -> Iterator[None]:
    """A pod by `play kube`, or without infra, has cgroups below one of Podman's own in the root of the hierarchies."""
    had = Path("/sys/fs/cgroup/pids", DEFAULT_PARENT).exists()
    yield
    podman.remove_containers()
    if not had:
        procs = [point / DEFAULT_PARENT / "conmon/cgroup.procs" for point in cgroup_mountpoints()]
        wait_for(lambda: not any(each.exists() and each.read_text() for each in procs), what="the end of the monitors")
        remove_empty_cgroups(DEFAULT_PARENT)
        remove_plain_directories(DEFAULT_PARENT)


@pytest.mark.usefixtures("in_default_parent")
def test_pod_without_infra(podman: Podman) -> None:
    podman.call("pod", "create", "--name", "bare", "--infra=false", "--cgroup-parent", f"/{podman.cgroup}").ok()
    line = podman.argv("run", "--rm", "--pod", "bare", "--network", "none", IMAGE, "echo", "here")
    assert podman.call(*line[len(podman.argv()) :]).ok().out == "here\n"
    podman.remove_pod("bare")


@pytest.mark.usefixtures("in_default_parent")
def test_play_kube(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(KUBE)
    podman.call("play", "kube", "--network", "none", str(tmp_path / "pod.yaml")).ok()
    wait_for(lambda: "of-kube" in podman.call("logs", "kube-one").ok().out, what="the words of the first container")
    assert podman.call("logs", "kube-one").ok().out.split() == ["said", "of-kube"]
    seen = podman.call(
        "exec", "kube-one", "/bin/sh", "-c", "id -u; touch /x 2>/dev/null || echo kept; grep CapBnd /proc/self/status"
    )
    assert seen.ok().out.split() == ["1000", "kept", "CapBnd:", "0" * 16]
    assert podman.inspect("kube-two", "{{.State.Status}}") == "running"


def test_healthcheck(podman: Podman) -> None:
    start(podman, "health", "--health-cmd", "test -e /fine", "--health-interval", "disable")
    podman.call("healthcheck", "run", "health").expect(1)
    podman.call("exec", "health", "touch", "/fine").ok()
    podman.call("healthcheck", "run", "health").ok()
    assert podman.inspect("health", "{{.State.Health.Status}}") == "healthy"


def test_restart_policy(podman: Podman) -> None:
    """The monitor starts it again after each end of itself, as often as was said."""
    start(podman, "again", "--restart", "on-failure:2", script="echo once >> /log; exit 3")
    wait_for(lambda: podman.inspect("again", "{{.RestartCount}} {{.State.Status}}") == "2 exited", 20.0, "two restarts")
    podman.call("cp", "again:/log", str(podman.base / "log")).ok()
    assert (podman.base / "log").read_text() == "once\n" * 3


def test_init_that_is_killed_is_seen(podman: Podman) -> None:
    pid = start(podman, "victim")
    os.kill(pid, signal.SIGKILL)
    assert podman.call("wait", "victim").ok().out == "137\n"
    podman.call("restart", "victim").ok()
    assert process_alive(int(podman.inspect("victim", "{{.State.Pid}}")))


@pytest.mark.parametrize(("options", "code"), [([], 137), (["--stop-signal", "USR1"], 7)])
def test_stop(podman: Podman, options: list[str], code: int) -> None:
    """KILL when the signal of the container did nothing; with --init the signal goes through."""
    script = "trap '' TERM; trap 'exit 7' USR1; echo ready; while :; do usleep 20000; done"
    start(podman, "stopped", *options, script=script)
    wait_for(lambda: "ready" in podman.call("logs", "stopped").ok().out, what="the container being ready")
    podman.call("stop", "--time", "1" if code == 137 else "10", "stopped").ok()
    assert podman.inspect("stopped", "{{.State.ExitCode}}") == str(code)


def test_looking(podman: Podman) -> None:
    """top, stats, diff, port and inspect of a running container."""
    pid = start(podman, "seen")
    assert "sleep 1000" in podman.call("top", "seen", "hpid", "args").ok().out
    assert str(pid) in podman.call("top", "seen", "hpid", "args").ok().out
    (stats,) = json.loads(podman.call("stats", "--no-stream", "--format", "json", "seen").ok().out)
    assert stats["name"] == "seen"
    assert stats["pids"] == "1"
    assert podman.inspect("seen", "{{.OCIRuntime}}") == podman.options[1]


def test_copy_commit_rename(podman: Podman, tmp_path: Path) -> None:
    start(podman, "old")
    (tmp_path / "in").write_text("content\n")
    podman.call("cp", str(tmp_path / "in"), "old:/srv/file").ok()
    podman.call("rename", "old", "new").ok()
    assert podman.call("exec", "new", "cat", "/srv/file").ok().out == "content\n"
    podman.call("cp", "new:/srv/file", str(tmp_path / "out")).ok()
    assert (tmp_path / "out").read_text() == "content\n"
    podman.call("commit", "--quiet", "new", "localhost/committed:test").ok()
    done = podman.run("--rm", "--network", "none", "localhost/committed:test", "cat", "/srv/file").ok()
    assert done.out == "content\n"
    podman.call("rmi", "--force", "localhost/committed:test").ok()


def test_attach(podman: Podman) -> None:
    start(podman, "attached", "--interactive", script="read line; echo got $line; exit 6")
    # What attach itself ends with depends on whether it or the container's monitor is first.
    assert podman.call("attach", "attached", stdin=b"typed\n").out.split() == ["got", "typed"]
    assert podman.call("wait", "attached").ok().out == "6\n"


def test_exec_options(podman: Podman) -> None:
    start(podman, "entered", "--cap-drop", "all")
    words = ("--user", "7:8", "--workdir", "/srv", "--env", "ONE=1")
    done = podman.call("exec", *words, "entered", "sh", "-c", "echo $(id -u):$(id -g) $(pwd) $ONE").ok()
    assert done.out == "7:8 /srv 1\n"
    assert podman.call("exec", "--interactive", "entered", "cat", stdin=b"line\n").ok().out == "line\n"
    done = podman.call("exec", "--privileged", "entered", "grep", "CapEff", "/proc/self/status").ok()
    assert int(done.out.split()[1], 16) > 0
    argv = podman.argv("exec", "--tty", "--interactive", "entered", "sh", "-c", "tty; stty size; exit 9")
    with Interactive(argv, env=podman.env) as program:
        assert program.wait(30.0) == 9
    assert program.terminal.text.split() == ["/dev/pts/0", "24", "80"]


def test_exec_where_it_cannot_be(podman: Podman) -> None:
    """Refused at once in a paused and in a stopped container; nothing hangs, and it can be used afterwards."""
    start(podman, "still")
    podman.call("pause", "still").ok()
    refused = podman.call("exec", "still", "true")
    assert refused.code in (125, 126, 255)
    assert "running" in refused.err
    podman.call("unpause", "still").ok()
    podman.call("exec", "still", "true").ok()
    podman.call("stop", "--time", "0", "still").ok()
    refused = podman.call("exec", "still", "true")
    assert refused.code in (125, 126, 255)
    assert "running" in refused.err


def test_two_deletes_at_once(podman: Podman) -> None:
    """Each ends with success or says that the container is no more."""
    start(podman, "twice")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: podman.call("rm", "--force", "--time", "0", "twice"), range(2)))
    assert 0 in {each.code for each in done}
    assert all(each.code == 0 or "no such container" in each.err for each in done), [each.err for each in done]
    assert podman.call("ps", "--all", "--quiet").ok().out == ""


def test_execs_while_the_container_stops(podman: Podman) -> None:
    start(podman, "busy")
    with ThreadPoolExecutor(7) as pool:
        execs = [pool.submit(podman.call, "exec", "busy", "usleep", "200000") for _ in range(6)]
        stopped = pool.submit(podman.call, "stop", "--time", "0", "busy")
        stopped.result().ok()
        assert all(each.result().code in (0, 125, 126, 137, 255) for each in execs)
    podman.call("rm", "busy").ok()
