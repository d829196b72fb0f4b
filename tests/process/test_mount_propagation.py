"""Which mounts made later cross between the host and the container: options of a bind, linux.rootfsPropagation."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.mounting import mounted, mounts_in, parse
from support.bundle import DEFAULT_CAPABILITIES, Config, default_config, with_bind, with_capabilities, with_mount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

KINDS = {"shared": (True, True, True), "slave": (True, False, True), "private": (False, False, True)}
KINDS["unbindable"] = (False, False, False)
"""Whether a mount of the host is seen inside, one of the container outside, and whether it can be bound."""


@pytest.fixture
def source(box: Box) -> Iterator[Path]:
    """A shared mount of the host, with another one, ``sub``, below it."""
    top = box.directory / "tree"
    what = ("-t", "tmpfs", "--make-shared", "tree")
    with mounted(top, *what), mounted(top / "sub", *what):
        for place in (top, top / "sub"):
            for name in ("from-host", "from-container"):
                (place / name).mkdir()
        yield top


def privileged(propagation: str = "") -> Config:
    """A container that may mount, with this linux.rootfsPropagation."""
    config = with_capabilities(default_config(), [*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"])
    if propagation:
        config["linux"]["rootfsPropagation"] = propagation
    return config


def crossing(box: Box, place: Path, inside: str) -> tuple[bool, bool, bool]:
    """What KINDS says, tried: `inside` is where the running container has the host's folder `place`."""
    subprocess.run(["mount", "-t", "tmpfs", "t", str(place / "from-host")], check=True, timeout=60)
    box.exec(f"mount -t tmpfs t {inside}/from-container").ok()
    arrived = f"{inside}/from-host" in parse(box.exec("cat /proc/self/mountinfo").ok().out)
    left = str(place / "from-container") in parse(Path("/proc/self/mountinfo").read_text())
    bound = box.exec(f"mkdir -p /tmp/copy && mount -o bind {inside or '/'} /tmp/copy && umount /tmp/copy").code == 0
    return arrived, left, bound


@pytest.mark.parametrize("option", KINDS)
def test_option(box: Box, source: Path, option: str) -> None:
    """Of the bind alone: below it all stays shared, as the host has it and rootfsPropagation keeps it."""
    box.start_sleeper(with_bind(privileged("shared"), source, "/bound", "rbind", option))
    assert crossing(box, source, "/bound") == KINDS[option]
    assert crossing(box, source / "sub", "/bound/sub") == KINDS["shared"]


@pytest.mark.parametrize("option", [f"r{kind}" for kind in KINDS])
def test_recursive_option(box: Box, source: Path, option: str) -> None:
    box.start_sleeper(with_bind(privileged("shared"), source, "/bound", "rbind", option))
    assert crossing(box, source, "/bound") == KINDS[option[1:]]
    assert crossing(box, source / "sub", "/bound/sub") == KINDS[option[1:]]


@pytest.mark.parametrize(("option", "seen"), [("shared", "yes"), ("private", "no"), ("slave", "no")])
def test_option_of_a_new_filesystem(box: Box, option: str, seen: str) -> None:
    """Inside: a mount made below it is also there below a copy of it, when it is shared."""
    config = with_mount(privileged(), "/made", "tmpfs", "t", option)
    script = (
        "mkdir /made/new /tmp/copy; mount -o bind /made /tmp/copy; mount -t tmpfs t /made/new; "
        "grep -q ' /tmp/copy/new ' /proc/self/mountinfo && echo yes || echo no"
    )
    assert box.shell(script, config).split() == [seen]


def test_option_of_what_is_mounted_on_a_shared_mount(box: Box) -> None:
    """The kernel makes it shared when it is attached there, and the option still counts."""
    config = with_mount(with_mount(privileged(), "/made", "tmpfs", "t", "shared"), "/made/in", "tmpfs", "t", "private")
    found = mounts_in(box, config)
    assert "shared:" in found["/made"].propagation
    assert found["/made/in"].propagation == ""


@pytest.mark.parametrize("root", ["rshared", "rslave", "rprivate", "runbindable"])
@pytest.mark.parametrize(("option", "field"), [("shared", "shared:"), ("private", ""), ("unbindable", "unbindable")])
def test_option_under_a_recursive_root(box: Box, root: str, option: str, field: str) -> None:
    """What the root wants for all of them, a mount may want otherwise."""
    found = mounts_in(box, with_mount(privileged(root), "/made", "tmpfs", "t", option))
    assert found["/made"].propagation.startswith(field)
    assert bool(found["/made"].propagation) == bool(field)
    expected = {"rshared": "shared:", "runbindable": "unbindable"}.get(root, "")
    assert found["/"].propagation.startswith(expected)
    assert found["/dev"].propagation.startswith(expected)


@pytest.mark.parametrize("option", ["unbindable", "runbindable"])
def test_an_unbindable_filesystem(box: Box, option: str) -> None:
    config = with_mount(privileged(), "/made", "tmpfs", "t", option)
    assert box.shell("mount -o bind /made /tmp 2>/dev/null || echo refused", config) == "refused\n"


def test_without_an_option(box: Box, source: Path) -> None:
    """Nothing reaches the host; what the host mounts later is seen."""
    box.start_sleeper(with_bind(privileged(), source, "/bound"))
    assert crossing(box, source, "/bound") == KINDS["slave"]
    assert crossing(box, source / "sub", "/bound/sub") == KINDS["slave"]


@pytest.mark.parametrize("option", ["rshared", "shared"])
def test_a_shared_bind_stays_with_the_container(box: Box, source: Path, option: str) -> None:
    """Shared among the mounts of the container: it needs rootfsPropagation as well to reach the host."""
    config = with_bind(privileged(), source, "/bound", "rbind", option)
    assert "shared:" in mounts_in(box, config)["/bound"].propagation
    box.start_sleeper(config)
    assert crossing(box, source, "/bound") == KINDS["slave"]


@pytest.mark.parametrize("value", ["shared", "rshared", "slave", "rslave", "private", "unbindable"])
def test_the_host_keeps_its_mounts(box: Box, source: Path, value: str) -> None:
    """SECURITY: the host's tree is unmounted in the container; the host must not hear of it, whatever is shared."""
    subprocess.run(["mount", "-t", "tmpfs", "t", str(source / "sub" / "from-host")], check=True, timeout=60)
    before = box.snapshot()
    for options in ([], ["--no-pivot"]):
        box.run(with_bind(privileged(value), source, "/bound", "rbind", "rshared"), *options).ok()
        before.assert_unchanged()


ROOT_KINDS = KINDS | {"shared": (True, False, True)}
"""A shared root has a new peer group, which the host is not in (config-linux.md, Rootfs Mount Propagation)."""

ROOTS = [(prefix + kind, kind) for prefix in ("", "r") for kind in KINDS]


@pytest.mark.parametrize(("value", "kind"), ROOTS, ids=[row[0] for row in ROOTS])
def test_rootfs_propagation(box: Box, value: str, kind: str) -> None:
    """A root that is a shared mount of the host, with another one below it."""
    rootfs = box.rootfs
    subprocess.run(["mount", "--bind", str(rootfs), str(rootfs)], check=True, timeout=60)
    try:
        subprocess.run(["mount", "--make-shared", str(rootfs)], check=True, timeout=60)
        with mounted(rootfs / "mnt", "-t", "tmpfs", "--make-shared", "tree"):
            for place in (rootfs, rootfs / "mnt"):
                for name in ("from-host", "from-container"):
                    (place / name).mkdir()
            box.start_sleeper(privileged(value))
            below = kind if value.startswith("r") else "slave"
            assert crossing(box, rootfs, "") == ROOT_KINDS[kind]
            assert crossing(box, rootfs / "mnt", "/mnt") == ROOT_KINDS[below]
            box.runtime.delete(box.ident, force=True).ok()
    finally:
        subprocess.run(["umount", "-R", "-l", str(rootfs)], check=True, timeout=60)


@pytest.mark.parametrize("value", ["", "private", "slave"])
def test_the_root_s_own_mounts_stay_inside(box: Box, value: str) -> None:
    before = box.snapshot()
    box.start_sleeper(privileged(value))
    box.exec("mount -t tmpfs t /mnt && mount -t tmpfs t /srv").ok()
    box.runtime.delete(box.ident, force=True).ok()
    before.assert_unchanged()


def test_an_unknown_propagation_is_refused(box: Box) -> None:
    result = box.run(privileged("sharedish")).expect(1)
    assert "/linux/rootfsPropagation" in result.err
