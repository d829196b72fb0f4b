"""Device rules: the folded v1 state and the v2 program give the verdict of the last rule that speaks of an access."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.linux.cgroup import changing_devices, devices_bpf, devices_v1
from ocirun.linux.cgroup.devices_v1 import ANY, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = {"allow": True, "access": "rwm"}
NONE = {"allow": False, "access": "rwm"}
BITS = {"m": 1, "r": 2, "w": 4}
KINDS = {"b": 1, "c": 2}
ARITHMETIC: dict[int, Callable[[int, int, int], int]] = {
    0xB4: lambda _target, _source, number: number,
    0xBC: lambda _target, source, _number: source,
    0x4C: lambda target, source, _number: target | source,
    0x54: lambda target, _source, number: target & number,
    0x64: lambda target, _source, number: target << number,
    0x74: lambda target, _source, number: target >> number,
}


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
        elif code in ARITHMETIC:
            registers[target] = ARITHMETIC[code](registers[target], registers[source], number) & 0xFFFFFFFF
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


@pytest.mark.parametrize("numbers", [{"major": 0, "minor": 1 << 20 | 11}, {"major": 1 << 12 | 1, "minor": 11}])
def test_numbers_that_no_device_has_are_no_other_s(numbers: dict[str, int]) -> None:
    for rule in ({"allow": True, "access": "r"}, {"allow": True}):
        rules = devices_v1.rules({"devices": [NONE, {"type": "c", **numbers, **rule}]})
        assert not run(devices_bpf.program(rules), "c", 1, 11, "r")


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


def apply_v1(state: tuple[bool, dict[Any, str]], file: str, value: str) -> tuple[bool, dict[Any, str]]:
    """One write, as the kernel's v1 controller takes it (security/device_cgroup.c, devcgroup_update_access)."""
    otherwise, exceptions = state[0], dict(state[1])
    allow = file == "devices.allow"
    if value == "a":
        return allow, {}
    kind, numbers, letters = value.split()
    major, minor = (ANY if number == "*" else int(number) for number in numbers.split(":"))
    entry = (kind, major, minor)
    there = exceptions.get(entry, "")
    if allow != otherwise:
        exceptions[entry] = "".join(letter for letter in "rwm" if letter in there + letters)
    else:
        left = "".join(letter for letter in there if letter not in letters)
        exceptions.pop(entry, None)
        if left:
            exceptions[entry] = left
    return otherwise, exceptions


def one_exception_v1(state: tuple[bool, dict[Any, str]], kind: str, major: int, minor: int, access: str) -> bool:
    """The kernel wants one exception that allows the whole access, and none that denies a part of it."""
    otherwise, exceptions = state
    meant = [
        letters
        for entry, letters in exceptions.items()
        if entry[0] == kind and entry[1] in (ANY, major) and entry[2] in (ANY, minor)
    ]
    if otherwise:
        return not any(letter in letters for letters in meant for letter in access)
    return any(all(letter in letters for letter in access) for letters in meant)


def test_no_write_of_a_transition_denies_what_is_allowed_before_and_after() -> None:
    random.seed(7)
    tried = 0
    for _ in range(400):
        otherwise = random.random() < 0.5
        before, after = (
            (
                otherwise,
                {
                    (kind, random.choice([1, 2, ANY]), random.choice([3, 4, ANY])): random.choice(
                        ["r", "rw", "rwm", "m"]
                    )
                    for kind in random.choices("bc", k=random.randint(0, 5))
                },
            )
            for _ in range(2)
        )
        accesses = [
            (kind, major, minor, access)
            for kind in "bc"
            for major in (1, 2)
            for minor in (3, 4)
            for access in ("r", "w", "rw", "m")
        ]
        kept = [each for each in accesses if one_exception_v1(before, *each) and one_exception_v1(after, *each)]
        state = before
        for file, value in changing_devices.transition(before, after):
            state = apply_v1(state, file, value)
            tried += len(kept)
            assert all(one_exception_v1(state, *each) for each in kept), (before, after, file, value)
        assert state == after
    assert tried > 1000


def test_a_transition_to_the_same_writes_nothing() -> None:
    state = devices_v1.fold(devices_v1.rules({"devices": [NONE]}))
    assert changing_devices.transition(state, state) == []


def test_only_differences_are_written() -> None:
    before = {("c", 1, 3): "rwm", ("c", 1, 5): "rw", ("b", 8, ANY): "r"}
    after = {("c", 1, 3): "rm", ("c", 10, 200): "rw", ("b", 8, ANY): "rw"}
    assert changing_devices.transition((False, before), (False, after)) == [
        ("devices.allow", "c 10:200 rw"),
        ("devices.allow", "b 8:* w"),
        ("devices.deny", "c 1:3 w"),
        ("devices.deny", "c 1:5 rw"),
    ]
    assert changing_devices.transition((True, before), (True, after)) == [
        ("devices.allow", "c 1:3 w"),
        ("devices.allow", "c 1:5 rw"),
        ("devices.deny", "c 10:200 rw"),
        ("devices.deny", "b 8:* w"),
    ]


def test_the_kernel_s_list_is_read() -> None:
    assert changing_devices.parse("") == (False, {})
    assert changing_devices.parse("a *:* rwm\n") == (True, {})
    listed = {("c", ANY, ANY): "m", ("b", 8, ANY): "rw", ("c", 1, 3): "rwm"}
    assert changing_devices.parse("c *:* m\nb 8:* rw\nc 1:3 rwm\n") == (False, listed)
