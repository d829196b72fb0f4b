"""What the specification says about namespaces beside joining them: which are refused, which are inherited, and what a
mapping of ids leaves alone (config-linux.md, Namespaces and User namespace mappings)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, namespaces_of, one_sentence
from support import facility
from support.bundle import Config, default_config, with_namespace, with_shell, with_user_namespace, without_namespace
from support.facility import requires
from support.network import Space

from ocirun_spec.names import NAMESPACES

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

TYPES = sorted(NAMESPACES)
ONE = {"containerID": 0, "hostID": 100000, "size": 10}


def refused(box: Box, config: Config) -> str:
    """The sentence of a `create` that changes nothing."""
    box.write(config)
    before = box.snapshot()
    sentence = one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    before.assert_unchanged()
    return sentence.removeprefix(f"create {box.ident}: ")


def named(config: Config, kind: str) -> int:
    """Where the namespace stands in the list."""
    return [entry["type"] for entry in config["linux"]["namespaces"]].index(kind)


@pytest.mark.parametrize("kind", TYPES)
def test_a_path_of_another_type_is_an_error(box: Box, kind: str) -> None:
    other = "uts" if kind == "network" else "network"
    path = f"/proc/self/ns/{NAMESPACES[other][1]}"
    config = with_namespace(default_config(), kind, path)
    config.pop("hostname")
    expected = f"/linux/namespaces/{named(config, kind)}/path: {path} is a {other} namespace"
    assert refused(box, config).startswith(expected)


@pytest.mark.parametrize("kind", TYPES)
def test_a_type_that_stands_there_twice_is_an_error(box: Box, kind: str) -> None:
    config = with_user_namespace(default_config()) if kind == "user" else with_namespace(default_config(), kind)
    config["linux"]["namespaces"].append({"type": kind})
    where = len(config["linux"]["namespaces"]) - 1
    assert refused(box, config).endswith(f": /linux/namespaces/{where}/type: the {kind} namespace is given twice")


def test_a_relative_path_is_an_error(box: Box) -> None:
    config = with_namespace(default_config(), "network", "proc/self/ns/net")
    assert "is not absolute" in refused(box, config)


def test_what_is_not_listed_is_the_runtimes(box: Box) -> None:
    """All eight types at once; without a mount namespace the container has no /proc to look at itself."""
    config = without_namespace(default_config(), *TYPES)
    config.pop("hostname")
    config["mounts"] = []
    config["linux"].update(maskedPaths=[], readonlyPaths=[])
    pid = box.start_sleeper(config)
    assert namespaces_of(pid) == namespaces_of()
    assert Path(f"/proc/{pid}/ns/time").readlink() == Path("/proc/self/ns/time").readlink()
    assert box.exec("hostname").ok().out.strip() == os.uname().nodename
    box.runtime.kill_and_delete(box.ident)


def test_a_namespace_that_only_a_file_holds(box: Box) -> None:
    """As engines and `ip netns` keep one: a bind mount of the namespace, and no process in it."""
    space, file = Space(), box.directory / "netns"
    file.touch()
    subprocess.run(["mount", "--bind", space.path, str(file)], check=True, timeout=20)
    try:
        inode = file.stat().st_ino
        space.close()
        out = box.shell("readlink /proc/self/ns/net", with_namespace(default_config(), "network", str(file)))
        assert out == f"net:[{inode}]\n"
    finally:
        subprocess.run(["umount", str(file)], check=True, timeout=20)


def mapped(uids: list[Any], gids: list[Any]) -> Config:
    """A user namespace with these mappings, each (containerID, hostID, size)."""
    config = with_namespace(default_config(), "user")
    for member, rows in (("uidMappings", uids), ("gidMappings", gids)):
        config["linux"][member] = [dict(zip(("containerID", "hostID", "size"), row, strict=True)) for row in rows]
    return config


@requires(facility.user_namespace)
def test_each_number_of_a_mapping_is_seen_inside(box: Box) -> None:
    config = mapped([(0, 100000, 5), (1000, 200000, 1)], [(0, 300000, 7), (50, 400000, 2)])
    config["process"]["user"] = {"uid": 1000, "gid": 51}
    out = box.shell("cat /proc/self/uid_map; echo; cat /proc/self/gid_map; id -u; id -g", config).split()
    assert out == ["0", "100000", "5", "1000", "200000", "1", "0", "300000", "7", "50", "400000", "2", "1000", "51"]
    config["process"]["user"] = {"uid": 0, "gid": 0}
    pid = box.start_sleeper(config)
    status = os.stat(f"/proc/{pid}")
    assert (status.st_uid, status.st_gid) == (100000, 300000)


@requires(facility.user_namespace)
def test_files_keep_their_owners(box: Box) -> None:
    """The mapping is the kernel's: no file of the image, of a mount or of the bundle is given to the mapped root."""
    config = box.with_shared(with_user_namespace(default_config()))
    (box.rootfs / "shared").mkdir()
    (box.rootfs / "mine").touch()
    os.chown(box.rootfs / "mine", 100000, 100007)
    (box.shared / "of-root").touch()
    box.directory.chmod(0o755)
    box.write(with_shell(config, "stat -c %u:%g /mine /etc/passwd /bin/busybox / /shared/of-root"))

    def owners() -> dict[str, tuple[int, int]]:
        paths = [box.bundle, *box.bundle.rglob("*"), box.shared, *box.shared.rglob("*")]
        return {str(path): (path.lstat().st_uid, path.lstat().st_gid) for path in paths}

    before, changes = owners(), (box.rootfs / "etc" / "passwd").stat().st_ctime_ns
    out = box.runtime.run(box.ident, box.bundle).ok().out.split()
    assert out == ["0:7", "65534:65534", "65534:65534", "65534:65534", "65534:65534"]
    after = owners()
    assert {path: after[path] for path in before} == before
    assert (box.rootfs / "etc" / "passwd").stat().st_ctime_ns == changes, "nor changed and changed back"


@pytest.mark.parametrize(
    ("pointer", "value", "where", "words"),
    [
        ("/linux/uidMappings", [], "/linux/uidMappings", "needs uidMappings"),
        ("/linux/gidMappings", [], "/linux/gidMappings", "needs gidMappings"),
        ("/linux/uidMappings", [ONE | {"size": 0}], "/linux/uidMappings/0/size", "no ids"),
        ("/linux/uidMappings", [ONE, ONE | {"hostID": 5}], "/linux/uidMappings/1/containerID", "overlaps"),
        ("/linux/gidMappings", [ONE, ONE | {"containerID": 50}], "/linux/gidMappings/1/hostID", "overlaps"),
        ("/linux/gidMappings", [ONE | {"hostID": (1 << 32) - 1}], "/linux/gidMappings/0/hostID", "exceed"),
        ("/linux/uidMappings", [ONE | {"containerID": 1 << 32}], "/linux/uidMappings/0/containerID", ""),
        ("/linux/uidMappings", [{"containerID": 0, "hostID": 1}], "/linux/uidMappings/0/size", "missing"),
        ("/linux/namespaces/6/path", "/proc/self/ns/user", "/linux/uidMappings", "has its uidMappings already"),
    ],
)
def test_mappings_that_cannot_be(box: Box, pointer: str, value: Any, where: str, words: str) -> None:
    sentence = refused(box, changed(with_user_namespace(default_config()), pointer, value))
    assert f"{where}: " in sentence
    assert words in sentence


def test_mappings_without_a_user_namespace(box: Box) -> None:
    config = without_namespace(with_user_namespace(default_config()), "user")
    assert "/linux/uidMappings: uidMappings need a user namespace" in refused(box, config)


@pytest.mark.parametrize(
    ("offsets", "namespace", "where", "words"),
    [
        ({"boottime": {"secs": 1}}, None, "/linux/timeOffsets", "need a time namespace"),
        ({"boottime": {"secs": 1}}, "/proc/self/ns/time", "/linux/timeOffsets", "has its offsets already"),
        ({"realtime": {"secs": 1}}, "", "/linux/timeOffsets/realtime", "neither monotonic nor boottime"),
        ({"boottime": {"secs": "1"}}, "", "/linux/timeOffsets/boottime/secs", ""),
        ({"boottime": {"nanosecs": -1}}, "", "/linux/timeOffsets/boottime/nanosecs", ""),
    ],
)
def test_offsets_that_cannot_be(box: Box, offsets: Any, namespace: str | None, where: str, words: str) -> None:
    config = changed(default_config(), "/linux/timeOffsets", offsets)
    if namespace is not None:
        with_namespace(config, "time", namespace or None)
    sentence = refused(box, config)
    assert f"{where}: " in sentence
    assert words in sentence
