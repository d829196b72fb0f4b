"""Mount entries, taken apart and judged before the kernel is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from ocirun import parent
from ocirun.errors import Failure
from ocirun.kernel import mount
from ocirun.linux import mounts
from ocirun.linux.mounts.wish import PROC_FILES, Wish, check
from ocirun_spec import mount_options as table

if TYPE_CHECKING:
    from ocirun.facts import Facts


def entry(*options: str, kind: str = "tmpfs", to: str = "/data", source: str = "src") -> dict[str, Any]:
    return {"destination": to, "type": kind, "source": source, "options": list(options)}


def landed(wish: Wish) -> dict[str, object]:
    """Whatever a wish holds, but for the options that it leaves to the filesystem."""
    return {name: getattr(wish, name) for name in Wish.__slots__ if name != "data"}


NOWHERE = {
    table.DEFAULTS: "it asks for nothing",
    "relatime": "the kernel's default: the field is set, and its value is 0",
}
WITHOUT_KEY = {name for name, row in table.OPTIONS.items() if row.kind == table.SUPERBLOCK and not row.key}


@pytest.mark.parametrize("option", sorted(table.OPTIONS))
def test_every_known_option_lands_somewhere(option: str) -> None:
    wish = Wish(entry(option))
    assert wish.data == []
    if option in WITHOUT_KEY or option in NOWHERE or option in ("norelatime", "rnorelatime", "rrelatime"):
        return
    assert landed(wish) != landed(Wish(entry())), option


def test_options_without_an_effect_are_known() -> None:
    assert {"iversion", "noiversion", "silent", "loud"} == WITHOUT_KEY


def test_relatime_sets_the_whole_field() -> None:
    assert Wish(entry("relatime")).attributes == (0, table.MOUNT_ATTR__ATIME)


@pytest.mark.parametrize("option", ["size=64k", "mode=755", "unknown", "x=y=z", ""])
def test_other_options_are_the_filesystems(option: str) -> None:
    wish = Wish(entry(option))
    assert wish.data == [option]
    assert landed(wish) == landed(Wish(entry()))


def test_flags_of_the_tree_and_of_the_mount_are_apart() -> None:
    wish = Wish(entry("ro", "nosuid", "rnoexec", "rw"))
    assert wish.attributes == (mount.MOUNT_ATTR_NOSUID, mount.MOUNT_ATTR_RDONLY)
    assert wish.recursive == (mount.MOUNT_ATTR_NOEXEC, 0)


def test_propagation_keeps_its_order() -> None:
    wish = Wish(entry("rprivate", "shared"))
    assert wish.propagation == [mount.MS_PRIVATE | table.MS_REC, mount.MS_SHARED]


@pytest.mark.parametrize(("options", "bind"), [(["bind"], "bind"), (["rbind"], "rbind"), (["ro"], "")])
def test_binds(options: list[str], bind: str) -> None:
    assert Wish(entry(*options)).bind == bind


def test_the_type_bind_is_a_bind() -> None:
    assert Wish(entry(kind="bind")).bind == "bind"
    assert Wish(entry("rbind", kind="bind")).bind == "rbind"
    assert Wish({"destination": "/x"}).bind == ""


def refused(one: dict[str, Any]) -> Failure | None:
    try:
        check(one, Wish(one), "/mounts/0")
    except Failure as problem:
        return problem
    return None


def test_a_bind_takes_no_data() -> None:
    problem = refused(entry("rbind", "size=3", "odd"))
    assert problem is not None
    assert str(problem).endswith("a bind takes no option of a filesystem: size=3, odd")
    assert problem.where == "/mounts/0/options"
    assert refused(entry("remount", "bind", "size=3")) is None


@pytest.mark.parametrize("to", ["/", "", "/..", "//", "/a/.."])
def test_the_root_is_no_target(to: str) -> None:
    assert refused(entry(to=to)) is not None


@pytest.mark.parametrize("to", ["/proc", "proc", "/x/../proc", "/proc/"])
def test_on_proc_only_proc(to: str) -> None:
    assert refused(entry(to=to)) is not None
    assert refused(entry(to=to, kind="proc")) is None
    assert refused(entry("rbind", to=to)) is None


@pytest.mark.parametrize("to", ["/proc/sys", "/proc/self", "/proc/../proc/1", "/proc/cpuinfo/x"])
def test_nothing_inside_proc(to: str) -> None:
    assert refused(entry("bind", to=to)) is not None
    assert refused(entry(to=to, kind="proc")) is not None


@pytest.mark.parametrize("to", sorted(PROC_FILES))
def test_what_lxcfs_covers(to: str) -> None:
    assert refused(entry("bind", to=to)) is None


@pytest.mark.parametrize("to", ["/process", "/procfs/x", "/data/proc"])
def test_what_only_looks_like_proc(to: str) -> None:
    assert refused(entry(to=to)) is None


def nothing(_record: Any) -> list[Any]:
    return []


def plan(facts: Facts, *entries: dict[str, Any], **linux: Any) -> tuple[list[Any], list[Any]]:
    config = {"mounts": list(entries), "linux": linux}
    outside, inside, views = mounts.plan(config, "/b", facts.may_mount, False, nothing)
    assert views == []
    return outside, inside


def test_a_cgroup_view_is_described_by_another_step(facts: Facts) -> None:
    config = {"mounts": [entry("ro", kind="cgroup", to="/sys/fs/cgroup")]}
    outside, inside, views = mounts.plan(config, "/b", facts.may_mount, False, nothing)
    assert (outside, [step.deed for step in inside]) == ([], ["mount_cgroup"])
    assert [step.pointer for step in views] == ["/mounts/0"]


def test_each_entry_is_one_step_in_its_place(facts: Facts) -> None:
    outside, inside = plan(
        facts,
        entry(kind="proc", to="/proc"),
        entry("rbind", "ro", source="relative"),
        entry("remount", "ro"),
        entry("size=1k", "noexec", "sync"),
        entry("bind", source="/absolute"),
    )
    assert [step.deed for step in inside] == [
        "mount_filesystem", "attach_bind", "remount", "mount_filesystem", "attach_bind",
    ]  # fmt: skip
    assert [step.pointer for step in inside] == [f"/mounts/{at}" for at in range(5)]
    assert [step.args[0] for step in outside] == ["/b/relative", "/absolute"]
    assert [inside[1].args[1], inside[4].args[1]] == outside
    destination, fstype, options, wish, mappings, made = inside[3].args
    assert (destination, fstype, mappings, made) == (b"/data", b"tmpfs", None, None)
    assert options == [(b"source", b"src"), (b"sync", b""), (b"size", b"1k")]
    assert wish.attributes[0] == mount.MOUNT_ATTR_NOEXEC


def test_who_may_not_copy_mounts_copies_inside(facts: Facts) -> None:
    facts._effective = 0
    outside, inside = plan(facts, entry("bind"))
    assert outside == []
    assert inside[0].args[2] is False


@pytest.mark.parametrize(
    ("own", "options", "expected"),
    [({}, [], None), ({}, ["idmap"], "container"), ({"uidMappings": 1, "gidMappings": 2}, [], "own")],
)
def test_whose_id_mappings(facts: Facts, own: dict[str, int], options: list[str], expected: str | None) -> None:
    container = {"uidMappings": 8, "gidMappings": 9}
    outside, _inside = plan(facts, {**entry("bind", *options), **own}, **container)
    mappings = {"container": (8, 9), "own": (1, 2), None: None}
    assert outside[0].args[3] == mappings[expected]


@pytest.mark.parametrize(
    ("one", "provided"),
    [(entry("bind", to="/dev/"), True), (entry("rbind", to="dev"), True), (entry(to="/dev"), False)],
)
def test_who_brings_dev(one: dict[str, Any], provided: bool) -> None:
    assert mounts.provides({"mounts": [one]}, "/dev") is provided


def test_a_failing_source_is_named(facts: Facts) -> None:
    outside, _inside = plan(facts, entry("bind", source="/no/such/place"))
    with pytest.raises(Failure) as caught:
        parent.do_outside(outside, MagicMock())
    assert str(caught.value) == ("/mounts/0: bind mount /no/such/place on /data: open_tree: no such file or directory")
    assert outside[0].fd == -1
