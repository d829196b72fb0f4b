"""Replacing the device program of a cgroup2, on one that a private mount namespace has on /sys/fs/cgroup."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kernel.cgroup.sandbox import NAME, clean_up, in_private_cgroup2, left_behind, spawn, until
from support import facility

from ocirun.errors import Failure
from ocirun.journal import Journal
from ocirun.linux.cgroup import attached_bpf, devices_bpf, devices_v1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(facility.cgroup_v2_private()), reason=facility.cgroup_v2_private()),
]
GROUP = Path("/sys/fs/cgroup", NAME[1:])
ALL: dict[str, Any] = {"allow": True}
DENY: dict[str, Any] = {"allow": False}
NO_NULL: dict[str, Any] = {"allow": False, "type": "c", "major": 1, "minor": 3, "access": "rw"}
NO_ZERO: dict[str, Any] = {**NO_NULL, "minor": 5}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    left = left_behind()
    clean_up()
    assert left == []


def program(*rules: dict[str, Any]) -> bytes:
    return devices_bpf.program(devices_v1.rules({"devices": list(rules)}))


def replace(journal: Journal, *rules: dict[str, Any]) -> None:
    attached_bpf.replace(program(*rules), str(GROUP), journal)


def names() -> list[bytes]:
    """The programs of the group, by name."""
    group = os.open(GROUP, os.O_RDONLY)
    found = []
    for number in attached_bpf._attached(group, ""):
        fd = attached_bpf._bpf(attached_bpf.BPF_PROG_GET_FD_BY_ID, "", "", number)
        found.append(attached_bpf._name(fd, ""))
        os.close(fd)
    os.close(group)
    return found


def opened() -> list[str]:
    """Which of null and zero a process in the group can open."""

    def look() -> int:
        (GROUP / "cgroup.procs").write_text("0")
        status = 0
        for bit, device in ((1, "null"), (2, "zero")):
            try:
                os.close(os.open(f"/dev/{device}", os.O_RDWR))
            except PermissionError:
                continue
            status |= bit
        return status

    status = os.waitstatus_to_exitcode(os.waitpid(spawn(look), 0)[1])
    return [device for bit, device in ((1, "null"), (2, "zero")) if status & bit]


def in_group(body: Callable[[], None]) -> None:
    def inside() -> None:
        GROUP.mkdir()
        body()
        GROUP.rmdir()

    in_private_cgroup2(inside)


def test_ours_is_replaced_and_another_s_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(devices_bpf, "NAME", b"foreign")
            devices_bpf.apply(program(ALL, NO_ZERO), str(GROUP))
        assert opened() == ["null"]
        journal = Journal()
        for rules, ours, ways in (
            ([DENY], 1, ["null"]),
            ([DENY, NO_NULL], 1, []),
            ([ALL, NO_ZERO], 1, ["null"]),
            ([ALL], 0, ["null"]),
            ([ALL], 0, ["null"]),
            ([DENY, NO_NULL], 1, []),
        ):
            replace(journal, *rules)
            assert sorted(names()) == [b"foreign", *[devices_bpf.NAME] * ours], rules
            assert opened() == ways, rules
        journal.close()

    in_group(body)


@pytest.mark.parametrize("before", [[ALL], [ALL, NO_NULL]])
@pytest.mark.parametrize("after", [[ALL], [ALL, NO_ZERO]])
def test_the_way_back(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    def body() -> None:
        devices_bpf.apply(program(*before), str(GROUP)) if before != [ALL] else None
        there, ways = names(), opened()
        journal = Journal()
        replace(journal, *after)
        assert opened() == (["null"] if NO_ZERO in after else ["null", "zero"])
        assert journal.take_back() == []
        journal.close()
        assert (names(), opened()) == (there, ways)

    in_group(body)


def test_a_process_that_opens_all_the_time_is_never_refused() -> None:
    """The two programs allow it, and there is no moment without one of them, or with neither."""

    def body() -> None:
        def open_null() -> int:
            stopped: list[int] = []
            signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
            (GROUP / "cgroup.procs").write_text("0")
            while not stopped:
                os.close(os.open("/dev/null", os.O_RDWR))
                try:
                    os.close(os.open("/dev/zero", os.O_RDWR))
                except PermissionError:
                    continue
                return 3
            return 0

        replace(journal := Journal(), DENY, NO_ZERO)
        pid = spawn(open_null)
        until(lambda: bool((GROUP / "cgroup.procs").read_text()))
        for turn in range(300):
            replace(journal, *([ALL, NO_ZERO] if turn % 2 else [DENY, NO_ZERO]))
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        journal.close()

    in_group(body)


def test_a_group_that_is_not_there_is_refused() -> None:
    with pytest.raises(Failure, match=r"^/linux/resources/devices: replace the device rules .*no such file"):
        attached_bpf.replace(b"", "/sys/fs/cgroup/not/there", Journal())
