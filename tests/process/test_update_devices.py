"""`update` of device rules: what may be opened before and after may be opened all the while, on either version."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from process.updating import Resources, config_of, directories, kept, settable, update
from support.bundle import DEFAULT_CAPABILITIES, with_capabilities
from support.runtime import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

Rule = dict[str, Any]
DENY: Rule = {"allow": False, "access": "rwm"}
ALL: Rule = {"allow": True, "access": "rwm"}
KMSG: Rule = {"type": "c", "major": 1, "minor": 11}
ZERO: Rule = {"type": "c", "major": 1, "minor": 5}
LOOP = (
    "mknod /tmp/k c 1 11; exec 3</dev/zero; while :; do "
    "true </dev/null || echo null >>/shared/failed; true <>/dev/zero || echo zero >>/shared/failed; "
    "head -c 1 <&3 >/dev/null || echo held >>/shared/failed; echo x >>/shared/turns; done 2>>/shared/errors"
)
LOOK = "for m in '<' '>' '<>'; do (eval \": $m /tmp/k\") 2>/dev/null && echo $m; done; true"
"""Prints the ways in which /dev/kmsg can be opened: for reading, for writing, for both."""


def started(box: Box, *rules: Rule) -> None:
    """A program that opens what every container may, and reads from what it has opened before, all the time."""
    config = config_of(box, {"devices": list(rules)}, LOOP)
    with_capabilities(config, (*DEFAULT_CAPABILITIES, "CAP_MKNOD", "CAP_SYSLOG"))
    box.run(box.with_shared(config), "--detach").ok()
    await_turns(box)


def await_turns(box: Box, more: int = 3) -> None:
    """Until the program has gone round again."""
    turns = box.shared / "turns"
    wanted = (turns.stat().st_size if turns.exists() else 0) + 2 * more
    wait_for(lambda: turns.exists() and turns.stat().st_size >= wanted, what="the program to go on")


def opened(box: Box) -> list[str]:
    """What an `exec` can open."""
    return box.exec(LOOK).ok().out.split()


def devices_list(box: Box) -> Path | None:
    found = directories(box).get("devices")
    return found / "devices.list" if found else None


STEPS: list[tuple[list[Rule], str]] = [
    ([DENY, {"allow": True, "access": "r", **KMSG}], "<"),
    ([DENY, {"allow": True, "access": "w", **KMSG}], ">"),
    ([DENY, {"allow": True, "access": "rw", **KMSG}], "< > <>"),
    ([DENY, {"allow": True, "access": "rw", "type": "c", "major": 1}], "< > <>"),
    ([DENY], ""),
    ([ALL], "< > <>"),
    ([ALL, {"allow": False, "access": "w", **KMSG}], "<"),
    ([ALL, {"allow": False, "access": "r", **KMSG}], ">"),
    ([ALL], "< > <>"),
    ([DENY, {"allow": True, "access": "w", **KMSG}], ">"),
]


def test_rules_change_and_what_stays_allowed_never_fails(box: Box) -> None:
    """Twice round all steps: from a list to another, to another rest, and back."""
    started(box, DENY)
    for rules, ways in STEPS * 2:
        update(box, resources={"devices": rules}).ok()
        assert opened(box) == ways.split(), rules
        assert kept(box)["devices"] == rules
        await_turns(box, 1)
    assert box.runtime.status(box.ident) == "running"
    assert not (box.shared / "failed").exists(), (box.shared / "failed").read_text()


@pytest.mark.parametrize(
    ("rules", "frozen"),
    [([DENY, {"allow": True, "access": "r", **KMSG}], False), ([ALL], True), ([ALL, {"allow": False, **KMSG}], True)],
)
def test_only_a_change_of_the_rest_needs_the_freezer(box: Box, rules: list[Rule], frozen: bool) -> None:
    """From the first write of a rule to the last the container stands still, and then goes on."""
    started(box, DENY)
    if not devices_list(box):
        pytest.skip("not this lane: needs the cgroup v1 controller devices")
    trace, asked = box.directory / "trace", box.directory / "asked.json"
    asked.write_text(json.dumps({"devices": rules}))
    argv = [str(box.runtime.path), "--root", str(box.runtime.root), "update", "-r", str(asked), box.ident]
    subprocess.run(["strace", "-qq", "-e", "trace=write", "-y", "-o", str(trace), *argv], check=True, timeout=60)
    written = re.findall(r"/((?:freezer\.state|devices\.\w+))>, \"(\w+)", trace.read_text())
    files = [name for name, _ in written if name != "freezer.state"]
    assert files
    if frozen:
        assert written[0] == ("freezer.state", "FROZEN")
        assert written[-1] == ("freezer.state", "THAWED")
        assert {word for name, word in written if name == "freezer.state"} == {"FROZEN", "THAWED"}
    else:
        assert [name for name, _ in written] == files
    await_turns(box)


def test_many_changes_while_the_program_opens(box: Box) -> None:
    started(box, DENY)
    rules: list[Rule] = [DENY, {"allow": True, "access": "rw", "type": "c"}]
    for turn in range(40):
        update(box, resources={"devices": rules if turn % 2 else rules[:1]}).ok()
    await_turns(box)
    assert not (box.shared / "failed").exists(), (box.shared / "failed").read_text()


def test_a_usual_device_is_taken_away_and_what_is_open_stays_open(box: Box) -> None:
    started(box, DENY)
    update(box, resources={"devices": [DENY, {"allow": False, "access": "rw", **ZERO}]}).ok()
    wait_for((box.shared / "failed").exists, what="the program to be refused")
    await_turns(box)
    assert set((box.shared / "failed").read_text().split()) == {"zero"}
    update(box, resources={"devices": [DENY]}).ok()
    assert box.exec("true </dev/zero && echo again").ok().out == "again\n"


def test_the_list_replaces_the_whole_list(box: Box) -> None:
    started(box, DENY, {"allow": True, "access": "r", **KMSG})
    update(box, resources={"devices": [DENY, {"allow": True, "access": "rw", "type": "c", "major": 10}]}).ok()
    assert opened(box) == []


@pytest.mark.parametrize("sent", [{}, {"devices": []}])
def test_without_rules_those_of_before_stay(box: Box, sent: Resources) -> None:
    started(box, DENY, {"allow": True, "access": "r", **KMSG})
    update(box, resources={**sent, "pids": {"limit": 200}}).ok()
    assert opened(box) == ["<"]


def test_what_an_update_that_was_killed_has_left_does_not_stay(box: Box) -> None:
    """The kernel allows more than the configuration says: the next update goes by the kernel's list."""
    started(box, DENY)
    listed = devices_list(box)
    if not listed:
        pytest.skip("not this lane: needs the cgroup v1 controller devices")
    listed.with_name("devices.allow").write_text("c 1:11 rw")
    assert opened(box) == ["<", ">", "<>"]
    update(box, resources={"devices": [DENY, {"allow": True, "access": "rw", "type": "c", "major": 10}]}).ok()
    assert opened(box) == []


def test_a_container_whose_cgroup_has_children(box: Box) -> None:
    """The kernel lets the list change then, and not the rest: that is refused, and the program goes on as before."""
    started(box, DENY)
    listed = devices_list(box)
    if not listed:
        pytest.skip("not this lane: needs the cgroup v1 controller devices")
    below = listed.parent / "below"
    below.mkdir()
    try:
        update(box, resources={"devices": [DENY, {"allow": True, "access": "r", **KMSG}]}).ok()
        before, kept_before = settable(box), kept(box)
        result = update(box, resources={"devices": [ALL], "pids": {"limit": 99}}).expect(1)
        assert "standard input: /devices: write a to devices.allow" in result.err
        assert (settable(box), kept(box)) == (before, kept_before)
        assert box.runtime.status(box.ident) == "running"
        await_turns(box)
    finally:
        below.rmdir()
    assert not (box.shared / "failed").exists()


def test_rules_that_cgroup_v1_cannot_express_are_refused(box: Box) -> None:
    started(box, DENY)
    if not devices_list(box):
        pytest.skip("not this lane: needs the cgroup v1 controller devices")
    before, kept_before = settable(box), kept(box)
    rules = [DENY, {"allow": True, "access": "rw", "type": "c", "major": 1}, {"allow": False, "access": "r", **KMSG}]
    result = update(box, resources={"devices": rules, "pids": {"limit": 99}}).expect(1)
    assert "standard input: /devices/2: cgroup v1 cannot deny c 1:11 alone" in result.err
    assert (settable(box), kept(box)) == (before, kept_before)
