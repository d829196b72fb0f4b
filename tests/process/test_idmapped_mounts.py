"""The options idmap and ridmap and a mount's own mappings: owners as the container sees them, and as they are kept."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from process.box import Box, one_sentence
from process.mounting import image, last, loop_device, mounted, mounts_in
from support import facility
from support.bundle import default_config, with_bind, with_mount, with_namespace, with_shell, with_user_namespace
from support.facility import need
from support.runtime import Runtime, runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged, pytest.mark.usefixtures("tmpfs_can_be_mapped")]

HOST = 100000
"""What the container's user namespace maps its root to."""


def mapping(container: int, host: int, size: int = 100) -> list[dict[str, int]]:
    return [{"containerID": container, "hostID": host, "size": size}]


def with_mappings(config: Config, uids: list[dict[str, int]], gids: list[dict[str, int]]) -> Config:
    """Mappings of its own for the last mount."""
    config["mounts"][-1] |= {"uidMappings": uids, "gidMappings": gids}
    return config


def fill(place: Path) -> None:
    """A file of the host's 3:4, in a folder in which anybody may make one."""
    (place / "file").write_text("content\n")
    os.chown(place / "file", 3, 4)
    place.chmod(0o777)


@pytest.fixture(scope="module")
def tmpfs_can_be_mapped(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Linux 6.3 and later; tests/vm has what older kernels can do."""
    need(facility.root, facility.busybox, facility.user_namespace)
    folder = tmp_path_factory.mktemp("probe")
    with Runtime(runtime_path(), folder / "root", folder / "calls") as runtime:
        probe = Box(runtime, folder)
        config = with_mount(default_config(), "/made", "tmpfs", "tmpfs", "idmap")
        if "mount_setattr: invalid argument" in probe.run(with_mappings(config, mapping(0, 5), mapping(0, 5))).err:
            pytest.skip("needs a kernel whose tmpfs can be id-mapped")


@pytest.fixture(params=["ext4", "tmpfs"])
def source(request: pytest.FixtureRequest, box: Box) -> Iterator[Path]:
    """A filesystem of the host's, with a tmpfs below it at ``sub``."""
    with ExitStack() as stack:
        what = ["-t", "tmpfs", "tree"]
        if request.param == "ext4":
            what = ["-t", "ext4", stack.enter_context(loop_device(image(box.directory / "image")))]
        top = stack.enter_context(mounted(box.directory / "tree", *what))
        if request.param == "ext4":
            (top / "lost+found").rmdir()
        fill(top)
        fill(stack.enter_context(mounted(top / "sub", "-t", "tmpfs", "tree")))
        for place in (box.directory, *box.directory.parents[:1]):
            place.chmod(0o755)
        yield top


def owners(box: Box, config: Config, *places: str) -> list[str]:
    """Who owns the files in these folders of the container, and then a file that its root has made in each."""
    script = ";".join(f"stat -c %u:%g {place}/file; touch {place}/made; stat -c %u:%g {place}/made" for place in places)
    return box.shell(script, config).split()


def owner(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_own_mappings(box: Box, source: Path, option: str) -> None:
    """containerID is the id in the filesystem, hostID the one that the mount shows (here without a user namespace)."""
    config = with_bind(default_config(), source, "/bound", "bind", option)
    with_mappings(config, mapping(0, 500), mapping(0, 600))
    config["process"]["user"] = {"uid": 510, "gid": 610}
    assert owners(box, config, "/bound") == ["503:604", "510:610"]
    assert owner(source / "made") == (10, 10)
    assert "idmapped" in mounts_in(box, config)["/bound"].options


def test_several_ranges(box: Box, source: Path) -> None:
    config = with_bind(default_config(), source, "/bound", "bind", "idmap")
    with_mappings(config, [*mapping(0, 50, 3), *mapping(3, 7, 1)], [*mapping(0, 60, 4), *mapping(4, 8, 1)])
    assert box.shell("stat -c %u:%g /bound/file", config) == "7:8\n"
    with_mappings(config, mapping(0, 50, 3), mapping(4, 8, 1))
    assert box.shell("stat -c %u:%g /bound/file", config) == "65534:8\n", "an id without a mapping is nobody's"


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_the_mappings_of_the_container(box: Box, source: Path, option: str) -> None:
    """Without mappings of the mount; without the option the files are nobody's."""
    config = with_user_namespace(default_config(), HOST)
    with_bind(config, source, "/bound", "bind", option)
    with_bind(config, source, "/plain", "bind")
    (box.rootfs / "bound").mkdir()
    (box.rootfs / "plain").mkdir()
    assert owners(box, config, "/bound") == ["3:4", "0:0"]
    assert owner(source / "made") == (0, 0)
    assert box.shell("stat -c %u:%g /plain/file", config) == "65534:65534\n"


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_own_mappings_go_before_the_container_s(box: Box, source: Path, option: str) -> None:
    config = with_bind(with_user_namespace(default_config(), HOST), source, "/bound", "bind", option)
    with_mappings(config, mapping(0, HOST + 20), mapping(0, HOST + 40))
    (box.rootfs / "bound").mkdir()
    assert box.shell("stat -c %u:%g /bound/file", config) == "23:44\n"


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_the_mappings_of_a_joined_user_namespace(box: Box, source: Path, option: str) -> None:
    first = box.name("first")
    rootfs = box.rootfs
    (rootfs / "bound").mkdir()
    box.write(with_shell(with_user_namespace(default_config(), HOST), "exec sleep 1000"))
    box.runtime.run(first, box.bundle, "--detach").ok()
    pid = box.runtime.state(first)["pid"]
    config = with_namespace(default_config(), "user", f"/proc/{pid}/ns/user")
    with_bind(config, source, "/bound", "bind", option)
    assert owners(box, config, "/bound") == ["3:4", "0:0"]
    assert owner(source / "made") == (0, 0)


@pytest.mark.parametrize(("option", "below"), [("idmap", "3:4"), ("ridmap", "503:604")])
@pytest.mark.parametrize("own", [True, False], ids=["own", "container"])
def test_what_is_mounted_below(box: Box, source: Path, option: str, below: str, own: bool) -> None:
    config = with_bind(default_config() if own else with_user_namespace(default_config()), source, "/bound", option)
    (box.rootfs / "bound").mkdir()
    if own:
        with_mappings(config, mapping(0, 500), mapping(0, 600))
    expected = ["503:604", below] if own else ["3:4", "65534:65534" if option == "idmap" else "3:4"]
    assert box.shell("stat -c %u:%g /bound/file /bound/sub/file", config).split() == expected
    found = mounts_in(box, config)
    assert ["idmapped" in found[point].options for point in ("/bound", "/bound/sub")] == [True, option == "ridmap"]


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_new_filesystem(box: Box, kind: str, option: str) -> None:
    """The root's owner is id 0 of the filesystem. The option is no word for the filesystem, which would refuse it."""
    with ExitStack() as stack:
        device = stack.enter_context(loop_device(image(box.directory / "image"))) if kind == "ext4" else "t"
        config = with_mount(default_config(), "/made", kind, device, option)
        with_mappings(config, mapping(0, 1000), mapping(0, 2000))
        assert box.shell("stat -c %u:%g /made", config) == "1000:2000\n"
        made = mounts_in(box, config)["/made"]
        assert "idmapped" in made.options
        assert not {"idmap", "ridmap"} & made.superblock


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_a_new_filesystem_in_a_user_namespace(box: Box, option: str) -> None:
    """It belongs to that namespace, whose root has no say in the one with the mappings: an error, and nothing runs."""
    config = with_mount(with_user_namespace(default_config(), HOST), "/made", "tmpfs", "t", option)
    (box.rootfs / "made").mkdir()
    sentence = one_sentence(box.run(config).expect(1))
    assert f"{last(config)}: mount tmpfs on /made" in sentence
    assert sentence.endswith("mount_setattr: operation not permitted")


def test_mappings_without_the_option_count_too(box: Box, source: Path) -> None:
    config = with_mappings(with_bind(default_config(), source, "/bound", "bind"), mapping(3, 5, 1), mapping(4, 6, 1))
    assert box.shell("stat -c %u:%g /bound/file", config) == "5:6\n"


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_nothing_to_map_with(box: Box, option: str) -> None:
    """Neither mappings of the mount nor a user namespace."""
    config = with_bind(default_config(), box.directory, "/bound", "bind", option)
    sentence = one_sentence(box.run(config).expect(1))
    assert f"{last(config)}/options/1" in sentence
    assert f'the option "{option}" needs mappings of the mount or a user namespace' in sentence


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"uidMappings": mapping(0, 5)}, "/gidMappings", "need gidMappings as well"),
    ({"gidMappings": mapping(0, 5)}, "/uidMappings", "need uidMappings as well"),
    ({"uidMappings": mapping(0, 5, 0), "gidMappings": mapping(0, 5)}, "/uidMappings/0/size", "has no ids"),
    ({"uidMappings": mapping(0, 5), "gidMappings": mapping(0, 5) * 2}, "/gidMappings/1/containerID", "overlaps"),
]


@pytest.mark.parametrize(("members", "where", "words"), REFUSED)
def test_bad_mappings(box: Box, members: dict[str, Any], where: str, words: str) -> None:
    config = with_bind(default_config(), box.directory, "/bound", "bind", "idmap")
    config["mounts"][-1] |= members
    result = box.run(config).expect(1)
    assert f"{last(config)}{where}" in result.err
    assert words in result.err


def test_a_filesystem_that_cannot_be_mapped(box: Box) -> None:
    config = with_mount(default_config(), "/made", "mqueue", "mqueue", "idmap")
    sentence = one_sentence(box.run(with_mappings(config, mapping(0, 5), mapping(0, 5))).expect(1))
    assert f"{last(config)}: mount mqueue on /made" in sentence
    assert sentence.endswith("mount_setattr: invalid argument")


@pytest.mark.parametrize("entry", [{"options": ["remount", "idmap"]}, {"type": "cgroup", "options": ["idmap"]}])
def test_what_cannot_be_mapped_at_all(box: Box, entry: dict[str, Any]) -> None:
    config = default_config()
    config["mounts"].append({"destination": "/dev", **entry})
    with_mappings(config, mapping(0, 5), mapping(0, 5))
    sentence = one_sentence(box.run(config).expect(1))
    assert last(config) in sentence
    assert "cannot be mapped" in sentence
