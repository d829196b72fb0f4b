"""What Podman's options become that it hands to the runtime as annotations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.engines import PODMAN_IMAGE as IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Podman

pytestmark = pytest.mark.engines


@pytest.fixture
def groups() -> Iterator[set[str]]:
    """Supplementary groups of whoever calls Podman."""
    before = os.getgroups()
    os.setgroups([7031, 7032])
    yield {"7031", "7032"}
    os.setgroups(before)


@pytest.mark.not_with("runc", "does not know run.oci.keep_original_groups")
@pytest.mark.parametrize("user", ["0", "65534:65534"])
def test_keep_groups(podman: Podman, groups: set[str], user: str) -> None:
    """Podman writes additionalGids of its own beside it."""
    words = ("--rm", "--network", "none", "--user", user)
    script = ("grep", "Groups", "/proc/self/status")
    assert groups.isdisjoint(podman.run(*words, IMAGE, *script).ok().out.split())
    assert set(podman.run(*words, "--group-add", "keep-groups", IMAGE, *script).ok().out.split()) == {
        "Groups:",
        *groups,
    }
