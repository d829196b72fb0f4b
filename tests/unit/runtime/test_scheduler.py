"""What process.scheduler, ioPriority and execCPUAffinity become."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.kernel import raw, scheduling
from ocirun.linux import scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.plan import Plan

SIZE = 56


def attributes(**members: Any) -> dict[str, int]:
    """The fields of the struct sched_attr of a process's own step."""
    (step,) = scheduler.inside({"scheduler": members}, "/process", False)
    data: bytes = step.args[0]
    assert len(data) == int.from_bytes(data[:4], "little") == SIZE
    names = ("policy", 4), ("flags", 8), ("nice", 4), ("priority", 4), ("runtime", 8), ("deadline", 8), ("period", 8)
    found, at = {}, 4
    for name, size in (*names, ("util_min", 4), ("util_max", 4)):
        found[name] = int.from_bytes(data[at : at + size], "little", signed=name == "nice")
        at += size
    assert at == SIZE
    return found


def test_what_is_not_set_is_zero() -> None:
    """config.md: "If not set, the runtime must use the value 0"."""
    found = attributes(policy="SCHED_OTHER")
    assert found.pop("util_max") == 1024
    assert set(found.values()) == {0}


@pytest.mark.parametrize(
    ("policy", "number"),
    [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ],
)
def test_policies(policy: str, number: int) -> None:
    assert attributes(policy=policy)["policy"] == number


def test_every_field() -> None:
    flags = list(scheduler.FLAGS)
    found = attributes(
        policy="SCHED_DEADLINE", nice=-20, flags=flags, runtime=1 << 40, deadline=2 << 40, period=3 << 40
    )
    assert found["flags"] == 0x7F
    assert found["nice"] == -20
    assert (found["runtime"], found["deadline"], found["period"]) == (1 << 40, 2 << 40, 3 << 40)
    assert attributes(policy="SCHED_RR", priority=99)["priority"] == 99


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"policy": "SCHED_OTHER", "nice": -21}, "nice"),
        ({"policy": "SCHED_OTHER", "nice": 20}, "nice"),
        ({"policy": "SCHED_OTHER", "priority": 1}, "priority"),
        ({"policy": "SCHED_FIFO", "priority": -1}, "priority"),
        ({"policy": "SCHED_RR", "priority": 100}, "priority"),
        ({"policy": "SCHED_OTHER", "period": 1}, "period"),
        ({"policy": "SCHED_DEADLINE", "deadline": 1 << 63}, "deadline"),
        ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"]}, "flags/1"),
        ({"policy": "SCHED_FIFO", "flags": ["SCHED_FLAG_DL_OVERRUN"]}, "flags/0"),
    ],
)
@pytest.mark.parametrize("userns", [False, True])
def test_what_the_kernel_would_quietly_change_is_refused(members: dict[str, Any], where: str, userns: bool) -> None:
    with pytest.raises(Failure) as caught:
        (scheduler.adopt if userns else scheduler.inside)({"scheduler": members}, "/process", userns)
    assert caught.value.where == f"/process/scheduler/{where}"


@pytest.mark.parametrize(
    ("name", "level", "value"),
    [("IOPRIO_CLASS_RT", 0, 0x2000), ("IOPRIO_CLASS_BE", 7, 0x4007), ("IOPRIO_CLASS_IDLE", 0, 0x6000)],
)
def test_io_priorities(name: str, level: int, value: int) -> None:
    (step,) = scheduler.inside({"ioPriority": {"class": name, "priority": level}}, "", False)
    assert step.args == (value,)
    assert step.pointer == "/ioPriority"


def test_the_priority_is_the_whole_process_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """config.md: "applied to the entire process group"; the process is the only one there, so nothing else shows it."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(raw, "call", lambda *words: calls.append(words))
    (step,) = scheduler.inside({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 3}}, "", False)
    step.do(step, None)  # type: ignore[arg-type]
    assert calls == [("ioprio_set", raw.IOPRIO_SET, 2, 0, 0x4003)]


BOTH = {"scheduler": {"policy": "SCHED_IDLE"}, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1}}


def test_who_does_it() -> None:
    """Only the initial user namespace's CAP_SYS_NICE counts."""
    assert [step.deed for step in scheduler.inside(BOTH, "", False)] == ["schedule", "prioritize"]
    assert scheduler.adopt(BOTH, "", False) == []
    assert [step.deed for step in scheduler.adopt(BOTH, "", True)] == ["schedule_child", "prioritize_child"]
    assert scheduler.inside(BOTH, "", True) == []
    assert [step.args for step in scheduler.adopt(BOTH, "", True)] == [
        step.args for step in scheduler.inside(BOTH, "", False)
    ]


def test_in_the_session_and_before_the_rights_go(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    config["process"].update(BOTH)
    deeds = [step.deed for step in composed(config).inside]
    assert (
        deeds.index("enter")
        < deeds.index("set_session")
        < deeds.index("schedule")
        < deeds.index("prioritize")
        < deeds.index("cut_bounding")
    )


def test_affinity() -> None:
    outside, adopted, inside = scheduler.affinity({"execCPUAffinity": {"initial": "0,3", "final": "64"}})
    assert [step.deed for step in (*outside, *adopted, *inside)] == ["run_on", "run_on_former", "stay_on"]
    assert outside[0].args[0] == b"\x09" + bytes(7)
    assert outside[0].args[1] is adopted[0].args[0]
    assert inside[0].args == (bytes(8) + b"\x01" + bytes(7),)


@pytest.mark.parametrize("process", [{}, {"execCPUAffinity": {}}, {"execCPUAffinity": {"initial": "", "final": ""}}])
def test_no_affinity(process: dict[str, Any]) -> None:
    assert scheduler.affinity(process) == ([], [], [])


def test_an_affinity_is_not_for_the_first_process(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    without = composed(config)
    config["process"]["execCPUAffinity"] = {"initial": "0", "final": "0"}
    plan = composed(config)
    for part in ("outside", "adopt", "inside", "launch"):
        assert [step.deed for step in getattr(plan, part)] == [step.deed for step in getattr(without, part)]


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("", set()),
        (" ", set()),
        ("0", {0}),
        ("0-3,7", {0, 1, 2, 3, 7}),
        (" 1 - 2 , 5 ", {1, 2, 5}),
        ("5,5,4-6", {4, 5, 6}),
        ("63", {63}),
        ("64", {64}),
        ("8191", {8191}),
        ("007", {7}),
    ],
)
def test_lists(text: str, bits: set[int]) -> None:
    mask = scheduling.list_mask(text, "CPU")
    assert len(mask) % 8 == 0
    number = int.from_bytes(mask, "little")
    assert {at for at in range(len(mask) * 8) if number >> at & 1} == bits
    assert not mask or any(mask[-8:])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "'x' is not a list such as 0-3,7"),
        ("1-", "'1-' is not a list"),
        ("-1", "'-1' is not a list"),
        ("1-2-3", "'1-2-3' is not a list"),
        ("1,", "'1,' has an empty element"),
        (",", "',' has an empty element"),
        ("3-1", "the range 3-1 ends before it begins"),
        ("8192", "no CPU has the number 8192"),
        ("0-99999999999", "no CPU has the number 99999999999"),
        ("٣", "is not a list"),
        ("1 2", "is not a list"),
    ],
)
def test_what_is_not_a_list(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        scheduling.list_mask(text, "CPU")
