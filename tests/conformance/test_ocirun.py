"""ocirun keeps every duty that this host can show, in the judgement of the whole suite."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from support import facility
from support.facility import need
from support.runtime import runtime_path

if TYPE_CHECKING:
    from conformance.conftest import Suite

pytestmark = [pytest.mark.process, pytest.mark.privileged, pytest.mark.slow]

OF_THE_HOST = re.compile(
    r"needs |no cgroup controller|this kernel|\w+ is not on cgroup2 here|.*on cgroup v2|cgroup v2 has"
)
"""Why a case may not be run; a reason that is about the runtime would hide what it lacks."""
ELSEWHERE = (
    "cgroup_",
    "delegation.",
    "credentials.",
    "limits.",
    "idmap.",
    "device_rules.",
    "scheduling.",
    "operations.",
)
"""Beginnings of the cases that emulated machines, which are slow, are there for."""


def test_no_duty_is_broken(suite: Suite) -> None:
    need(facility.root)
    some = [word for each in ELSEWHERE for word in ("--filter", each)] if os.environ.get("OCIRUN_LANE") else []
    done = suite("--runtime", str(runtime_path()), "--format", "json", *some)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    verdicts = [each for runtime in document["runtimes"] for each in runtime["cases"]]
    assert verdicts
    assert [each for each in verdicts if each["outcome"] in ("fail", "error")] == []
    not_run = {each["sentence"] for each in verdicts if each["outcome"] == "not run"}
    assert {reason for reason in not_run if not OF_THE_HOST.match(reason)} == set()
    assert [each for each in verdicts if each.get("left")] == []
