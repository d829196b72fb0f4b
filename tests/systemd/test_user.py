"""--systemd-cgroup for a plain user: a scope of his own service manager, with the limits that are delegated to him."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import Box, one_sentence
from process.plain import config_of, plain_box
from support.runtime import runtime_path
from support.systemd import RUNTIME_DIRECTORY, USER, USER_CGROUP, as_user, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


@pytest.fixture
def box(manager: None) -> Iterator[Box]:
    """A box of the user `rootless`, with the systemd driver."""
    del manager
    with plain_box(runtime_path(), "", USER, as_user, ["--systemd-cgroup"]) as found:
        yield found


def his(unit: str, name: str) -> str:
    """A property of a unit of his."""
    return asked(*as_user("systemctl", "--user", "show", "--property", name, "--value", unit))


def test_a_scope_with_limits(box: Box) -> None:
    config = config_of(box, "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max; sleep 1000")
    config["linux"]["cgroupsPath"] = f"app.slice:made:{box.ident}"
    config["linux"]["resources"] = {"pids": {"limit": 10}, "memory": {"limit": 64 * MIB}}
    box.run(config, "--detach").ok()
    unit = f"made-{box.ident}.scope"
    group = USER_CGROUP / "app.slice" / unit
    assert (group / "memory.max").read_text() == f"{64 * MIB}\n"
    assert (group / "pids.max").read_text() == "10\n"
    assert (his(unit, "MemoryMax"), his(unit, "TasksMax")) == (str(64 * MIB), "10")
    assert box.exec("cat /proc/self/cgroup").ok().out == "0::/\n"
    box.runtime.call("pause", box.ident).ok()
    assert "frozen 1" in (group / "cgroup.events").read_text()
    box.runtime.call("resume", box.ident).ok()
    box.runtime.delete(box.ident, force=True).ok()
    assert his(unit, "LoadState") == "not-found"
    assert not group.exists()


def test_without_a_path_it_is_in_the_user_s_slice(box: Box) -> None:
    box.run(config_of(box, "sleep 1000"), "--detach").ok()
    assert (USER_CGROUP / "user.slice" / f"ocirun-{box.ident}.scope" / "cgroup.procs").read_text()


def test_what_is_not_delegated_is_refused(box: Box) -> None:
    """hugetlb is no controller that systemd passes on."""
    config = config_of(box, "true")
    config["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}
    sentence = one_sentence(box.run(config).expect(1))
    assert "/linux/resources/hugepageLimits/0/limit: " in sentence
    assert "needs the controller hugetlb" in sentence
    assert "permission denied" in sentence
    assert his(f"ocirun-{box.ident}.scope", "LoadState") == "not-found"


def test_without_a_manager_it_is_an_error_that_names_the_places(box: Box) -> None:
    box.runtime.path.write_text(box.runtime.path.read_text().replace(str(RUNTIME_DIRECTORY), "/run/nobody"))
    sentence = one_sentence(box.run(config_of(box, "true")).expect(1))
    assert "reach the user's systemd: /run/nobody/bus: no such file or directory" in sentence
