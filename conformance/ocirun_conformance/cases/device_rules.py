"""linux.resources.devices: config-linux.md, Allowed Device list. The rules are judged by what can be opened.

The node is supplied by linux.devices, since runtimes let every node be made: having one gives no access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocirun_conformance import facility
from ocirun_conformance.case import each, expect_equal, row
from ocirun_conformance.cgroups import limited
from ocirun_conformance.config import add_capabilities

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

Rule = dict[str, Any]

DENY: Rule = {"allow": False, "access": "rwm"}
ALL: Rule = {"allow": True, "access": "rwm"}
KMSG: Rule = {"type": "c", "major": 1, "minor": 11}
WAYS = ("r", "w", "rw")


def rule(allow: bool, access: str, **members: Any) -> Rule:
    """A rule."""
    return {"allow": allow, "access": access, **members}


def opened(trial: Trial, rules: list[Rule]) -> list[str]:
    """The ways in which the program can open /dev/kmsg under these rules."""
    actions = [["open", "/dev/kmsg", way] for way in WAYS]
    config = limited(trial, {"devices": rules}, *actions)
    config["linux"]["devices"] = [{"path": "/dev/kmsg", "fileMode": 0o666, "uid": 0, "gid": 0, **KMSG}]
    # some kernels want one of these of who opens it
    add_capabilities(config, "CAP_SYSLOG", "CAP_SYS_ADMIN")
    report = trial.run(config)
    return [way for way, line in zip(WAYS, report.lines, strict=True) if line["error"] is None]


ORDER: dict[str, tuple[list[Rule], list[str]]] = {
    "allow_after_deny": ([DENY, rule(True, "rw", **KMSG)], ["r", "w", "rw"]),
    "deny_after_allow": ([rule(True, "rw", **KMSG), DENY], []),
    "deny_of_one_way": ([DENY, rule(True, "rw", **KMSG), rule(False, "w", **KMSG)], ["r"]),
    "allow_of_what_was_denied": ([DENY, rule(False, "w", **KMSG), rule(True, "rw", **KMSG)], ["r", "w", "rw"]),
    "two_ways_one_by_one": ([DENY, rule(True, "r", **KMSG), rule(True, "w", **KMSG)], ["r", "w", "rw"]),
    "deny_after_all": ([ALL, rule(False, "w", **KMSG)], ["r"]),
    "all_after_deny": ([rule(False, "rwm", **KMSG), ALL], ["r", "w", "rw"]),
}


@each(*(row(name, "LNX-043", name) for name in ORDER), needs=[facility.root])
def in_order(trial: Trial, name: str) -> None:
    """a later rule wins over an earlier one: {0}"""
    rules, ways = ORDER[name]
    expect_equal(opened(trial, rules), ways, f"the list of ways to open a device under {rules}")


MEMBERS: dict[str, tuple[list[Rule], list[str]]] = {
    "access_read": ([DENY, rule(True, "r", **KMSG)], ["r"]),
    "access_write": ([DENY, rule(True, "w", **KMSG)], ["w"]),
    "allow_false": ([DENY], []),
    "allow_true": ([ALL], ["r", "w", "rw"]),
    "type_char": ([DENY, rule(True, "rw", type="c")], ["r", "w", "rw"]),
    "type_block_is_another": ([DENY, rule(True, "rw", type="b", major=1, minor=11)], []),
    "type_all": ([DENY, rule(True, "rwm", type="a")], ["r", "w", "rw"]),
    "type_unset_means_all": ([DENY, rule(True, "rw", major=1, minor=11)], ["r", "w", "rw"]),
    "major_alone": ([DENY, rule(True, "rw", type="c", major=1)], ["r", "w", "rw"]),
    "minor_alone": ([DENY, rule(True, "rw", type="c", minor=11)], ["r", "w", "rw"]),
    "another_major": ([DENY, rule(True, "rw", type="c", major=2, minor=11)], []),
    "another_minor": ([DENY, rule(True, "rw", type="c", major=1, minor=12)], []),
}


@each(*(row(name, "RT-010 RT-039", name) for name in MEMBERS), needs=[facility.root])
def by_member(trial: Trial, name: str) -> None:
    """each member of a rule counts: {0}"""
    rules, ways = MEMBERS[name]
    expect_equal(opened(trial, rules), ways, f"the list of ways to open a device under {rules}")


BLOCK: Rule = {"allow": False, "access": "m", "type": "b"}


@each(
    row("denied", "LNX-043", [DENY, BLOCK], False),
    row("allowed_again", "LNX-043", [DENY, BLOCK, rule(True, "m", type="b", major=7)], True),
    needs=[facility.root],
)
def making(trial: Trial, rules: list[Rule], wanted: bool) -> None:
    """the last rule about making block nodes decides whether mknod(2) makes one"""
    config = limited(trial, {"devices": rules}, ["mknod", "/tmp/node", "b", "7", "0"])
    add_capabilities(config, "CAP_MKNOD")
    made = trial.run(config)[0]["error"] is None
    expect_equal(made, wanted, f"whether a block node can be made under {rules}")


NULL: Rule = {"type": "c", "major": 1, "minor": 3}


@each(
    row("denied_last", "LNX-043", [DENY, rule(False, "w", **NULL)], "EPERM"),
    row("allowed_last", "LNX-043", [DENY, rule(False, "w", **NULL), rule(True, "w", **NULL)], None),
    needs=[facility.root],
)
def a_usual_device(trial: Trial, rules: list[Rule], error: str | None) -> None:
    """a rule for /dev/null by its numbers is not overridden by what the runtime itself allows"""
    config = limited(trial, {"devices": rules}, ["open", "/dev/null", "w"])
    expect_equal(trial.run(config)[0]["error"], error, f"the error of opening /dev/null for writing under {rules}")
