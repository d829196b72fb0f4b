"""`ocirun install`: each engine reads what was written, and runs a container by it."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import run_command, wait_for
from support.docker import DOCKER_IMAGE, Docker
from support.engines import PODMAN_IMAGE, private_directory
from support.host import HostSnapshot
from support.pods import Pods

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.engines import Podman

pytestmark = [pytest.mark.engines, pytest.mark.not_with("runc", "has no such command")]

NO_NETWORK = ("--network", "none")


def install(runtime: Path, engine: str, *words: str, files: Path) -> str:
    return run_command([str(runtime), "install", engine, *words], files).ok().out


def test_docker(runtime_binary: Path, rootfs: Path) -> None:
    """The daemon takes it by reloading; without the default it has runc as ever."""
    facility.need(facility.docker)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        engine = Docker(base, runtime_binary, rootfs, settings={"runtimes": None, "default-runtime": None})
        try:
            written = (base / "daemon.json").read_text()
            change = partial(
                install, runtime_binary, "docker", "--config", str(base / "daemon.json"), files=base / "call"
            )
            for words, default in (((), "runc"), (("--default",), "ocirun")):
                change(*words)
                reload(engine, default)
                named = () if words else ("--runtime", "ocirun")
                assert (
                    engine.run("--name", f"c-{default}", *NO_NETWORK, *named, DOCKER_IMAGE, "echo", "ran").ok().out
                    == "ran\n"
                )
                assert engine.inspect(f"c-{default}", "{{.HostConfig.Runtime}}") == "ocirun"
            engine.remove_containers()
            change("--undo")
            assert (base / "daemon.json").read_text() == written
        finally:
            engine.close()
        before.assert_unchanged()


def reload(engine: Docker, default: str) -> None:
    """What `systemctl reload docker` does."""
    os.kill(engine.daemon.pid, signal.SIGHUP)
    template = "{{.DefaultRuntime}} {{range $name, $_ := .Runtimes}}{{$name}} {{end}}"
    wait_for(
        lambda: (
            (found := engine.call("info", "--format", template).ok().out.split())[0] == default and "ocirun" in found
        ),
        what="the reloaded configuration",
    )


def test_containerd(runtime_binary: Path, rootfs: Path) -> None:
    """Beside a user's own tables, which it still reads."""
    facility.need(facility.containerd)
    with private_directory() as base:
        before = HostSnapshot.take(scope=[base.name])
        write = partial(write_containerd, runtime_binary, base / "call")
        engine = Pods(base, runtime_binary, rootfs, "native" if facility.overlayfs() else "overlayfs", write=write)
        try:
            for handler in ("ocirun", ""):
                pod = engine.pod(handler=handler)
                assert engine.output(pod, "echo", "ran") == "ran\n"
                assert (base / "runtime" / "k8s.io" / pod).exists()
        finally:
            engine.close()
        before.assert_unchanged()


def write_containerd(runtime: Path, files: Path, config: Path) -> None:
    install(runtime, "containerd", "--config", str(config), "--default", files=files)


def in_mounts(folder: Path, *scripts: str) -> list[str]:
    """The command line that runs the rest of it where `folder` is /etc/containers, after these scripts."""
    lines = " && ".join([f"mount --bind {folder} /etc/containers", *scripts, 'exec "$@"'])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", lines, "sh"]


@pytest.mark.parametrize("words", [(), ("--default",)], ids=["named", "default"])
def test_podman(podman: Podman, runtime_binary: Path, tmp_path: Path, words: Sequence[str]) -> None:
    """In the folder of root that Podman looks into by itself."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    written = f"{runtime_binary} install podman {' '.join(words)} >&2"
    argv = podman.run_argv("--name", "named", *NO_NETWORK, PODMAN_IMAGE, "echo", "ran")
    at = argv.index("--runtime")
    argv[at : at + 2] = [] if words else ["--runtime", "ocirun"]
    env = {name: value for name, value in podman.env.items() if name != "CONTAINERS_CONF"}
    assert run_command([*in_mounts(folder, written), *argv], tmp_path / "call", env=env).ok().out == "ran\n"
    assert podman.inspect("named", "{{.OCIRuntime}}") == "ocirun"
    gone = [*in_mounts(folder, f"{runtime_binary} install podman --undo"), sys.executable, "-c", ""]
    run_command(gone, tmp_path / "call").ok()
    assert os.listdir(folder) == ["policy.json"]
