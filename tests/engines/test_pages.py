"""The pages of docs/engines hold what the tests use, and their blocks work as they stand.

All tests of the CRI plugin start containerd with the blocks of its page (`support.pods`).
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import pytest
from support.command import run_command
from support.engines import CONTAINERD_IMAGE, PODMAN_IMAGE
from support.pages import INSTALLED, containerd_runtimes, engine_call, fenced
from support.pods import HANDLER
from support.rootless import ENGINE_TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from support.engines import Containerd, Podman
    from support.pages import Block
    from support.pods import Pods

pytestmark = pytest.mark.engines


def test_podman_s_block_is_what_the_tests_use() -> None:
    (block,) = fenced("podman.md", "toml")
    table = tomllib.loads(block)["engine"]
    assert table.pop("runtimes") == {"ocirun": [INSTALLED]}
    assert table == tomllib.loads(ENGINE_TABLE)["engine"]


def test_podman_finds_the_runtime_by_its_name(podman: Podman, runtime_binary: Path, tmp_path: Path) -> None:
    (block,) = fenced("podman.md", "toml")
    text = podman.base.joinpath("containers.conf").read_text()
    (tmp_path / "containers.conf").write_text(text + block.replace(INSTALLED, str(runtime_binary)))
    env = podman.env | {"CONTAINERS_CONF": str(tmp_path / "containers.conf")}
    argv = podman.run_argv("--name", "named", "--network", "none", PODMAN_IMAGE, "echo", "ran")
    argv[argv.index("--runtime") + 1] = "ocirun"
    assert run_command(argv, tmp_path / "call", env=env, timeout=60.0).ok().out == "ran\n"
    assert podman.inspect("named", "{{.OCIRuntime}}") == "ocirun"


@pytest.mark.executes("README.md", 3)
def test_readme_s_line_for_podman(podman: Podman, runtime_binary: Path, blocks: list[Block], tmp_path: Path) -> None:
    own = podman.run_argv("--network", "none")
    program, *words = engine_call(blocks[0], runtime_binary, PODMAN_IMAGE, *own[own.index("run") + 1 :])
    argv = [program, *podman.options, *words]
    assert run_command(argv, tmp_path / "call", env=podman.env, timeout=60.0).ok().out == "hello\n"


@pytest.mark.executes("README.md", 5)
def test_readme_s_line_for_containerd(containerd: Containerd, blocks: list[Block], tmp_path: Path) -> None:
    own = ["--snapshotter", containerd.snapshotter, "--runc-root", str(containerd.runc_root)]
    own += ["--fifo-dir", str(containerd.base / "fifo")]
    _program, *words = engine_call(blocks[0], containerd.runtime, CONTAINERD_IMAGE, *own)
    assert run_command(containerd.argv(*words), tmp_path / "call", timeout=60.0).ok().out == "hello\n"


def test_containerd_has_the_runtimes_of_its_page(pods: Pods, runtime_binary: Path) -> None:
    answer = pods.client.call("Status", {"verbose": True})
    known = json.loads(answer["info"]["config"])["containerd"]
    assert known["defaultRuntimeName"] == HANDLER
    assert sorted(known["runtimes"]) == ["ocirun", "runc"]
    assert known["runtimes"][HANDLER]["options"]["BinaryName"] == str(runtime_binary)
    assert known["runtimes"][HANDLER]["options"]["SystemdCgroup"] is False
    tables = tomllib.loads("\n".join(containerd_runtimes()))["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]
    assert tables["default_runtime_name"] == HANDLER


def test_a_pod_without_a_handler_has_the_default_runtime(pods: Pods) -> None:
    pod = pods.pod(handler="")
    assert pods.output(pod, "echo", "ran") == "ran\n"
    assert [each.name for each in (pods.base / "runtime" / "k8s.io").iterdir() if each.name == pod] == [pod]


def test_a_runtime_class_names_the_handler() -> None:
    runtime_class, pod = fenced("kubernetes.md", "yaml")
    assert f"\nhandler: {HANDLER}\n" in runtime_class
    assert f"\n  runtimeClassName: {HANDLER}\n" in pod
