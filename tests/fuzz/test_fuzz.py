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


@pytest.fixture(scope="module")
def few() -> str:
    """What one run of all targets prints: a line for each that found nothing."""
    facility.need(facility.root, facility.busybox)
    if not runtime_path().exists():
        pytest.skip("needs ./dev build")
    paths = [str(REPOSITORY / folder) for folder in ("tests", "runtime", "spec")]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.run", *(f"--only={name}" for name in FEW)],
        env={**os.environ, "PYTHONPATH": ":".join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", FEW)
def test_a_few_cases(few: str, name: str) -> None:
    assert f"{name}: {FEW[name]} cases, " in few, few


@pytest.mark.parametrize("name", raw.TARGETS)
def test_what_was_kept(name: str) -> None:
    assert raw.replay(name)
