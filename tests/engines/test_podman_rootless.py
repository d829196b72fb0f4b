"""Podman of a user without privileges: the runtime runs as root of his user namespace, and without cgroups on v1."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import run_command, wait_for
from support.engines import PODMAN_IMAGE as IMAGE
from support.engines import private_directory
from support.facility import find_program, need, requires
from support.host import HostSnapshot
from support.rootless import FIRST, GROUP, USER, RootlessPodman

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engines

NONE = ("--network", "none")


def tools() -> str:
    """What the user's namespace and network need."""
    missing = [name for name in ("newuidmap", "slirp4netns", "setpriv") if not find_program(name)]
    return f"{', '.join(missing)} is not installed" if missing else ""


@pytest.fixture(scope="module")
def engine(runtime_binary: Path, rootfs: Path) -> Iterator[RootlessPodman]:
    """A user's Podman with the image imported."""
    need(facility.podman, facility.user_namespace, tools)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = RootlessPodman(base, runtime_binary, rootfs)
        yield engine
        engine.close()
        before.assert_unchanged()


@pytest.fixture
def rootless(engine: RootlessPodman) -> Iterator[RootlessPodman]:
    """It for one test, which leaves no container."""
    yield engine
    engine.remove_containers()


def shell(rootless: RootlessPodman, script: str, *options: str) -> list[str]:
    """The words that a script prints."""
    return rootless.run("--rm", *NONE, *options, IMAGE, "sh", "-c", script).ok().out.split()


def start(rootless: RootlessPodman, name: str, *options: str, script: str = "exec sleep 1000") -> None:
    rootless.run("--detach", "--name", name, *NONE, *options, IMAGE, "sh", "-c", script).ok()


def test_run(rootless: RootlessPodman) -> None:
    """Output, exit codes, ids."""
    script = "cat /proc/self/uid_map; id -u; echo to-err >&2; exit 3"
    done = rootless.run("--rm", *NONE, IMAGE, "sh", "-c", script).expect(3)
    assert done.out.split() == ["0", str(USER), "1", "1", str(FIRST), "65536", "0"]
    assert done.err.splitlines()[-1] == "to-err"
    assert "ocirun" not in done.err
    rootless.run("--rm", *NONE, IMAGE, "no-such-program").expect(127)
    rootless.run("--rm", *NONE, IMAGE, "/etc/passwd").expect(126)


@pytest.mark.not_with("runc", "has no such command")
def test_installed(rootless: RootlessPodman, runtime_binary: Path) -> None:
    """`ocirun install` writes into a file of the user's own folder, which Podman reads."""
    copied = rootless.base / "runtime" / "bin" / runtime_binary.name
    env = {name: value for name, value in rootless.env.items() if name != "CONTAINERS_CONF"}
    call = partial(run_command, files=rootless.base / "installed", env=env)
    call([*rootless.become, str(copied), "install", "podman", "--default"]).ok()
    argv = rootless.run_argv("--name", "named", *NONE, IMAGE, "echo", "ran")
    at = argv.index("--runtime")
    assert call([*argv[:at], *argv[at + 2 :]]).ok().out == "ran\n"
    assert rootless.inspect("named", "{{.OCIRuntime}}") == "ocirun"
    call([*rootless.become, str(copied), "install", "podman", "--undo"]).ok()
    assert not (rootless.base / ".config/containers/containers.conf.d").exists()


def test_a_life(rootless: RootlessPodman) -> None:
    start(rootless, "service", script="trap 'exit 5' TERM; echo ready; while :; do usleep 20000; done")
    wait_for(lambda: "ready" in rootless.call("logs", "service").ok().out, what="the container being ready")
    assert rootless.call("exec", "service", "cat", "/proc/1/comm").ok().out == "sh\n"
    rootless.call("exec", "service", "sh", "-c", "exit 4").expect(4)
    assert "sh" in rootless.call("top", "service", "args").ok().out
    rootless.call("stop", "--time", "10", "service").ok()
    assert rootless.inspect("service", "{{.State.ExitCode}}") == "5"
    rootless.call("start", "service").ok()
    rootless.call("kill", "service").ok()
    assert rootless.call("wait", "service").ok().out == "137\n"
    rootless.call("rm", "service").ok()


def test_terminal(rootless: RootlessPodman) -> None:
    script = "tty; stty size; read line; echo got $line; exit 6"
    with rootless.interactive("--rm", "-it", *NONE, IMAGE, "sh", "-c", script) as program:
        program.terminal.read_until("24 80", 30.0)
        program.terminal.send("typed\r")
        program.terminal.read_until("got typed", 30.0)
        assert program.wait(30.0) == 6


def test_volume_and_owners(rootless: RootlessPodman) -> None:
    """Root's files are the user's, those of others belong to his subordinate ids."""
    data = rootless.base / "data"
    data.mkdir()
    os.chown(data, USER, USER)
    shell(rootless, "touch /data/root; touch /data/other; chown 5:6 /data/other", "--volume", f"{data}:/data")
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in data.iterdir()}
    assert owners == {"root": (USER, USER), "other": (FIRST + 4, FIRST + 5)}


def test_keep_id(rootless: RootlessPodman) -> None:
    """The user is himself in the container, also for his files."""
    script = "id -u; id -g; stat -c %u /home-of-his; cat /proc/self/uid_map"
    words = shell(rootless, script, "--userns", "keep-id", "--volume", f"{rootless.base}:/home-of-his")
    assert words[:3] == [str(USER)] * 3
    assert words[3:9] == ["0", "1", str(USER), str(USER), "0", "1"]


def test_nomap(rootless: RootlessPodman) -> None:
    """The user's own id is not in the container."""
    assert shell(rootless, "cat /proc/self/uid_map", "--userns", "nomap") == ["0", "1", "65536"]


def test_auto(rootless: RootlessPodman) -> None:
    """Podman takes ids out of the user's range that no other container has."""
    start(rootless, "first", "--userns", "auto:size=500")
    taken = rootless.call("exec", "first", "cat", "/proc/self/uid_map").ok().out.split()
    mapped = shell(rootless, "cat /proc/self/uid_map; touch /made; stat -c %u /made", "--userns", "auto:size=400")
    assert (taken[0], taken[2], mapped[0], mapped[2:]) == ("0", "500", "0", ["400", "0"])
    first, second = int(taken[1]), int(mapped[1])
    assert first + 500 <= second or second + 400 <= first


@pytest.mark.not_with("runc", "does not know run.oci.keep_original_groups")
def test_keep_groups(rootless: RootlessPodman) -> None:
    """What his group may read he may read, by crun's annotation, which Podman writes."""
    secret = rootless.base / "of-the-group"
    secret.write_text("secret\n")
    os.chown(secret, 0, GROUP)
    secret.chmod(0o640)
    volume = ("--volume", f"{secret}:/secret:ro")
    script = "cat /secret 2>/dev/null || echo none"
    assert shell(rootless, script, *volume) == ["none"]
    assert shell(rootless, script, *volume, "--group-add", "keep-groups") == ["secret"]


@pytest.mark.parametrize(("network", "device"), [("none", "lo"), ("slirp4netns", "tap0")])
def test_network(rootless: RootlessPodman, network: str, device: str) -> None:
    done = rootless.run("--rm", "--network", network, IMAGE, "ls", "/sys/class/net").ok()
    assert device in done.out.split()


def test_network_host(rootless: RootlessPodman) -> None:
    done = rootless.run("--rm", "--network", "host", IMAGE, "readlink", "/proc/self/ns/net").ok()
    assert done.out.strip() == os.readlink("/proc/self/ns/net")


def test_pod(rootless: RootlessPodman) -> None:
    infra = ["--infra-image", IMAGE, "--infra-command", "sleep 1000", "--share", "net,ipc,uts"]
    rootless.call("pod", "create", "--name", "pod", *NONE, "--hostname", "shared", *infra).ok()
    rootless.call("run", "--detach", "--pod", "pod", "--name", "one", IMAGE, "sleep", "1000").ok()
    assert rootless.call("exec", "one", "hostname").ok().out == "shared\n"
    rootless.remove_pod("pod")
    assert rootless.call("ps", "--all", "--quiet").ok().out == ""


@requires(facility.cgroup_v1)
def test_limits_are_ignored_on_v1(rootless: RootlessPodman) -> None:
    """Podman says so and asks the runtime for none; it also refuses to pause."""
    done = rootless.run("--rm", *NONE, "--memory", "64m", "--pids-limit", "50", IMAGE, "echo", "runs").ok()
    assert done.out == "runs\n"
    assert "Resource limits are not supported and ignored on cgroups V1 rootless systems" in done.err
    start(rootless, "service")
    assert "can not pause" in rootless.call("pause", "service").expect(125).err


def test_privileged_is_not_more_than_the_user(rootless: RootlessPodman) -> None:
    script = "mount -t tmpfs x /mnt && echo mounted; mknod /x c 1 3 2>/dev/null || echo refused"
    assert shell(rootless, script, "--privileged") == ["mounted", "refused"]


def test_build(rootless: RootlessPodman, tmp_path: Path) -> None:
    """`podman build`: the command of RUN is a container of this runtime."""
    recipe = rootless.base / "recipe"
    recipe.mkdir()
    (recipe / "Containerfile").write_text(f"FROM {IMAGE}\nRUN echo $(id -u) > /made\n")
    names = ("--isolation", "oci", "--network", "none", "--tag", "localhost/built:test")
    rootless.call("build", *names, str(recipe)).ok()
    assert rootless.run("--rm", *NONE, "localhost/built:test", "cat", "/made").ok().out == "0\n"
    rootless.call("rmi", "--force", "localhost/built:test").ok()


def test_the_machines_files_are_as_before(rootless: RootlessPodman, tmp_path: Path) -> None:
    """The harness: the user is known inside the calls alone."""
    known = run_command([*rootless.become, "cat", "/etc/subuid"], tmp_path / "call").ok().out
    assert known == f"plain:{FIRST}:65536\n"
    assert f"plain:{FIRST}" not in Path("/etc/subuid").read_text()
