"""The suite as a program, and runtimes that do nothing right."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
