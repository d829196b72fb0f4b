"""What the probe wrote, also when it was ended too soon."""

from __future__ import annotations

import pytest

from ocirun_conformance.case import Fails
from ocirun_conformance.probe import Report


def test_a_program_that_did_less_than_asked_fails_the_case() -> None:
    report = Report([{"action": "read", "error": None}])
    assert report[0]["action"] == "read"
    with pytest.raises(Fails, match="1 of its actions only"):
        _ = report[1]
    with pytest.raises(Fails, match="has not said what it sees"):
        _ = report.facts


def test_mount_points_are_unescaped() -> None:
    line = r"30 1 0:25 / /with\040blank rw,nosuid shared:7 - tmpfs none rw,size=1k"
    mounts = Report([{"action": "report", "mountinfo": f"{line}\n"}]).mounts
    assert mounts["/with blank"]["options"] == ["rw", "nosuid"]
    assert mounts["/with blank"]["propagation"] == ["shared:7"]
