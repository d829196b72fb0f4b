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
