"""Device rules: the folded v1 state and the v2 program give the verdict of the last rule that speaks of an access."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ocirun.errors import Failure
from ocirun.linux.cgroup import devices_bpf, devices_v1
from ocirun.linux.cgroup.devices_v1 import ANY, Rule

ALL = {"allow": True, "access": "rwm"}
NONE = {"allow": False, "access": "rwm"}
BITS = {"m": 1, "r": 2, "w": 4}
KINDS = {"b": 1, "c": 2}


def verdict(rules: list[Rule], kind: str, major: int, minor: int, access: str) -> bool:
    """The meaning of the rules, letter by letter."""
    for letter in access:
        said = [
            rule.allow
            for rule in rules
            if rule.kind in ("a", kind) and rule.major in (ANY, major) and rule.minor in (ANY, minor)
            if letter in rule.access
        ]
        if not said or not said[-1]:
            return False
    return True


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Execute the instructions that the program uses."""
    if not program:
        return True
    asked = sum(BITS[letter] for letter in access)
    context = {0: asked << 16 | KINDS[kind], 4: major, 8: minor}
    registers = [0] * 11
    at = 0
    while True:
        code, operands = program[at], program[at + 1]
        target, source = operands & 15, operands >> 4
        jump = int.from_bytes(program[at + 2 : at + 4], "little", signed=True)
        number = int.from_bytes(program[at + 4 : at + 8], "little")
        at += 8
        if code == 0x95:
            return bool(registers[0])
        if code == 0x61:
            registers[target] = context[jump]
        elif code == 0xB4:
            registers[target] = number
        elif code == 0xBC:
            registers[target] = registers[source]
        elif code == 0x54:
            registers[target] &= number
        elif code == 0x74:
            registers[target] >>= number
        elif (
            code == 0x05
            or (code == 0x56 and registers[target] != number)
            or (code == 0x46 and registers[target] & number)
        ):
            at += 8 * jump
        else:
            assert code in (0x56, 0x46), hex(code)


def allowed_v1(state: tuple[bool, dict[Any, str]], kind: str, major: int, minor: int, access: str) -> bool:
    """What the kernel's v1 controller answers in that state."""
    otherwise, exceptions = state
    for letter in access:
        hit = any(
            entry[0] == kind and entry[1] in (ANY, major) and entry[2] in (ANY, minor) and letter in letters
            for entry, letters in exceptions.items()
        )
        if hit == otherwise:
            return False
    return True


def some_rules(source: random.Random) -> list[Rule]:
    found = []
    for _ in range(source.randrange(7)):
        access = "".join(letter for letter in "rwm" if source.random() < 0.7) or "r"
        numbers = source.choice((ANY, 1, 2)), source.choice((ANY, 1, 2))
        found.append(Rule(source.random() < 0.5, source.choice("abc"), *numbers, access, ""))
    return found


def test_program_and_state_mean_what_the_rules_mean() -> None:
    source = random.Random(7)
    expressible = 0
    for _ in range(600):
        rules = some_rules(source)
        program = devices_bpf.program(rules)
        try:
            state = devices_v1.fold(rules)
        except Failure:
            state = None
        expressible += state is not None
        for _ in range(12):
            access = "".join(letter for letter in "rwm" if source.random() < 0.5) or "w"
            request = (source.choice("bc"), source.choice((1, 2, 3)), source.choice((1, 2, 3)), access)
            expected = verdict(rules, *request)
            assert run(program, *request) == expected
            if state is not None and access != "m":
                assert allowed_v1(state, *request[:3], access.replace("m", "")) == verdict(
                    rules, *request[:3], access.replace("m", "")
                )
    assert expressible > 200


def test_everything_is_denied_but_the_usual_devices() -> None:
    writes = devices_v1.writes(devices_v1.rules({}))
    assert writes[0] == ("devices.deny", "a")
    assert ("devices.allow", "c *:* m") in writes
    assert ("devices.allow", "c 1:3 rwm") in writes
    assert not any("5:1 " in value for _file, value in writes), "the host's console is not usual"


NULL: dict[str, Any] = {"type": "c", "major": 1, "minor": 3, "access": "rwm"}
MAKE: list[dict[str, Any]] = [{"allow": False, "type": kind, "access": "m"} for kind in "bc"]


@pytest.mark.parametrize(
    ("given", "can"),
    [
        ([NONE], True),
        ([{"allow": False, **NULL}, NONE], True),
        ([NONE, {"allow": False, **NULL}], False),
        ([ALL, {"allow": False, **NULL}], False),
        ([{"allow": False, **NULL}], False),
        ([NONE, {"allow": False, "access": "rw"}], True),
    ],
)
def test_the_usual_devices_stand_behind_the_last_rule_about_everything(given: list[dict[str, Any]], can: bool) -> None:
    rules = devices_v1.rules({"devices": given})
    assert run(devices_bpf.program(rules), "c", 1, 3, "rw") == can
    assert allowed_v1(devices_v1.fold(rules), "c", 1, 3, "rw") == can
    assert allowed_v1(devices_v1.fold(rules), "c", 1, 5, "rw")


def test_making_nodes_can_be_denied() -> None:
    rules = devices_v1.rules({"devices": [NONE, *MAKE]})
    assert not run(devices_bpf.program(rules), "c", 10, 229, "m")
    assert not allowed_v1(devices_v1.fold(rules), "c", 10, 229, "m")
    single = {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "m"}
    assert not run(devices_bpf.program(devices_v1.rules({"devices": [NONE, single]})), "c", 10, 229, "m")
    with pytest.raises(Failure, match=r"^/linux/resources/devices/1: cgroup v1 cannot deny c 10:229 alone"):
        devices_v1.writes(devices_v1.rules({"devices": [NONE, single]}))
    devices_v1.writes(devices_v1.rules({"devices": [NONE, {**single, "access": "rwm"}]}))


def test_a_privileged_container_may_everything() -> None:
    rules = devices_v1.rules({"devices": [ALL]})
    assert devices_v1.writes(rules) == [("devices.allow", "a")]
    assert devices_bpf.program(rules) == b""


def test_a_rule_for_all_types_with_numbers_does_not_reset_everything() -> None:
    """The kernel ignores the numbers and the access of a rule of type a."""
    rules = devices_v1.rules({"devices": [NONE, {"allow": True, "major": 1, "minor": 11, "access": "r"}]})
    assert devices_v1.fold(rules)[0] is False
    assert ("devices.allow", "c 1:11 r") in devices_v1.writes(rules)
    assert ("devices.allow", "b 1:11 r") in devices_v1.writes(rules)


def test_what_v1_cannot_express_is_refused() -> None:
    given = [NONE, {"allow": True, "type": "c", "major": 10}, {"allow": False, "type": "c", "major": 10, "minor": 229}]
    with pytest.raises(Failure, match=r"^/linux/resources/devices/2: cgroup v1 cannot deny c 10:229 alone"):
        devices_v1.writes(devices_v1.rules({"devices": given}))


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(Failure, match=r"^/linux/resources/devices/0/type: "):
        devices_v1.rules({"devices": [{"allow": True, "type": "p"}]})
