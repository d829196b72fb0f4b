"""The rule of tests/conftest.py: in continuous integration a skip needs a lane."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(
    ("reason", "environ", "code"),
    [
        ("not this lane: needs another kernel", {"CI": "true"}, 0),
        ("some package is missing", {"CI": "true"}, 1),
        ("some package is missing", {"OCIRUN_CI": "true"}, 1),
        ("some package is missing", {}, 0),
        ("not this lane: needs another kernel", {"OCIRUN_LANE": "vm"}, 0),
        ("needs the cgroup v1 controllers memory", {"OCIRUN_LANE": "vm"}, 0),
        ("needs the cgroup v1 controllers memory", {"CI": "true"}, 1),
        ("some package is missing", {"OCIRUN_LANE": "vm"}, 1),
        ("not this lane: needs another kernel", {"OCIRUN_LANE": "systemd"}, 0),
        ("some package is missing", {"OCIRUN_LANE": "systemd"}, 1),
    ],
)
@pytest.mark.parametrize("module_level", [False, True])
def test_a_skip_without_a_lane_fails_the_run(
    tmp_path: Path, reason: str, environ: dict[str, str], code: int, module_level: bool
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_one.py").write_text("def test_passes(): pass\n")
    skip = f"pytest.skip({reason!r}, allow_module_level=True)"
    body = skip if module_level else f"def test_skipped():\n    {skip}\n"
    (tmp_path / "test_two.py").write_text(f"import pytest\n{body}\n")
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "OCIRUN_CI", "OCIRUN_LANE")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert ("skips that no lane explains" in done.stdout) == (code == 1)
