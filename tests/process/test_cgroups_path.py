"""linux.cgroupsPath on cgroup v1: where the container is, which cgroups are made and kept, and which are refused."""

from __future__ import annotations

import shlex
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from process.limits import TOP, controller
from support import facility
from support.bundle import default_config, with_cgroup, with_shell, without_namespace
from support.facility import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.fixture(autouse=True)
def _v1() -> None:
    need(facility.cgroup_v1, lambda: controller("pids"), lambda: controller("freezer"))


def looking(path: str) -> Config:
    """Without a cgroup namespace, so that the program sees its place from the hierarchy's root."""
    config = without_namespace(with_shell(default_config(), "cat /proc/self/cgroup"), "cgroup")
    return with_cgroup(config, path)


def places(text: str) -> dict[str, str]:
    """Controller to path, of the hierarchies that are mounted."""
    rows = (line.split(":", 2) for line in text.splitlines())
    named = {names.removeprefix("name=") or "unified": path for _, names, path in rows}
    return {name: path for name, path in named.items() if (TOP / name.split(",")[0]).exists()}


@contextmanager
def cgroup(controller: str, name: str) -> Iterator[Path]:
    """A directory of a test's own."""
    path = TOP / controller / name
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()


@pytest.mark.parametrize("form", ["/{}", "/{}/deep/below", "//{}/./x/", "/{} with blanks é"])
def test_an_absolute_path_starts_at_each_hierarchy_s_mount(box: Box, form: str) -> None:
    path = form.format(box.ident)
    expected = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
    box.write(looking(path))
    before = box.snapshot()
    found = places(box.runtime.run(box.ident, box.bundle).ok().out)
    assert set(found.values()) == {expected}
    assert {"memory", "cpu", "pids", "devices", "freezer"} <= set(found)
    before.assert_unchanged()


@pytest.mark.parametrize("form", ["/{}", "{}", "{}/x"])
def test_the_same_value_is_the_same_place_wherever_the_runtime_is_called(box: Box, form: str) -> None:
    """Also below a cgroup that the caller is in, and for a second container."""
    path = form.format(box.ident)
    first = places(box.shell("cat /proc/self/cgroup", looking(path)))
    assert set(first.values()) == {"/" + path.lstrip("/")}
    with cgroup("pids", box.name("caller")) as caller:
        words = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-b", str(box.bundle), box.name("next")]
        script = f"echo $$ > {caller}/cgroup.procs && exec {shlex.join(words)}"
        done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True, timeout=20)
        assert places(done.stdout) == first


def test_exec_goes_to_the_same_place(box: Box) -> None:
    config = without_namespace(with_cgroup(default_config(), f"/{box.ident}/x"), "cgroup")
    box.start_sleeper(config)
    assert set(places(box.exec("cat /proc/self/cgroup").ok().out).values()) == {f"/{box.ident}/x"}


def test_without_a_path_it_is_below_the_caller_s_cgroup(box: Box) -> None:
    config = without_namespace(with_shell(default_config(), "cat /proc/self/cgroup"), "cgroup")
    own = places(Path("/proc/self/cgroup").read_text())
    assert places(box.run(config).ok().out) == {name: f"{path.rstrip('/')}/{box.ident}" for name, path in own.items()}


def test_a_cgroup_that_was_there_is_used_and_kept_with_its_limit(box: Box) -> None:
    """Without resources nothing in it changes."""
    with cgroup("pids", box.ident) as group:
        (group / "pids.max").write_text("17")
        config = looking(f"/{box.ident}")
        del config["linux"]["resources"]
        box.shell("cat /proc/self/cgroup", config)
        assert (group / "pids.max").read_text() == "17\n"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/../x", "leaves the place it starts from"),
        ("../x", "leaves the place it starts from"),
        ("/a/../../b", "leaves the place it starts from"),
        ("/a/../b", "leaves the place it starts from"),
        ("/", "is the root of the hierarchy"),
        (".", "is the root of the hierarchy"),
        ("system.slice:docker:x", "only --systemd-cgroup understands"),
        ("/a\nb", "line feed"),
        ("/tasks", "not a directory"),
        ("/cgroup.procs/x", "not a directory"),
        ("/" + "y/" * 2000, "longer than 2048 bytes"),
    ],
    ids=lambda value: value[:20],
)
def test_a_path_that_no_cgroup_can_have_is_refused(box: Box, path: str, words: str) -> None:
    box.write(looking(path))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert "/linux/cgroupsPath: " in sentence
    assert words in sentence
    before.assert_unchanged()


def test_a_cgroup_with_processes_is_refused(box: Box) -> None:
    """Those of another container, which goes on undisturbed; and one in a cgroup below."""
    path = f"/{box.ident}/x"
    pid = box.start_sleeper(with_cgroup(default_config(), path))
    for each in (path, f"/{box.ident}"):
        other = box.name("other")
        bundle = box.write(with_cgroup(default_config(), each))
        sentence = one_sentence(box.runtime.create(other, bundle).expect(1))
        assert "/linux/cgroupsPath: " in sentence
        assert "the container's cgroup is not empty: " in sentence
    assert box.runtime.state(box.ident)["status"] == "running"
    assert str(pid) in (TOP / "pids" / path[1:] / "cgroup.procs").read_text().split()


def test_a_frozen_cgroup_is_refused(box: Box) -> None:
    with cgroup("freezer", box.ident) as group:
        (group / "freezer.state").write_text("FROZEN")
        sentence = one_sentence(box.create(looking(f"/{box.ident}")).expect(1))
        assert f"/linux/cgroupsPath: the container's cgroup unexpectedly frozen: {group}" in sentence
        (group / "freezer.state").write_text("THAWED")


def test_a_parent_that_has_no_processors_yet_gets_them(box: Box) -> None:
    """As another runtime leaves it for a moment, between making a cgroup and filling its cpuset."""
    need(lambda: controller("cpuset"))
    with cgroup("cpuset", box.ident) as parent:
        assert not (parent / "cpuset.cpus").read_text().strip()
        box.write(looking(f"/{box.ident}/below"))
        box.runtime.run(box.ident, box.bundle).ok()
        assert (parent / "cpuset.cpus").read_text() == (TOP / "cpuset" / "cpuset.cpus").read_text()
