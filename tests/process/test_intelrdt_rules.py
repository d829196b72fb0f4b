"""linux.intelRdt of real containers, on a folder that stands for resctrl (config-linux.md, IntelRdt).

The container sees the folder at /resctrl, so that its program tells which class it is in when it begins to run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kernel.resctrl.fake import DEFAULT
from process.box import one_sentence
from support.bundle import Config, default_config, with_bind, with_hook, with_shell

if TYPE_CHECKING:
    from process.box import Box
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

DRIVER = Path(__file__).with_name("resctrl_runtime.py")
TESTS = DRIVER.parents[1]
L3, MB = "L3:0=7f0;1=1f", "MB:0=20;1=70"
LINES = ["L3:0=f;1=f", "L2:0=f"]


class Tree:
    """The folder, and the box whose runtime takes it for resctrl."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.root = box.directory / "resctrl"
        self._program = box.runtime.path
        self.use(2)
        box.runtime.call("state", "nobody").expect(1)  # makes the folder
        assert (self.root / "tasks").exists()

    def use(self, room: int) -> None:
        """From now on there is room for so many new groups."""
        wrapper = self.box.directory / "runtime"
        words = f"{sys.executable} {DRIVER} {self.root} {room}"
        wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={TESTS} exec {words} "$@"\n')
        wrapper.chmod(0o755)
        self.box.runtime.path = wrapper

    def existing(self, name: str, schemata: str = DEFAULT) -> None:
        """A class that somebody else has made."""
        (self.root / name / "mon_groups").mkdir(parents=True)
        (self.root / name / "tasks").touch()
        (self.root / name / "schemata").write_text(schemata)

    def config(self, members: dict[str, Any], script: str) -> Config:
        config = with_bind(default_config(), self.root, "/resctrl", "ro")
        config["linux"]["intelRdt"] = members
        return with_shell(config, script)

    def start(self, members: dict[str, Any]) -> int:
        """A running container; returns its pid."""
        self.box.run(self.config(members, "exec sleep 1000"), "--detach").ok()
        return int(self.box.runtime.state(self.box.ident)["pid"])

    def refused(self, members: dict[str, Any]) -> str:
        """The sentence of a create that fails; its classes are as before."""
        before = self.groups()
        result: Result = self.box.create(self.config(members, "true")).expect(1)
        assert self.groups() == before
        return one_sentence(result).removeprefix(f"create {self.box.ident}: ")

    def tasks(self, group: str) -> list[int]:
        return [int(line) for line in (self.root / group / "tasks").read_text().split()]

    def groups(self) -> set[str]:
        found = {str(path.parent.relative_to(self.root)) for path in self.root.rglob("tasks")}
        return found - {"."}

    def calls(self) -> list[tuple[str, str]]:
        """What the runtime did to the folder."""
        text = Path(f"{self.root}.calls").read_text()
        return [(name, what) for name, what in map(json.loads, text.splitlines())]

    def written(self) -> list[str]:
        """What was written to schemata files, in order."""
        return [text.rstrip("\n") for name, text in self.calls() if name.endswith("schemata")]


@pytest.fixture
def tree(box: Box) -> Tree:
    return Tree(box)


def test_without_the_member_nothing_is_touched(tree: Tree) -> None:
    tree.box.run(default_config()).ok()
    assert tree.calls() == []
    assert tree.groups() == set()


def test_without_a_closid_the_containers_id_is_the_name(tree: Tree) -> None:
    """The class is made, entered, its schemata left alone, and removed with the container."""
    pid = tree.start({})
    ident = tree.box.ident
    assert tree.tasks(ident) == [pid]
    assert tree.written() == []
    assert (tree.root / ident / "schemata").read_text() == DEFAULT
    tree.box.runtime.kill_and_delete(ident)
    assert tree.groups() == set()


def test_the_program_begins_in_its_class(tree: Tree) -> None:
    out = tree.box.run(tree.config({}, "cat /resctrl/*/tasks; ls /resctrl")).ok().out.split()
    assert int(out[0]) > 1
    assert tree.box.ident in out


def test_exec_is_in_the_same_class(tree: Tree) -> None:
    pid = tree.start({"closID": "gold", "l3CacheSchema": L3})
    tree.box.exec("true").ok()
    first, second = tree.tasks("gold")
    assert first == pid != second


def test_the_default_class(tree: Tree) -> None:
    pid = tree.start({"closID": "/"})
    assert tree.tasks(".") == [pid]
    tree.box.runtime.kill_and_delete(tree.box.ident)
    assert tree.calls() == [("tasks", f"{pid}\n")]


@pytest.mark.parametrize("closid", [None, "gold"])
@pytest.mark.parametrize(
    ("members", "lines"),
    [
        ({"memBwSchema": MB, "l3CacheSchema": L3}, [L3, MB]),
        ({"l3CacheSchema": L3}, [L3]),
        ({"memBwSchema": MB}, [MB]),
        ({"schemata": LINES}, LINES),
        ({"schemata": LINES, "memBwSchema": MB, "l3CacheSchema": L3}, [L3, MB, *LINES]),
        ({"schemata": LINES, "memBwSchema": MB}, [MB, *LINES]),
    ],
)
def test_schemata_are_written_in_order(
    tree: Tree, members: dict[str, Any], lines: list[str], closid: str | None
) -> None:
    pid = tree.start(members | ({"closID": closid} if closid else {}))
    group = closid or tree.box.ident
    assert tree.written() == lines
    assert (tree.root / group / "schemata").read_text() == DEFAULT + "".join(line + "\n" for line in lines)
    assert tree.calls()[0] == ("mkdir", group)
    assert tree.tasks(group) == [pid]


def test_a_class_with_a_name_stays(tree: Tree) -> None:
    tree.start({"closID": "gold", "schemata": LINES})
    tree.box.runtime.kill_and_delete(tree.box.ident)
    assert tree.groups() == {"gold"}
    assert "rmdir" not in [call for call, _ in tree.calls()]


def test_an_existing_class_is_joined_as_it_is(tree: Tree) -> None:
    tree.existing("gold")
    pid = tree.start({"closID": "gold"})
    assert tree.tasks("gold") == [pid]
    tree.box.runtime.kill_and_delete(tree.box.ident)
    assert tree.calls() == [("gold/tasks", f"{pid}\n")]
    assert tree.groups() == {"gold"}


def test_a_class_that_has_to_exist(tree: Tree) -> None:
    assert tree.refused({"closID": "gold"}).startswith("/linux/intelRdt/closID: ")
    assert tree.calls() == []


@pytest.mark.parametrize(
    "member", [{"l3CacheSchema": L3}, {"memBwSchema": MB}, {"l3CacheSchema": L3, "memBwSchema": MB}]
)
def test_an_existing_class_with_the_same_schemata(tree: Tree, member: dict[str, str]) -> None:
    tree.existing("gold", f"    {L3}\n    {MB}\n")
    pid = tree.start({"closID": "gold", **member})
    assert tree.tasks("gold") == [pid]
    tree.box.runtime.kill_and_delete(tree.box.ident)
    assert tree.groups() == {"gold"}


@pytest.mark.parametrize(
    ("member", "value"),
    [("l3CacheSchema", "L3:0=7f1;1=1f"), ("memBwSchema", "MB:0=30;1=70"), ("memBwSchema", "MB:9=20")],
)
def test_an_existing_class_with_other_schemata(tree: Tree, member: str, value: str) -> None:
    tree.existing("gold", f"    {L3}\n    {MB}\n")
    assert tree.refused({"closID": "gold", member: value}).startswith(f"/linux/intelRdt/{member}: the existing class")
    assert tree.calls() == []


@pytest.mark.parametrize("closid", [None, "gold", "/"])
def test_monitoring(tree: Tree, closid: str | None) -> None:
    """A group of the container's own in its class; it goes with the container, whatever becomes of the class."""
    if closid == "gold":
        tree.existing("gold")
    pid = tree.start({"enableMonitoring": True} | ({"closID": closid} if closid else {}))
    group = (closid or tree.box.ident).strip("/")
    monitor = f"{group}/mon_groups/{tree.box.ident}".lstrip("/")
    assert tree.tasks(monitor) == [pid]
    assert tree.tasks(group or ".") == [pid]
    tree.box.runtime.kill_and_delete(tree.box.ident)
    assert tree.groups() == ({"gold"} if closid == "gold" else set())


def test_without_monitoring_there_is_no_group_for_it(tree: Tree) -> None:
    tree.start({"enableMonitoring": False, "closID": "/"})
    assert tree.groups() == set()


def test_monitoring_that_cannot_be_had(tree: Tree) -> None:
    tree.existing("gold")
    tree.use(0)
    sentence = tree.refused({"closID": "gold", "enableMonitoring": True})
    assert sentence.startswith("/linux/intelRdt/enableMonitoring: make the directory ")
    assert sentence.endswith("(Out of CLOSIDs): mkdir: no space left on device")


def test_a_class_that_cannot_be_had(tree: Tree) -> None:
    tree.use(0)
    assert tree.refused({}).startswith("/linux/intelRdt: make the directory ")


def test_schemata_that_the_kernel_refuses(tree: Tree) -> None:
    """With the kernel's own sentence, and what was made before is gone."""
    sentence = tree.refused({"closID": "gold", "schemata": [LINES[0], "XX:0=1"], "enableMonitoring": True})
    assert sentence.startswith("/linux/intelRdt/schemata/1: write XX:0=1 to ")
    assert "(Unknown or unsupported resource name 'XX')" in sentence


def test_a_failing_hook_takes_the_monitoring_group_back(tree: Tree) -> None:
    config = tree.config({"closID": "gold", "schemata": LINES, "enableMonitoring": True}, "true")
    tree.box.create(with_hook(config, "createContainer", "/bin/false")).expect(1)
    assert [name for call, name in tree.calls() if call == "rmdir"] == [f"gold/mon_groups/{tree.box.ident}"]


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"memBwSchema": "L3:0=1"}, "/memBwSchema"),
        ({"memBwSchema": "MB:0=1\nMB:1=2"}, "/memBwSchema"),
        ({"schemata": ["L3:0=1\nL2:0=1"]}, "/schemata/0"),
        ({"closID": "a/b"}, "/closID"),
        ({"closID": "info"}, "/closID"),
        ({"enableMonitoring": "yes"}, "/enableMonitoring"),
    ],
)
def test_what_is_refused(tree: Tree, members: dict[str, Any], where: str) -> None:
    assert f"/linux/intelRdt{where}: " in tree.refused(members)
    assert tree.calls() == []


def update(tree: Tree, *options: str) -> Result:
    return tree.box.runtime.call("update", *options, tree.box.ident)


def kept(tree: Tree) -> dict[str, Any]:
    """linux of the container's own configuration."""
    config = json.loads((tree.box.runtime.root / tree.box.ident / "config.json").read_text())
    linux: dict[str, Any] = config["linux"]
    return linux


def test_update_writes_the_schemas(tree: Tree) -> None:
    tree.start({"l3CacheSchema": L3})
    update(tree, "--mem-bw-schema", MB, "--l3-cache-schema", "L3:0=3;1=3").ok()
    assert tree.written() == [L3, "L3:0=3;1=3", MB]
    assert kept(tree)["intelRdt"] == {"l3CacheSchema": "L3:0=3;1=3", "memBwSchema": MB}


def test_update_writes_schemas_beside_a_file(tree: Tree) -> None:
    tree.start({})
    file = tree.box.directory / "limits.json"
    file.write_text('{"pids": {"limit": 44}}')
    update(tree, "-r", str(file), "--l3-cache-schema", L3).ok()
    assert tree.written() == [L3]
    assert kept(tree)["resources"]["pids"] == {"limit": 44}
    assert kept(tree)["intelRdt"] == {"l3CacheSchema": L3}


def test_a_refused_schema_takes_everything_back(tree: Tree) -> None:
    """The class gets the lines that it had, and the limits of the cgroup come back."""
    tree.start({})
    before = kept(tree)
    sentence = one_sentence(
        update(tree, "--pids-limit", "44", "--l3-cache-schema", L3, "--mem-bw-schema", "XX:0=1").expect(1)
    )
    path = tree.root / tree.box.ident / "schemata"
    said = f"--mem-bw-schema: write XX:0=1 to {path} (Unknown or unsupported resource name 'XX')"
    assert sentence == f"update {tree.box.ident}: {said}: write: invalid argument"
    assert tree.written() == [L3, "XX:0=1", "L3:0=7ff;1=7ff"]
    assert kept(tree) == before
    record = json.loads((tree.box.runtime.root / tree.box.ident / "state.json").read_text())
    group = record["cgroup"]["paths"].get("pids") or record["cgroup"]["paths"]["unified"]
    assert (Path(group) / "pids.max").read_text() == "max\n"
