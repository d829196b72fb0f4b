"""Cgroup ownership where v1 is in use: nothing of a container's cgroups is given away (config-linux.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import default_config, with_cgroup, with_user_namespace
from support.facility import requires
from support.host import cgroup_mountpoints

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@requires(facility.cgroup_v1, facility.user_namespace)
def test_a_writable_view_of_v1_gives_nothing_away(box: Box) -> None:
    """Everything is there that would make a cgroup2 the container's."""
    config = with_user_namespace(with_cgroup(default_config(), f"/{box.ident}"))
    (mount,) = [each for each in config["mounts"] if each["type"] == "cgroup"]
    mount["options"].remove("ro")
    box.rootfs.parent.parent.chmod(0o755)
    box.start_sleeper(config)
    groups = [point / box.ident for point in cgroup_mountpoints() if (point / box.ident).exists()]
    assert len(groups) >= len(facility.V1_CONTROLLERS)
    found = [Path(where, name) for group in groups for where, _, files in os.walk(group) for name in (".", *files)]
    assert {(each.stat().st_uid, each.stat().st_gid) for each in found} == {(0, 0)}
    inside = box.exec("cd /sys/fs/cgroup; stat -c %u */. */tasks; mkdir pids/sub || echo kept").ok()
    assert sorted(set(inside.out.split())) == ["65534", "kept"]
