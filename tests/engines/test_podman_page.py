"""docs/engines/podman.md holds what these tests use, and its block works as it stands."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from support.bundle import REPOSITORY
from support.command import run_command
from support.engines import PODMAN_IMAGE as IMAGE
from support.rootless import ENGINE_TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from support.engines import Podman

pytestmark = pytest.mark.engines


def block() -> str:
    """The page's one block of TOML."""
    _, _, rest = (REPOSITORY / "docs" / "engines" / "podman.md").read_text().partition("```toml\n")
    return rest.partition("```")[0]


def test_the_block_is_what_the_tests_use() -> None:
    table = tomllib.loads(block())["engine"]
    assert table.pop("runtimes") == {"ocirun": ["/usr/local/bin/ocirun"]}
    assert table == tomllib.loads(ENGINE_TABLE)["engine"]


def test_the_runtime_by_its_name(podman: Podman, runtime_binary: Path, tmp_path: Path) -> None:
    text = podman.base.joinpath("containers.conf").read_text()
    (tmp_path / "containers.conf").write_text(text + block().replace("/usr/local/bin/ocirun", str(runtime_binary)))
    env = podman.env | {"CONTAINERS_CONF": str(tmp_path / "containers.conf")}
    argv = podman.run_argv("--name", "named", "--network", "none", IMAGE, "echo", "ran")
    argv[argv.index("--runtime") + 1] = "ocirun"
    assert run_command(argv, tmp_path / "call", env=env, timeout=60.0).ok().out == "ran\n"
    assert podman.inspect("named", "{{.OCIRuntime}}") == "ocirun"
