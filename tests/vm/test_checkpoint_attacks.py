"""What the conformance suite tries with the images of a checkpoint, on a kernel that Debian's CRIU knows."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from support.command import run_command

if TYPE_CHECKING:
    from process.box import Box


def test_no_attack_on_a_restore_succeeds(box: Box) -> None:
    argv = [sys.executable, "-m", "ocirun_conformance", "--runtime", str(box.runtime.path), "--security"]
    argv += ["--filter", "restore.", "--jobs", "1", "--timeout", "200", "--format", "json"]
    found = json.loads(run_command(argv, box.directory / "attacks", timeout=900).ok().out)["runtimes"][0]
    assert [each["outcome"] for each in found["cases"]] == ["pass"] * 3
