"""The attacks: each is tried or says why not, ocirun withstands all, and old runtimes fall to those known of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support import facility
from support.facility import need
from support.runtime import runtime_path

from ocirun_conformance import catalogue
from ocirun_conformance.case import all_cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.conftest import Suite

ROUNDS = "8"
"""Few, for the tests' sake; `./dev security` runs 300."""
HOLES = {
    "runc": (
        "1.1.5",
        {
            "input.a_malformed_user[7]": "CVE-2026-30892",
            "links.a_linked_dev[image-absolute]": "CVE-2026-41579",
            "links.a_mask_of_the_images_null[link]": "CVE-2025-31133",
            "links.a_null_device_that_is_a_volume[root]": "CVE-2026-88265",
        },
    ),
    "crun": (
        "1.8.1",
        {
            "descriptors.a_working_directory_behind_a_descriptor[0]": "CVE-2024-21626",
            "links.a_linked_device[console]": "CVE-2026-88264",
            "links.a_volume_in_proc[sys]": "CVE-2019-16884",
        },
    ),
}
"""By program: the version that has them, and the cases that must show them."""


def verdicts(text: str) -> list[dict[str, Any]]:
    return [each for runtime in json.loads(text)["runtimes"] for each in runtime["cases"]]


@pytest.mark.meta
def test_every_attack_is_tried_or_has_a_reason() -> None:
    cited = {ident for case in all_cases(security=True).values() for ident in case.requirements}
    known = set(catalogue.attacks())
    assert known - cited - set(catalogue.unjudged()) == set()
    assert cited - known == set()
    assert cited & set(catalogue.unjudged()) == set()


@pytest.mark.security
@pytest.mark.privileged
@pytest.mark.slow
def test_no_attack_succeeds(suite: Suite) -> None:
    need(facility.root)
    done = suite("--runtime", str(runtime_path()), "--security", "--rounds", ROUNDS, "--format", "json")
    found = verdicts(done.stdout)
    assert [each for each in found if each["outcome"] in ("fail", "error") or each["left"]] == []
    assert done.returncode == 0, done.stderr
    not_run = {each["name"].partition(".")[0] for each in found if each["outcome"] == "not run"}
    assert not_run <= {"restore", "rights"}, not_run


@pytest.mark.security
@pytest.mark.privileged
@pytest.mark.slow
def test_no_attack_of_a_plain_users_container_succeeds(plain_suite: Suite) -> None:
    done = plain_suite("--rootless", "--security", "--rounds", "2", "--format", "json")
    found = verdicts(done.stdout)
    assert [each for each in found if each["outcome"] in ("fail", "error") or each["left"]] == []
    assert done.returncode == 0, done.stderr
    assert {each["sentence"] for each in found if each["outcome"] == "not run"} == {"needs root"}
    assert sum(each["outcome"] == "pass" for each in found) > 50


@pytest.mark.security
@pytest.mark.privileged
@pytest.mark.parametrize("name", HOLES)
def test_known_holes_are_found(suite: Suite, script: Callable[[str, str], str], name: str) -> None:
    need(facility.root)
    version, cases = HOLES[name]
    program = shutil.which(name, path=facility.ADMIN_PATH)
    said = program and subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if not program or not said or f"{name} version {version}" not in said:
        pytest.skip(f"not this lane: needs {name} {version}")
    # crun takes no hybrid of cgroup v1 and v2
    hiding = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec $0 "$@"'
    runtime = script(name, f"exec unshare -m --propagation private sh -c '{hiding}' {program} \"$@\"")
    filters = [word for case in cases for word in ("--filter", case)]
    done = suite("--runtime", runtime, "--security", "--rounds", ROUNDS, "--format", "json", *filters)
    found = {each["name"]: each["outcome"] for each in verdicts(done.stdout)}
    assert found == dict.fromkeys(cases, "fail"), done.stdout[-4000:]
