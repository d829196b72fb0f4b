"""linux.intelRdt on a folder that stands for resctrl, which few machines have (config-linux.md, IntelRdt)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kernel.resctrl.fake import Host, Resctrl

from ocirun.errors import Failure
from ocirun.linux import intelrdt

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun.steps import OutsideStep

L3, MB = "L3:0=7f0;1=1f", "MB:0=20;1=70"
LINES = ["L3:0=f", "L2:0=f"]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resctrl:
    return Resctrl(tmp_path / "resctrl", monkeypatch)


def steps(tree: Resctrl, ident: str = "box", **members: Any) -> list[OutsideStep]:
    made, entered = intelrdt.plan({"linux": {"intelRdt": members}}, ident, str(tree.root))
    return [*made, *entered]


def create(tree: Resctrl, ident: str = "box", **members: Any) -> Host:
    """What a `create` does; with `pid` 4242."""
    host = Host()
    perform(steps(tree, ident, **members), host)
    return host


def perform(todo: list[OutsideStep], host: Host) -> None:
    for step in todo:
        step.do(step, host)  # type: ignore[arg-type]


def refused(tree: Resctrl, **members: Any) -> tuple[Failure, Host]:
    host = Host()
    with pytest.raises(Failure) as caught:
        perform(steps(tree, **members), host)
    return caught.value, host


def existing(tree: Resctrl, name: str, schemata: str = f"   {L3}\n   {MB}\n") -> None:
    """A class that somebody else has made."""
    tree.mkdir(str(tree.root / name))
    (tree.root / name / "schemata").write_text(schemata)
    tree.calls.clear()


def delete(host: Host, failed: bool = False) -> list[str]:
    return intelrdt.undo(host.record["intelRdt"], failed)


def test_without_a_closid_the_class_is_the_containers_own(tree: Resctrl) -> None:
    host = create(tree)
    assert tree.calls == [("mkdir", "box"), ("box/tasks", "4242\n")]
    assert delete(host) == []
    assert tree.groups() == set()
    assert delete(host) == []


def test_without_a_closid_an_existing_directory_is_not_taken(tree: Resctrl) -> None:
    existing(tree, "box")
    problem, host = refused(tree)
    assert str(problem) == f"/linux/intelRdt: make the directory {tree.root}/box: mkdir: file exists"
    assert delete(host, True) == []
    assert tree.groups() == {"box"}


def test_the_order_of_the_schemata(tree: Resctrl) -> None:
    create(tree, schemata=LINES, memBwSchema=MB, l3CacheSchema=L3)
    written = [text for name, text in tree.calls if name == "box/schemata"]
    assert written == [f"{L3}\n", f"{MB}\n", "L3:0=f\n", "L2:0=f\n"]
    assert tree.calls[-1] == ("box/tasks", "4242\n")


def test_a_new_closid_is_made_and_stays(tree: Resctrl) -> None:
    host = create(tree, closID="gold", l3CacheSchema=L3)
    assert tree.calls == [("mkdir", "gold"), ("gold/schemata", f"{L3}\n"), ("gold/tasks", "4242\n")]
    assert delete(host) == []
    assert tree.groups() == {"gold"}


def test_a_closid_without_schemata_has_to_exist(tree: Resctrl) -> None:
    problem, host = refused(tree, closID="gold")
    assert problem.where == "/linux/intelRdt/closID"
    assert str(problem).endswith("nothing says what it should be: no such file or directory")
    assert tree.calls == []
    assert delete(host, True) == []


def test_an_existing_closid_is_joined_and_its_schemata_left(tree: Resctrl) -> None:
    existing(tree, "gold")
    host = create(tree, closID="gold")
    assert tree.calls == [("gold/tasks", "4242\n")]
    assert delete(host) == []
    assert delete(host, True) == []
    assert tree.groups() == {"gold"}


def test_the_default_class(tree: Resctrl) -> None:
    host = create(tree, closID="/", enableMonitoring=True)
    assert tree.calls == [("mkdir", "mon_groups/box"), ("tasks", "4242\n"), ("mon_groups/box/tasks", "4242\n")]
    assert delete(host) == []
    assert tree.groups() == set()


@pytest.mark.parametrize(
    ("there", "members"),
    [
        (f"{L3}\n{MB}\n", {"l3CacheSchema": L3, "memBwSchema": MB}),
        (f"  {L3}\n", {"l3CacheSchema": "L3:1=01F"}),
        ("MB:0= 30;1= 70\n", {"memBwSchema": "MB:0=21;1=70"}),
    ],
)
def test_an_existing_closid_with_the_same_schemata(tree: Resctrl, there: str, members: dict[str, str]) -> None:
    existing(tree, "gold", there)
    host = create(tree, closID="gold", **members)
    assert ("gold/tasks", "4242\n") in tree.calls
    assert not host.record["intelRdt"]["made"]


@pytest.mark.parametrize(
    ("there", "members", "where"),
    [
        (f"{L3}\n{MB}\n", {"l3CacheSchema": "L3:0=7f1"}, "l3CacheSchema"),
        (f"{L3}\n{MB}\n", {"l3CacheSchema": L3, "memBwSchema": "MB:0=31"}, "memBwSchema"),
        (f"{L3}\n", {"memBwSchema": MB}, "memBwSchema"),
        (f"{L3}\n{MB}\n", {"l3CacheSchema": "L3:7=1"}, "l3CacheSchema"),
    ],
)
def test_an_existing_closid_with_other_schemata(tree: Resctrl, there: str, members: dict[str, str], where: str) -> None:
    existing(tree, "gold", there)
    problem, host = refused(tree, closID="gold", **members)
    assert problem.where == f"/linux/intelRdt/{where}"
    assert "the existing class of service" in problem.doing
    assert tree.calls == []
    assert delete(host, True) == []
    assert tree.groups() == {"gold"}


def test_the_schemata_field_is_written_to_an_existing_closid(tree: Resctrl) -> None:
    existing(tree, "gold")
    create(tree, closID="gold", schemata=LINES)
    assert [text for name, text in tree.calls if name == "gold/schemata"] == ["L3:0=f\n", "L2:0=f\n"]


def test_monitoring_is_the_containers_own_and_goes_with_it(tree: Resctrl) -> None:
    existing(tree, "gold")
    host = create(tree, closID="gold", enableMonitoring=True)
    assert tree.calls == [
        ("mkdir", "gold/mon_groups/box"), ("gold/tasks", "4242\n"), ("gold/mon_groups/box/tasks", "4242\n"),
    ]  # fmt: skip
    assert delete(host) == []
    assert tree.groups() == {"gold"}


def test_monitoring_that_cannot_be_had_is_an_error(tree: Resctrl) -> None:
    existing(tree, "gold")
    tree.room = 0
    problem, host = refused(tree, closID="gold", enableMonitoring=True)
    assert problem.where == "/linux/intelRdt/enableMonitoring"
    assert "(Out of CLOSIDs): mkdir: no space left on device" in str(problem)
    assert delete(host, True) == []
    assert tree.groups() == {"gold"}


def test_anothers_monitoring_group_stays(tree: Resctrl) -> None:
    existing(tree, "gold")
    tree.mkdir(str(tree.root / "gold/mon_groups/box"))
    problem, host = refused(tree, closID="gold", enableMonitoring=True)
    assert str(problem).endswith("mkdir: file exists")
    assert delete(host, True) == []
    assert tree.groups() == {"gold", "gold/mon_groups/box"}


@pytest.mark.parametrize("members", [{}, {"closID": "gold"}])
def test_a_failed_create_leaves_nothing_behind(tree: Resctrl, members: dict[str, str]) -> None:
    problem, host = refused(tree, schemata=[*LINES, "XX:0=1"], enableMonitoring=True, **members)
    assert problem.where == "/linux/intelRdt/schemata/2"
    assert "(Unknown or unsupported resource name 'XX'): write: invalid argument" in str(problem)
    assert delete(host, True) == []
    assert tree.groups() == set()


def test_a_failed_create_takes_back_its_closid_and_monitoring(tree: Resctrl) -> None:
    host = create(tree, closID="gold", l3CacheSchema=L3, enableMonitoring=True)
    (tree.root / "gold/tasks").write_text("")
    assert delete(host, True) == []
    assert tree.groups() == set()


def test_a_closid_that_others_use_meanwhile_stays(tree: Resctrl) -> None:
    host = create(tree, closID="gold", l3CacheSchema=L3)
    create(tree, "second", closID="gold")
    assert delete(host, True) == []
    assert tree.groups() == {"gold"}


def test_everything_is_recorded_before_it_is_made(tree: Resctrl, monkeypatch: pytest.MonkeyPatch) -> None:
    for member, key in ((False, "made"), (True, "monitor")):
        host = Host()
        (step, _enter) = steps(tree, f"box{key}", enableMonitoring=member)

        def die(path: str, *_rest: Any, key: str = key) -> None:
            if ("mon_groups" in path) == (key == "monitor"):
                raise KeyboardInterrupt
            tree.mkdir(path)

        monkeypatch.setattr("os.mkdir", die)
        with pytest.raises(KeyboardInterrupt):
            step.do(step, host)  # type: ignore[arg-type]
        assert host.saved[-1]["intelRdt"][key]
        assert intelrdt.undo(host.saved[-1]["intelRdt"], True) == []
        assert tree.groups() == set()


def test_exec_joins_the_same_groups(tree: Resctrl) -> None:
    host = create(tree, closID="gold", l3CacheSchema=L3, enableMonitoring=True)
    tree.calls.clear()
    host.pid = 4343
    (step,) = intelrdt.join(host.record["intelRdt"])
    step.do(step, host)  # type: ignore[arg-type]
    assert tree.calls == [("gold/tasks", "4343\n"), ("gold/mon_groups/box/tasks", "4343\n")]


def test_what_cannot_be_removed_is_said(tree: Resctrl, monkeypatch: pytest.MonkeyPatch) -> None:
    host = create(tree)

    def busy(path: str) -> None:
        raise OSError(16, "busy", path)

    monkeypatch.setattr("os.rmdir", busy)
    assert delete(host) == [f"remove {tree.root}/box: device or resource busy"]
