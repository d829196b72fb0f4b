"""What is decided before anything is done: the two steps, the flags, and what is refused."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest

from ocirun.errors import Failure
from ocirun.linux import seccomp
from ocirun.linux.seccomp import build, cache, notify

POINTER = "/linux/seccomp"
NOBODY: Any = None


def flags_of(profile: dict[str, Any]) -> int:
    outside, _ = seccomp.plan(profile, POINTER, "/nowhere")
    flags = outside.args[2]
    assert isinstance(flags, int)
    return flags


def test_steps_name_their_subsystem_and_pointer(profile: dict[str, Any]) -> None:
    outside, inside = seccomp.plan(profile, POINTER, "/nowhere")
    assert (outside.room, outside.deed, outside.pointer) == ("seccomp", "provide", POINTER)
    assert (inside.room, inside.deed, inside.pointer) == ("seccomp", "load", POINTER)
    assert "SCMP_ACT_ERRNO" in inside.text


def test_planning_does_nothing(profile: dict[str, Any], tmp_path: Any) -> None:
    _, inside = seccomp.plan(profile, POINTER, str(tmp_path / "cache"))
    assert inside.args == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, 0b100),
        ([], 0),
        (["SECCOMP_FILTER_FLAG_LOG"], 0b10),
        (["SECCOMP_FILTER_FLAG_TSYNC"], 0b10001),
        (["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"], 0b110),
        (["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], 0),
    ],
)
def test_flags(profile: dict[str, Any], names: list[str] | None, expected: int) -> None:
    if names is not None:
        profile["flags"] = names
    assert flags_of(profile) == expected


def test_unknown_flag_is_refused_with_its_pointer(profile: dict[str, Any]) -> None:
    profile["flags"] = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_NO"]
    with pytest.raises(Failure, match="unknown seccomp flag SECCOMP_FILTER_FLAG_NO") as caught:
        seccomp.plan(profile, POINTER, "/nowhere")
    assert caught.value.where == POINTER + "/flags/1"


def test_notify_as_default_asks_for_a_listener() -> None:
    outside, _ = seccomp.plan({"defaultAction": "SCMP_ACT_NOTIFY", "flags": []}, POINTER, "/nowhere")
    assert outside.args[2] == seccomp.SECCOMP_FILTER_FLAG_NEW_LISTENER


@pytest.mark.parametrize(
    ("names", "expected"),
    [(None, 0b1100), ([], 0b1000), (["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], 0b101000)],
)
def test_notify_asks_for_a_listener(profile: dict[str, Any], names: list[str] | None, expected: int) -> None:
    profile["syscalls"].append({"names": ["mount"], "action": "SCMP_ACT_NOTIFY"})
    if names is not None:
        profile["flags"] = names
    assert flags_of(profile) == expected
    _, inside = seccomp.plan(profile, POINTER, "/nowhere")
    assert (inside.do, inside.room) == (notify.load, "seccomp")


def test_listener_without_notify_is_ignored(profile: dict[str, Any]) -> None:
    profile["listenerPath"] = "/run/agent.sock"
    assert flags_of(profile) == seccomp.SECCOMP_FILTER_FLAG_SPEC_ALLOW
    assert seccomp.plan(profile, POINTER, "/nowhere")[1].do == seccomp.load


def test_struct_points_to_the_program() -> None:
    program = bytes(range(24))
    count, address = struct.unpack("@HP", seccomp.sock_fprog(program))
    assert count == 3
    assert ctypes.string_at(address, len(program) + 1) == program + b"\0"


def test_hit_hands_the_program_over_without_compiling(
    profile: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = bytes(16)
    folder = str(tmp_path / "cache")
    cache.keep(folder, cache.key(profile), program)

    def refuse(*_: object) -> bytes:
        raise AssertionError("compiled although the program was there")

    monkeypatch.setattr(build, "build", refuse)
    outside, inside = seccomp.plan(profile, POINTER, folder)
    outside.do(outside, NOBODY)
    flags, fprog, kept, secret = inside.args
    assert (flags, kept, secret) == (seccomp.SECCOMP_FILTER_FLAG_SPEC_ALLOW, program, 0)
    assert fprog == seccomp.sock_fprog(kept)
