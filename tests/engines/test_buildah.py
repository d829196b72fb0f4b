"""Builds whose RUN steps are containers of the runtime: buildah and `podman build`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import run_command
from support.engines import PODMAN_IMAGE as IMAGE
from support.facility import need

if TYPE_CHECKING:
    from pathlib import Path

    from support.engines import Podman

pytestmark = pytest.mark.engines

BUILT = "localhost/built:test"
SCRATCH = """\
FROM scratch
ADD rootfs.tar /
ENV WORD=said
WORKDIR /srv
RUN echo $WORD > word && chown 7:8 word
USER 7
RUN ["/bin/sh", "-c", "id -u > /tmp/user"]
"""
FAILING = f"FROM {IMAGE}\nRUN exit 3\n"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def buildah() -> str:
    """buildah is installed."""
    return "" if facility.find_program("buildah") else "buildah is not installed"


def build(podman: Podman, folder: Path, recipe: str, program: str, code: int = 0) -> str:
    """What a build prints as errors; `program` is podman or buildah, with the store of `podman`."""
    os.link(podman.base / "rootfs.tar", folder / "rootfs.tar")
    (folder / "Containerfile").write_text(recipe)
    # What buildah calls the parent is the containers' own cgroup: it must have no children.
    own = ("--cgroup-parent", f"/{podman.cgroup}/libpod-build")
    words = ("--isolation", "oci", "--network", "none", *own, *LIMITS, "--tag", BUILT)
    if program == "podman":
        return podman.call("build", *words, str(folder)).expect(code).err
    store = ["--root", str(podman.base / "root"), "--runroot", str(podman.base / "run"), "--storage-driver", "vfs"]
    runtime = ("--runtime", podman.options[1])
    argv = ["buildah", *store, "bud", *runtime, *words, str(folder)]
    return run_command(argv, podman.base / "calls" / "buildah", env=podman.env, timeout=60.0).expect(code).err


@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_build_from_scratch(podman: Podman, tmp_path: Path, program: str) -> None:
    """Each RUN sees the environment, the directory and the user of the lines before it."""
    need(*([buildah] if program == "buildah" else []))
    build(podman, tmp_path, SCRATCH, program)
    script = "cat /srv/word /tmp/user; stat -c %u:%g /srv/word"
    done = podman.run("--rm", "--network", "none", BUILT, "/bin/sh", "-c", script).ok()
    assert done.out.split() == ["said", "7", "7:8"]
    podman.call("rmi", "--force", BUILT).ok()


@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_a_step_that_fails(podman: Podman, tmp_path: Path, program: str) -> None:
    need(*([buildah] if program == "buildah" else []))
    assert "exit status 3" in build(podman, tmp_path, FAILING, program, 3)
