"""linux.resources.devices on cgroup v1: what a container, and an exec into it, can open and make, by the rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from process.limits import controller, limited, refusal
from support.bundle import DEFAULT_CAPABILITIES, Config, with_capabilities, with_shell
from support.facility import need

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

DENY: dict[str, Any] = {"allow": False, "access": "rwm"}
ALL: dict[str, Any] = {"allow": True, "access": "rwm"}
KMSG: dict[str, Any] = {"type": "c", "major": 1, "minor": 11}
NULL: dict[str, Any] = {"type": "c", "major": 1, "minor": 3}
LOOK = "mknod /dev/k c 1 11 && for m in '<' '>' '<>'; do (eval \": $m /dev/k\") 2>/dev/null && echo $m; done; true"
"""Prints the ways in which /dev/kmsg can be opened: for reading, for writing, for both."""


@pytest.fixture(autouse=True)
def _devices() -> None:
    need(lambda: controller("devices"))


def ruled(box: Box, *rules: dict[str, Any]) -> Config:
    """With the right to make nodes, and the one that some kernels want of who opens /dev/kmsg."""
    config = limited(box, {"devices": list(rules)})
    return with_capabilities(config, (*DEFAULT_CAPABILITIES, "CAP_MKNOD", "CAP_SYSLOG"))


CASES: list[tuple[list[dict[str, Any]], str]] = [
    ([], ""),
    ([DENY], ""),
    ([DENY, {"allow": True, "access": "r", **KMSG}], "<"),
    ([DENY, {"allow": True, "access": "w", **KMSG}], ">"),
    ([DENY, {"allow": True, "access": "rw", **KMSG}], "< > <>"),
    ([DENY, {"allow": True, "access": "r", **KMSG}, {"allow": True, "access": "w", **KMSG}], "< > <>"),
    ([DENY, {"allow": True, "access": "rw", **KMSG}, {"allow": False, "access": "w", **KMSG}], "<"),
    ([DENY, {"allow": False, "access": "w", **KMSG}, {"allow": True, "access": "rw", **KMSG}], "< > <>"),
    ([DENY, {"allow": True, "access": "rw", "type": "c", "major": 1}], "< > <>"),
    ([DENY, {"allow": True, "access": "rw", "type": "c", "minor": 11}], "< > <>"),
    ([DENY, {"allow": True, "access": "rw", "type": "c", "major": 1, "minor": 12}], ""),
    ([DENY, {"allow": True, "access": "rw", "type": "c", "major": 2, "minor": 11}], ""),
    ([DENY, {"allow": True, "access": "rw", "type": "c"}], "< > <>"),
    ([DENY, {"allow": True, "access": "r", "type": "a"}], "<"),
    ([DENY, {"allow": True, "access": "r", "major": 1, "minor": 11}], "<"),
    ([DENY, {"allow": True, "access": "rw", "type": "b", "major": 1, "minor": 11}], ""),
    ([{"allow": True, "access": "rw", **KMSG}, DENY], ""),
    ([{"allow": True, "access": "rw", **KMSG}, {"allow": False}], ""),
    ([ALL], "< > <>"),
    ([ALL, {"allow": False, "access": "w", **KMSG}], "<"),
    ([ALL, {"allow": False, "access": "rw", **KMSG}], ""),
    ([ALL, {"allow": False, "access": "rwm", "type": "b"}], "< > <>"),
]


@pytest.mark.parametrize(("rules", "opened"), CASES, ids=[json.dumps(each[0]) for each in CASES])
def test_what_can_be_opened(box: Box, rules: list[dict[str, Any]], opened: str) -> None:
    assert box.shell(LOOK, ruled(box, *rules)).split() == opened.split()


NO_BLOCK_NODE: dict[str, Any] = {"allow": False, "access": "m", "type": "b"}
MAKE = "for d in 'c 1 11' 'c 10 229' 'b 7 0'; do mknod /tmp/x $d 2>/dev/null && echo ${d% *} && rm /tmp/x; done; true"


@pytest.mark.parametrize(
    ("rules", "made"),
    [
        ([DENY], "c 1 c 10 b 7"),
        ([DENY, NO_BLOCK_NODE], "c 1 c 10"),
        ([DENY, NO_BLOCK_NODE, {"allow": True, "access": "m", "type": "b", "major": 7}], "c 1 c 10 b 7"),
        ([NO_BLOCK_NODE, DENY], "c 1 c 10 b 7"),
        ([ALL, {"allow": False, "access": "m", "type": "c", "major": 10}], "c 1 b 7"),
    ],
    ids=json.dumps,
)
def test_what_can_be_made(box: Box, rules: list[dict[str, Any]], made: str) -> None:
    """A node gives no access, so making one is usual; a rule can deny it."""
    assert box.shell(MAKE, ruled(box, *rules)).split() == made.split()


@pytest.mark.parametrize(
    ("rules", "works"),
    [
        ([DENY], True),
        ([{"allow": False, "access": "w", **NULL}, DENY], True),
        ([DENY, {"allow": False, "access": "w", **NULL}], False),
        ([{"allow": False, "access": "w", **NULL}], False),
        ([DENY, {"allow": False, "access": "w", **NULL}, {"allow": True, "access": "w", **NULL}], True),
    ],
    ids=json.dumps,
)
def test_a_usual_device_can_be_denied_by_its_number(box: Box, rules: list[dict[str, Any]], works: bool) -> None:
    """The runtime's own list does not come after the configured rules."""
    script = "(: </dev/null) && echo in; (: >/dev/null) && echo out; true"
    result = box.run(with_shell(ruled(box, *rules), script))
    assert result.out.split() == (["in", "out"] if works else ["in"])
    assert works == (result.err == "")


def test_the_usual_devices_work(box: Box) -> None:
    script = "for d in null zero full random urandom; do head -c 1 /dev/$d | wc -c; done; : < /dev/ptmx && echo ptmx"
    assert box.shell(script, ruled(box, DENY)).split() == ["0", "1", "1", "1", "1", "ptmx"]


def test_an_exec_is_under_the_same_rules(box: Box) -> None:
    box.start_sleeper(ruled(box, DENY, {"allow": True, "access": "r", **KMSG}))
    assert box.exec(LOOK).ok().out.split() == ["<"]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([DENY, {"access": "r", **KMSG}], "/devices/1/allow"),
        ([DENY, {"allow": True, "type": "p"}], "/devices/1/type"),
        ([DENY, {"allow": True, "access": "x"}], "/devices/1/access"),
        (
            [DENY, {"allow": True, "type": "c", "major": 10}, {"allow": False, "type": "c", "major": 10, "minor": 229}],
            "/devices/2: cgroup v1 cannot deny c 10:229 alone",
        ),
        ([DENY, {"allow": False, "access": "m", **KMSG}], "/devices/1: cgroup v1 cannot deny c 1:11 alone"),
    ],
    ids=json.dumps,
)
def test_what_is_no_rule_or_cannot_be_expressed_is_refused(box: Box, rules: list[dict[str, Any]], words: str) -> None:
    assert f"/linux/resources{words}" in refusal(box, {"devices": rules})
