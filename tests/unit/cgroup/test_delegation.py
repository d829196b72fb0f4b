"""When a cgroup is handed over, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from ocirun.linux.cgroup import delegation, mounts


def config(**changes: Any) -> dict[str, Any]:
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid"], **changes}
    return {"linux": {"namespaces": [{"type": "cgroup"}]}, "mounts": [mount]}


def test_a_writable_view_in_a_namespace_of_its_own() -> None:
    assert mounts.is_writable(config())
    assert mounts.is_writable(config(options=None))
    assert mounts.is_writable(config(type="cgroup2"))


@pytest.mark.parametrize(
    "changes",
    [
        {"options": ["nosuid", "ro"]},
        {"options": ["rro"]},
        {"destination": "/cgroup"},
        {"source": "/srv/cgroup"},
        {"type": "bind"},
        {"type": "tmpfs"},
    ],
)
def test_another_mount_is_no_such_view(changes: dict[str, Any]) -> None:
    assert not mounts.is_writable(config(**changes))


@pytest.mark.parametrize(
    "namespaces", [None, [], [{"type": "user"}], [{"type": "cgroup", "path": "/proc/1/ns/cgroup"}]]
)
def test_without_a_new_namespace_there_is_no_such_view(namespaces: list[dict[str, str]] | None) -> None:
    assert not mounts.is_writable({**config(), "linux": {"namespaces": namespaces}})


@pytest.mark.parametrize(
    ("uid", "outside"), [(0, 1000), (1, 100000), (1000, 100999), (65535, 165534), (65536, None), (70000, 5)]
)
def test_the_host_s_id_of_a_mapped_user(uid: int, outside: int | None) -> None:
    text = b"         0       1000          1\n         1     100000      65535\n     70000 5 1\n"
    assert delegation.host_uid(text, uid) == outside


def test_without_a_process_nobody_becomes_the_owner() -> None:
    assert delegation.adopt({}) == []
    assert delegation.adopt({"process": {}}) == []
    (step,) = delegation.adopt({"process": {"user": {"uid": 7, "gid": 8}}})
    assert step.args == (7,)
