"""The suite as a program, and runtimes that do nothing right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conformance.left import nothing_is_left
from process.plain import PLAIN, as_plain_user, plain_user_namespace, reachable
from support.bundle import REPOSITORY
from support.facility import need, root
from support.runtime import runtime_path

from ocirun_conformance import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Suite = Callable[..., subprocess.CompletedProcess[str]]


SECONDS = 900 if os.environ.get("OCIRUN_LANE") else 100
"""Emulated machines are slow."""


@pytest.fixture
def suite() -> Suite:
    """Call `ocirun-conformance` with these words, bounded."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}/spec:{REPOSITORY}/conformance"}
        argv = [sys.executable, "-m", "ocirun_conformance", *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)

    return call


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], str]:
    """A runtime out of a line of sh."""

    def make(name: str, line: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def plain_suite() -> Iterator[Suite]:
    """The suite called by a plain user for the built program, from a folder where he may read and write."""
    need(root, plain_user_namespace)
    with reachable(runtime_path()) as copied, tempfile.TemporaryDirectory(prefix="ocirun-plain-") as name:
        folder = Path(name)
        for part in ("spec", "conformance"):
            shutil.copytree(REPOSITORY / part, folder / part)
        shutil.copy(probe.build(), folder / "probe")
        os.chown(folder, PLAIN, PLAIN)
        libraries = copied.parent.parent / "lib" / "ocirun" / "site-packages"
        path = f"{folder}/spec:{folder}/conformance:{libraries}"
        environment = {**os.environ, "PYTHONPATH": path, "HOME": name, "TMPDIR": name, "XDG_RUNTIME_DIR": name}
        python = os.path.realpath(sys.executable)

        def call(*words: str) -> subprocess.CompletedProcess[str]:
            options = ("--runtime", str(copied), "--probe", str(folder / "probe"), *words)
            argv = as_plain_user(python, "-B", "-m", "ocirun_conformance", *options)
            return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)

        yield call
        nothing_is_left(folder)
