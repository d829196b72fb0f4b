"""linux.resources.devices on cgroup v2: what a container, and an exec into it, can open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.bundle import DEFAULT_CAPABILITIES, Config, default_config, with_capabilities, with_shell

if TYPE_CHECKING:
    from process.box import Box

DENY: dict[str, Any] = {"allow": False, "access": "rwm"}
KMSG: dict[str, Any] = {"type": "c", "major": 1, "minor": 11}
LOOK = "mknod /dev/k c 1 11 && for m in '<' '>' '<>'; do (eval \": $m /dev/k\") 2>/dev/null && echo $m; done; true"
"""Prints the ways in which /dev/kmsg can be opened: for reading, for writing, for both."""


def ruled(*rules: dict[str, Any]) -> Config:
    """With the right to make nodes, and the one that Debian wants of who opens /dev/kmsg (kernel.dmesg_restrict)."""
    config = with_capabilities(default_config(), (*DEFAULT_CAPABILITIES, "CAP_MKNOD", "CAP_SYSLOG"))
    config["linux"]["resources"]["devices"] = list(rules)
    return config


CASES: list[tuple[tuple[dict[str, Any], ...], str]] = [
    ((), ""),
    ((DENY,), ""),
    ((DENY, {"allow": True, "access": "r", **KMSG}), "<"),
    ((DENY, {"allow": True, "access": "w", **KMSG}), ">"),
    ((DENY, {"allow": True, "access": "rw", **KMSG}), "< > <>"),
    ((DENY, {"allow": True, "access": "rw", "type": "c", "major": 1}), "< > <>"),
    (({"allow": True, "access": "rw", **KMSG}, DENY), ""),
    (({"allow": True, "access": "rwm"},), "< > <>"),
    (({"allow": True, "access": "rwm"}, {"allow": False, "access": "w", **KMSG}), "<"),
    ((DENY, {"allow": True, "access": "rw", "type": "b", "major": 1, "minor": 11}), ""),
]


@pytest.mark.parametrize(("rules", "opened"), CASES)
def test_what_can_be_opened(box: Box, rules: tuple[dict[str, Any], ...], opened: str) -> None:
    assert box.shell(LOOK, ruled(*rules)).split() == opened.split()


def test_the_default_devices_work(box: Box) -> None:
    script = "for d in null zero full random urandom; do head -c 1 /dev/$d | wc -c; done; : < /dev/ptmx && echo ptmx"
    assert box.shell(script, ruled(DENY)).split() == ["0", "1", "1", "1", "1", "ptmx"]


NULL: dict[str, Any] = {"type": "c", "major": 1, "minor": 3}


@pytest.mark.parametrize(
    ("rules", "works"),
    [
        (({"allow": False, "access": "w", **NULL}, DENY), True),
        ((DENY, {"allow": False, "access": "w", **NULL}), False),
        ((DENY, {"allow": False, "access": "w", **NULL}, {"allow": True, "access": "w", **NULL}), True),
    ],
)
def test_a_default_device_can_be_denied_by_its_number(box: Box, rules: tuple[dict[str, Any], ...], works: bool) -> None:
    """The runtime's own list does not come after the configured rules."""
    script = "(: </dev/null) && echo in; (: >/dev/null) && echo out; true"
    result = box.run(with_shell(ruled(*rules), script))
    assert result.out.split() == (["in", "out"] if works else ["in"])


def test_making_single_nodes_can_be_denied(box: Box) -> None:
    make = "for d in 'c 1 11' 'c 1 12' 'b 7 0'; do mknod /tmp/x $d 2>/dev/null && echo $d && rm /tmp/x; done; true"
    rules = (DENY, {"allow": False, "access": "m", **KMSG}, {"allow": False, "access": "m", "type": "b"})
    assert box.shell(make, ruled(*rules)) == "c 1 12\n"


def test_a_listed_device_is_there_and_open(box: Box) -> None:
    config = ruled(DENY, {"allow": True, "access": "r", **KMSG})
    config["linux"]["devices"] = [{"path": "/dev/kmsg", "fileMode": 0o600, "uid": 0, "gid": 0, **KMSG}]
    assert box.shell("stat -c '%t:%T' /dev/kmsg; : < /dev/kmsg && echo in", config).split() == ["1:b", "in"]


def test_an_exec_is_under_the_same_rules(box: Box) -> None:
    box.start_sleeper(ruled(DENY, {"allow": True, "access": "r", **KMSG}))
    assert box.exec(LOOK).ok().out.split() == ["<"]


def test_a_program_above_keeps_its_say(box: Box) -> None:
    """The container of a container: what the outer rules deny, the inner ones cannot allow."""
    box.start_sleeper(ruled(DENY))
    inner = box.runtime
    config = with_shell(ruled({"allow": True, "access": "rwm"}), LOOK)
    config["linux"]["cgroupsPath"] = f"/{box.ident}/inner"
    name = box.name("inner")
    assert inner.run(name, box.write(config)).ok().out.split() == []
