"""A few fixed cases of each target, and all that was kept. `./dev fuzz --minutes N` looks for more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fuzz import raw
from fuzz.run import FEW
from support import facility
from support.bundle import REPOSITORY
from support.runtime import runtime_path

pytestmark = [pytest.mark.process, pytest.mark.privileged, pytest.mark.security]


@pytest.mark.parametrize("name", FEW)
def test_a_few_cases(name: str) -> None:
    facility.need(facility.root, facility.busybox)
    if not runtime_path().exists():
        pytest.skip("needs ./dev build")
    paths = [str(REPOSITORY / folder) for folder in ("tests", "runtime", "spec")]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.run", "--only", name],
        env={**os.environ, "PYTHONPATH": ":".join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: " in done.stdout


@pytest.mark.parametrize("name", raw.TARGETS)
def test_what_was_kept(name: str) -> None:
    assert raw.replay(name)
