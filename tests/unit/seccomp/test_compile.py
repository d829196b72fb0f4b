"""From profile to program: what is refused, with its pointer, and what is left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

pytest.importorskip("pyseccomp", reason="needs pyseccomp and libseccomp", exc_type=ImportError)

from ocirun.errors import Failure
from ocirun.linux.seccomp import compile as compiler
from ocirun.linux.seccomp import enosys
from ocirun.linux.seccomp.names import ACTIONS, ARCHITECTURES, WITH_NUMBER

POINTER = "/linux/seccomp"
X86_64 = ARCHITECTURES["SCMP_ARCH_X86_64"]
ALLOW = ACTIONS["SCMP_ACT_ALLOW"]
ARGUMENT = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


def compiled(profile: dict[str, Any]) -> bytes:
    return compiler.compile_profile(profile, POINTER)


def only_on_x86_64() -> None:
    import pyseccomp

    if pyseccomp.system_arch() != X86_64:
        pytest.skip("the numbers are those of x86_64")


@pytest.mark.parametrize(
    ("change", "where", "sentence"),
    [
        ({"defaultAction": "SCMP_ACT_NO"}, "/defaultAction", "unknown seccomp action SCMP_ACT_NO"),
        ({"defaultErrnoRet": 0x10000}, "/defaultErrnoRet", "SCMP_ACT_ERRNO takes a number of 16 bits, not 65536"),
        (
            {"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1},
            "/defaultErrnoRet",
            "SCMP_ACT_KILL does not take a number",
        ),
        ({"architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_NO"]}, "/architectures/1", "unknown seccomp architecture"),
    ],
)
def test_refused_members(profile: dict[str, Any], change: dict[str, Any], where: str, sentence: str) -> None:
    with pytest.raises(Failure, match=sentence) as caught:
        compiled(profile | change)
    assert caught.value.where == POINTER + where


@pytest.mark.parametrize(
    ("change", "where", "sentence"),
    [
        ({"action": "SCMP_ACT_NO"}, "/action", "unknown seccomp action SCMP_ACT_NO"),
        ({"errnoRet": 1}, "/errnoRet", "SCMP_ACT_ALLOW does not take a number"),
        ({"args": [ARGUMENT, ARGUMENT | {"op": "SCMP_CMP_NO"}]}, "/args/1/op", "unknown seccomp operator SCMP_CMP_NO"),
        ({"args": [ARGUMENT | {"index": 6}]}, "/args/0/index", "a system call has 6 arguments"),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0xFFFF}, "/names/0", "rule for read: seccomp_rule_add_array: inv"),
    ],
)
def test_refused_rules(profile: dict[str, Any], change: dict[str, Any], where: str, sentence: str) -> None:
    profile["syscalls"].append({"names": ["read"], "action": "SCMP_ACT_ALLOW"} | change)
    with pytest.raises(Failure, match=sentence) as caught:
        compiled(profile)
    assert caught.value.where == POINTER + "/syscalls/1" + where


def test_architecture_that_libseccomp_refuses(profile: dict[str, Any]) -> None:
    """libseccomp does not mix byte orders in one filter; every machine that the tests run on is little endian."""
    profile["architectures"] = ["SCMP_ARCH_S390X"]
    with pytest.raises(Failure, match="seccomp_arch_add") as caught:
        compiled(profile)
    assert caught.value.where == POINTER + "/architectures/0"


def test_unknown_names_are_left_out(profile: dict[str, Any]) -> None:
    other = copy.deepcopy(profile)
    other["syscalls"][0]["names"].insert(1, "no_such_call")
    assert compiled(other) == compiled(profile)


def test_rules_that_repeat_the_default_are_left_out(profile: dict[str, Any]) -> None:
    other = copy.deepcopy(profile)
    other["syscalls"].append({"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1})
    assert compiled(other) == compiled(profile)


def test_a_rule_that_repeats_the_default_is_checked(profile: dict[str, Any]) -> None:
    profile["syscalls"].append({"names": ["write"], "action": "SCMP_ACT_ERRNO", "args": [ARGUMENT | {"op": "?"}]})
    with pytest.raises(Failure, match="unknown seccomp operator"):
        compiled(profile)


def test_native_architecture_needs_no_mention(profile: dict[str, Any], verdict: Any) -> None:
    only_on_x86_64()
    without = profile | {"architectures": []}
    assert compiled(without) == compiled(profile | {"architectures": ["SCMP_ARCH_X86_64"]})
    assert verdict(compiled(without), X86_64, 0) == ALLOW
    assert verdict(compiled(without), ARCHITECTURES["SCMP_ARCH_X86"], 3) == ACTIONS["SCMP_ACT_KILL"]


def test_highest_known_number_counts_each_name(profile: dict[str, Any], verdict: Any) -> None:
    """Rules that repeat the default action are known to the profile too."""
    only_on_x86_64()
    program = compiled(profile)
    assert [verdict(program, X86_64, nr) for nr in (230, 231, 232)] == [0x50001, ALLOW, enosys.RET_ENOSYS]
    profile["syscalls"].append({"names": ["waitid"], "action": "SCMP_ACT_ERRNO"})
    program = compiled(profile)
    assert [verdict(program, X86_64, nr) for nr in (247, 248)] == [0x50001, enosys.RET_ENOSYS]


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("SCMP_ACT_KILL", enosys.RET_ENOSYS),
        ("SCMP_ACT_KILL_PROCESS", enosys.RET_ENOSYS),
        ("SCMP_ACT_TRAP", enosys.RET_ENOSYS),
        ("SCMP_ACT_LOG", ACTIONS["SCMP_ACT_LOG"]),
        ("SCMP_ACT_TRACE", ACTIONS["SCMP_ACT_TRACE"] | 1),
        ("SCMP_ACT_ALLOW", ALLOW),
    ],
)
def test_permissive_defaults_stay(profile: dict[str, Any], verdict: Any, default: str, expected: int) -> None:
    only_on_x86_64()
    profile["syscalls"][0]["action"] = "SCMP_ACT_ERRNO"
    assert verdict(compiled(profile | {"defaultAction": default}), X86_64, 1000) == expected


def test_nothing_stands_before_a_default_of_enosys(profile: dict[str, Any], verdict: Any) -> None:
    only_on_x86_64()
    program = compiled(profile | {"defaultErrnoRet": 38})
    assert [verdict(program, X86_64, nr) for nr in (1, 2, 1000)] == [ALLOW, enosys.RET_ENOSYS, enosys.RET_ENOSYS]
    assert len(program) == len(compiled(profile)) - len(enosys.prefix([(X86_64, 1), (3, 1), (0x4000003E, 1)]))


def test_profile_without_rules(profile: dict[str, Any], verdict: Any) -> None:
    only_on_x86_64()
    profile.pop("syscalls")
    assert verdict(compiled(profile), X86_64, 1000) == 0x50001


@pytest.mark.parametrize("name", [name for name in ACTIONS if name != "SCMP_ACT_ALLOW"])
def test_every_action_is_in_the_program(verdict: Any, name: str) -> None:
    only_on_x86_64()
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["close"], "action": name}]}
    number = 1 if name in WITH_NUMBER else 0
    values = {"KILL_PROCESS": 0x80000000, "KILL_THREAD": 0, "KILL": 0, "TRAP": 0x30000, "ERRNO": 0x50000}
    values |= {"TRACE": 0x7FF00000, "LOG": 0x7FFC0000, "NOTIFY": 0x7FC00000}
    assert verdict(compiled(profile), X86_64, 3) == values[name.removeprefix("SCMP_ACT_")] | number


def test_many_rules_are_a_tree(cost: Any) -> None:
    """A list would take about as many instructions as there are names."""
    only_on_x86_64()
    import pyseccomp

    names = [pyseccomp.resolve_syscall(X86_64, number).decode() for number in range(256)]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}
    program = compiled(profile)
    assert max(cost(program, X86_64, number) for number in range(260)) < 40


def test_too_long_a_program_is_refused(profile: dict[str, Any]) -> None:
    arguments = [ARGUMENT | {"value": value} for value in range(0, 1 << 45, 1 << 34)]
    profile["syscalls"].append({"names": ["close"], "action": "SCMP_ACT_ALLOW", "args": arguments})
    with pytest.raises(Failure, match=r"compiles to \d+ instructions, and the kernel takes 4096") as caught:
        compiled(profile)
    assert caught.value.where == POINTER


def test_search_for_libraries_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes.util
    import sys

    monkeypatch.delitem(sys.modules, "pyseccomp")

    def refuse(*_: object) -> str:
        raise AssertionError("searched for a library")

    monkeypatch.setattr(ctypes.util, "find_library", refuse)
    compiler.load_library()
    assert ctypes.util.find_library is refuse
