"""linux.seccomp from inside: the flags of the filter, and the architectures that it judges."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence, status_lines
from process.calls import Calls, allowing, number, rule
from process.seccomp_listener import Listener
from support.bundle import default_config, with_args
from support.facility import need, requires, strace
from support.runtime import wait_for

from ocirun.linux.seccomp.names import ARCHITECTURES

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

EPERM = -errno.EPERM
X32_SYSCALL_BIT = 1 << 30
FLAGS = {"TSYNC": 1 | 16, "LOG": 2, "SPEC_ALLOW": 4}
"""What seccomp(2) is given; TSYNC with TSYNC_ESRCH, without which a failure is no error."""
NAMES = {"TSYNC": 1, "LOG": 2, "SPEC_ALLOW": 4, "NEW_LISTENER": 8, "TSYNC_ESRCH": 16, "WAIT_KILLABLE_RECV": 32}


def flag_names(*words: str) -> list[str]:
    return ["SECCOMP_FILTER_FLAG_" + word for word in words]


def on_x86_64() -> str:
    return "" if os.uname().machine == "x86_64" else "not this lane: needs x86_64"


@functools.cache
def kernel_messages() -> str:
    """What seccomp logs comes into the kernel's own messages: no audit daemon takes it."""
    if not Path("/proc/self/loginuid").exists():
        return "not this lane: needs a kernel with CONFIG_AUDIT"
    for process in Path("/proc").glob("[0-9]*/comm"):
        try:
            if process.read_text() == "auditd\n":
                return "not this lane: auditd takes the messages"
        except OSError:
            continue  # a process that has ended
    return "" if os.access("/dev/kmsg", os.R_OK) else "needs to read /dev/kmsg"


def given_flags(box: Box, profile: dict[str, Any]) -> int:
    """The flags of the seccomp(2) that loads the filter, as strace sees it."""
    need(strace)
    config = default_config()
    config["linux"]["seccomp"] = profile
    box.write(with_args(config, "true"))
    trace, program = box.directory / "trace", box.directory / "traced"
    program.write_text(f'#!/bin/sh\nexec strace -f -qq -e trace=seccomp -o {trace} {box.runtime.path} "$@"\n')
    program.chmod(0o755)
    box.runtime.path = program
    box.runtime.run(box.ident, box.bundle).ok()
    words = re.findall(r"seccomp\(SECCOMP_SET_MODE_FILTER, ([^,]*), .*\) = 0", trace.read_text())[-1]
    names = words.partition(" ")[0].replace("SECCOMP_FILTER_FLAG_", "").split("|")
    return sum(NAMES[word] if word in NAMES else int(word, 0) for word in names)


@pytest.mark.parametrize("flag", FLAGS)
def test_the_kernel_is_given_each_flag(box: Box, flag: str) -> None:
    assert given_flags(box, allowing(flags=flag_names(flag))) == FLAGS[flag]


@pytest.mark.parametrize(
    ("flags", "expected"), [(None, 4), ([], 0), (flag_names("WAIT_KILLABLE_RECV"), 0), (flag_names(*FLAGS), 23)]
)
def test_the_kernel_is_given_no_other_flags(box: Box, flags: list[str] | None, expected: int) -> None:
    """Without the property SPEC_ALLOW; how notifications are waited for only where there are some."""
    profile = allowing() if flags is None else allowing(flags=flags)
    assert given_flags(box, profile) == expected


@pytest.mark.parametrize("flag", [*FLAGS, "WAIT_KILLABLE_RECV"])
def test_a_filter_with_a_flag_filters(calls: Calls, flag: str) -> None:
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"), flags=flag_names(flag))
    assert calls.answers(profile, (number("getppid"),), (number("getuid"),)) == [EPERM, 0]


def test_every_thread_and_child_has_the_filter(calls: Calls) -> None:
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"), flags=flag_names("TSYNC"))
    assert calls.run(profile, "thread", number("getppid")).ok().out == f"thread {EPERM}\nmain goes on\n"


def test_speculation_is_as_without_a_filter(calls: Calls) -> None:
    """SPEC_ALLOW; without it the way that the kernel was booted decides what a filter mitigates."""
    config = default_config("cat", "/proc/self/status")
    plain = status_lines(calls.box.run(config).ok().out)
    calls.box.ident = calls.box.name("second")
    config["linux"]["seccomp"] = allowing(flags=flag_names("SPEC_ALLOW"))
    found = status_lines(calls.box.run(config).ok().out)
    assert (plain["Seccomp"], found["Seccomp"]) == ("0", "2")
    assert found.get("Speculation_Store_Bypass") == plain.get("Speculation_Store_Bypass")


def logged(calls: Calls, profile: dict[str, Any], wanted: bool) -> list[str]:
    """What the kernel logged about the program under a name of its own: something, when that is `wanted`."""
    name = calls.box.name("log")[-15:]
    (calls.box.rootfs / "bin" / "calls").rename(calls.box.rootfs / "bin" / name)
    config = default_config(name, "call", str(number("getppid")))
    config["linux"]["seccomp"] = profile
    messages = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found: list[str] = []

    def look() -> bool:
        """Again when there is nothing: the kernel limits how many messages come in five seconds."""
        calls.box.run(config).ok()
        with suppress(BlockingIOError):
            while True:
                text = os.read(messages, 8192).decode("utf-8", "replace")
                found.extend([text] if f'comm="{name}"' in text else [])
        return bool(found) or not wanted

    try:
        os.lseek(messages, 0, os.SEEK_END)
        wait_for(look, 20.0, "a message of the kernel")
    finally:
        os.close(messages)
    return found


def test_the_action_log_is_logged(calls: Calls) -> None:
    need(kernel_messages)
    line = logged(calls, allowing(rule("SCMP_ACT_LOG", "getppid")), True)[0]
    assert f"syscall={number('getppid')} " in line
    assert "code=0x7ffc0000" in line


@pytest.mark.parametrize("flag", [True, False])
def test_the_flag_log_logs_other_actions(calls: Calls, flag: bool) -> None:
    """An action that is not logged by itself, because it lets the program live."""
    need(kernel_messages)
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"), flags=flag_names("LOG") if flag else [])
    lines = logged(calls, profile, flag)
    assert bool(lines) == flag
    assert all(f"syscall={number('getppid')} " in line and "code=0x50000" in line for line in lines)


def handled(pid: int) -> bool:
    """Whether a process has no signal left that waits for it, or is gone."""
    try:
        return not int(status_lines(Path(f"/proc/{pid}/status").read_text())["ShdPnd"], 16)
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("killable", [True, False])
def test_wait_killable_recv(calls: Calls, killable: bool) -> None:
    """A signal with a handler, sent while the listener thinks, ends the call only without the flag."""

    def think(pid: int) -> None:
        os.kill(pid, signal.SIGUSR1)
        if not killable:
            wait_for(lambda: handled(pid), what="the handler")

    path = Path(f"/tmp/ocirun-{calls.box.ident}.sock")
    profile = allowing(rule("SCMP_ACT_NOTIFY", "getppid"), listenerPath=str(path), flags=[])
    if killable:
        profile["flags"] = flag_names("WAIT_KILLABLE_RECV")
    with Listener(path, {number("getppid"): -errno.EMLINK}, think):
        signalled, answer = calls.run(profile, "patient", number("getppid")).ok().out.splitlines()
    assert signalled.startswith(f"signal {signal.SIGUSR1.value} ")
    assert int(answer) == (-errno.EMLINK if killable else -errno.EINTR)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_architecture(calls: Calls, name: str) -> None:
    """Beside the machine's own one, which is judged as ever; or libseccomp does not know it, and that is said."""
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"), architectures=[name])
    result = calls.run(profile, "call", number("getppid"))
    if name in claimed(calls.box):
        assert result.ok().out == f"{EPERM}\n"
    else:
        assert ": /linux/seccomp/architectures/0: " in one_sentence(result.expect(1))


def claimed(box: Box) -> list[str]:
    """The architectures that `features` claims."""
    document = json.loads(box.runtime.call("features").ok().out)
    names: list[str] = document["linux"]["seccomp"]["archs"]
    return names


@requires(on_x86_64)
@pytest.mark.parametrize("architectures", [[], ["SCMP_ARCH_X86_64"], ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]])
def test_calls_of_an_architecture_that_is_not_listed(calls: Calls, architectures: list[str]) -> None:
    """The 32-bit door of the same machine would be a way around every rule."""
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"), architectures=architectures)
    getuid = number("getuid32", ARCHITECTURES["SCMP_ARCH_X86"])
    assert calls.run(profile, "x86", getuid).expect(128 + signal.SIGSYS).out == ""


@requires(on_x86_64)
def test_x86_beside_x86_64(calls: Calls) -> None:
    """The same rule for the same call, whose number is another one there."""
    x86 = ARCHITECTURES["SCMP_ARCH_X86"]
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"), architectures=["SCMP_ARCH_X86"])
    plain = calls.run(allowing(architectures=["SCMP_ARCH_X86"]), "x86", number("getuid32", x86)).ok().out
    if plain != "0\n":
        pytest.skip("not this lane: needs a kernel with the 32-bit x86 ABI")
    for word, expected in (("getppid", EPERM), ("getuid32", 0)):
        calls.box.ident = calls.box.name("next")
        assert calls.run(profile, "x86", number(word, x86)).ok().out == f"{expected}\n"
    calls.box.ident = calls.box.name("next")
    assert calls.answers(profile, (number("getppid"),)) == [EPERM]


@requires(on_x86_64)
def test_x32_beside_x86_64(calls: Calls) -> None:
    """The same architecture to the kernel, with a bit in the number: judged when listed, and else the end."""
    profile = allowing(rule("SCMP_ACT_ERRNO", "getppid"), architectures=["SCMP_ARCH_X32"])
    there = number("getppid") | X32_SYSCALL_BIT
    assert calls.answers(profile, (there,), (number("getppid"),)) == [EPERM, EPERM]
    del profile["architectures"]
    calls.box.ident = calls.box.name("second")
    calls.run(profile, "call", there).expect(128 + signal.SIGSYS)
