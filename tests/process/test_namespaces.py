"""Namespaces: new ones, shared ones, and ones joined by path, of every type (config-linux.md, Namespaces)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import NAMESPACE_FILES, namespaces_of
from support import facility
from support.bundle import default_config, with_namespace, with_shell, with_user_namespace, without_namespace
from support.facility import requires
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

FILES = {
    "cgroup": "cgroup", "ipc": "ipc", "mount": "mnt", "network": "net", "pid": "pid", "uts": "uts", "user": "user",
    "time": "time",
}  # fmt: skip
LOOK = f"for n in {' '.join(NAMESPACE_FILES)}; do readlink /proc/self/ns/$n; done"


def seen(box: Box, config: dict[str, object]) -> dict[str, str]:
    """The namespaces that the program is in."""
    return dict(zip(NAMESPACE_FILES, box.shell(LOOK, config).split(), strict=True))


@pytest.fixture
def other(box: Box) -> Iterator[int]:
    """A process in new namespaces of every type, with another host name."""
    words = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--fork", "--kill-child"]
    ready = box.shared / "ready"
    script = f"hostname other; echo > {ready}; exec sleep 1000"
    with subprocess.Popen([facility.find_program("unshare") or "", *words[1:], "sh", "-c", script]) as process:
        try:
            wait_for(ready.exists)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            yield int(wait_for(children.read_text))
        finally:
            process.kill()


def test_new_and_shared_namespaces(box: Box) -> None:
    own = namespaces_of()
    found = seen(box, default_config())
    assert {name for name in found if found[name] == own[name]} == {"user"}
    config = without_namespace(default_config(), "network", "ipc", "cgroup", "uts", "pid")
    del config["hostname"]
    config["mounts"] = [one for one in config["mounts"] if one["destination"] not in ("/sys", "/dev/mqueue")]
    found = seen(box, config)
    assert {name for name in found if found[name] != own[name]} == {"mnt"}


@pytest.mark.parametrize("kind", ["cgroup", "ipc", "network", "uts", "pid"])
def test_joined_namespaces(box: Box, other: int, kind: str) -> None:
    path = f"/proc/{other}/ns/{FILES[kind]}"
    config = with_namespace(default_config(), kind, path)
    if kind == "uts":
        del config["hostname"]
    found = seen(box, config)
    theirs, own = namespaces_of(other), namespaces_of()
    assert {name for name in found if found[name] == theirs[name] != own[name]} == {FILES[kind]}
    assert {name for name in found if found[name] == own[name]} == {"user"}


def test_all_joined_at_once(box: Box, other: int) -> None:
    config = default_config()
    del config["hostname"]
    for kind in ("cgroup", "ipc", "network", "uts", "pid"):
        with_namespace(config, kind, f"/proc/{other}/ns/{FILES[kind]}")
    before = box.snapshot()
    assert box.shell("hostname", config) == "other\n"
    before.assert_unchanged()


def test_a_joined_mount_namespace(box: Box, other: int) -> None:
    config = with_namespace(default_config(), "mount", f"/proc/{other}/ns/mnt")
    found = seen(box, config)
    assert found["mnt"] == namespaces_of(other)["mnt"]


def test_exec_into_joined_namespaces(box: Box, other: int) -> None:
    config = with_namespace(default_config(), "uts", f"/proc/{other}/ns/uts")
    del config["hostname"]
    pid = box.start_sleeper(with_namespace(config, "pid", f"/proc/{other}/ns/pid"))
    found = dict(zip(NAMESPACE_FILES, box.exec(LOOK).ok().out.split(), strict=True))
    assert found == namespaces_of(pid)


@requires(facility.user_namespace)
def test_a_new_user_namespace(box: Box) -> None:
    os.chown(box.rootfs, 100000, 100000)
    script = "cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u /; cat /proc/self/setgroups; id -G"
    config = with_user_namespace(default_config(), 100000, 65536)
    config["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    out = box.shell(script, config).split()
    assert out == ["0", "100000", "65536"] * 2 + ["5", "0", "allow", "6", "7"]


@requires(facility.user_namespace)
def test_several_mappings(box: Box) -> None:
    config = with_user_namespace(default_config(), 100000, 10)
    config["linux"]["uidMappings"].append({"containerID": 10, "hostID": 300000, "size": 5})
    out = box.shell("cat /proc/self/uid_map; id -u", config).split()
    assert out == ["0", "100000", "10", "10", "300000", "5", "0"]


@requires(facility.user_namespace)
def test_exec_into_a_user_namespace(box: Box) -> None:
    pid = box.start_sleeper(with_user_namespace(default_config()))
    out = box.exec(f"{LOOK}; id -u").ok().out.split()
    assert dict(zip(NAMESPACE_FILES, out, strict=False)) == namespaces_of(pid)
    assert out[-1] == "0"
    assert box.exec("id -u; id -g", "--user", "8:9").ok().out.split() == ["8", "9"]


@requires(facility.user_namespace)
def test_a_joined_user_namespace(box: Box) -> None:
    first = box.start_sleeper(with_user_namespace(default_config()))
    config = with_namespace(default_config(), "user", f"/proc/{first}/ns/user")
    box.ident = box.name("second")
    found = seen(box, config)
    theirs = namespaces_of(first)
    assert {name for name in found if found[name] == theirs[name]} == {"user"}
    assert box.shell("cat /proc/self/uid_map; id -u", config).split() == ["0", "100000", "65536", "0"]


@requires(facility.user_namespace)
def test_a_container_in_the_namespaces_of_another(box: Box) -> None:
    """A pod: the second container shares user, network, ipc and uts with the first."""
    first = box.start_sleeper(with_user_namespace(default_config()))
    config = default_config()
    for kind in ("user", "network", "ipc", "uts"):
        with_namespace(config, kind, f"/proc/{first}/ns/{FILES[kind]}")
    del config["hostname"]
    box.ident = box.name("second")
    found = seen(box, config)
    theirs = namespaces_of(first)
    assert {name for name in found if found[name] == theirs[name]} == {"user", "net", "ipc", "uts"}


@requires(facility.time_namespace)
def test_a_new_time_namespace(box: Box) -> None:
    config = with_namespace(default_config(), "time")
    out = box.shell("readlink /proc/self/ns/time; readlink /proc/self/ns/time_for_children", config).split()
    assert out[0] == out[1] != os.readlink("/proc/self/ns/time")


@requires(facility.time_namespace)
def test_a_joined_time_namespace(box: Box) -> None:
    words = [facility.find_program("unshare") or "", "--time", "--boottime", "100000", "--fork", "--kill-child"]
    ready = box.shared / "ready"
    script = f"echo > {ready}; exec sleep 1000"
    with subprocess.Popen([*words, "sh", "-c", script]) as process:
        try:
            wait_for(ready.exists)
            path = f"/proc/{process.pid}/ns/time_for_children"
            config = with_namespace(default_config(), "time", path)
            out = box.shell("readlink /proc/self/ns/time; cut -d. -f1 /proc/uptime", config).split()
            assert out[0] == os.readlink(path)
            assert int(out[1]) >= 100000
        finally:
            process.kill()


def test_without_a_mount_namespace(box: Box) -> None:
    config = without_namespace(with_shell(default_config(), "echo /*"), "mount", "cgroup")
    config["mounts"] = []
    config["linux"].update(maskedPaths=[], readonlyPaths=[])
    before = box.snapshot()
    assert box.run(config).ok().out.split() == [f"/{path.name}" for path in sorted(box.rootfs.iterdir())]
    before.assert_unchanged()
