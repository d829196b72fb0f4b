"""SCMP_ACT_NOTIFY: a listener receives the descriptor and the state, and what it answers is what the container sees."""

from __future__ import annotations

import errno
import os
import re
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence
from process.seccomp_listener import Listener
from support.bundle import Config, default_config, with_shell, with_user_namespace
from support.facility import need, strace, user_namespace
from support.runtime import process_alive, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from process.calls import Calls

pytestmark = [pytest.mark.process, pytest.mark.privileged]

TRY = "mkdir /tmp/new; echo status $?"
WAITING = "exec sleep 1000"
HANDING_OVER = ["sendmsg", "sendto", "close", "read", "recvmsg", "recvfrom", "write"]
START_UP = ["mmap", "munmap", "brk", "rt_sigaction", "rt_sigprocmask", "capset", "prctl", "execve", "exit_group"]


def numbers() -> dict[str, int]:
    """System calls by name, of the C library's own header."""
    if os.uname().machine != "x86_64":
        pytest.skip("needs x86_64: the numbers of its system calls are written down here")
    return {"mkdir": 83, "mkdirat": 258, "uname": 63, "close": 3, "sendmsg": 46, "execve": 59}


@contextmanager
def listening(box: Box, **answers: int) -> Iterator[Listener]:
    known = numbers()
    # A socket's path has at most 108 bytes, and a test's folder may be longer; the runtime takes any path.
    path = Path(f"/tmp/ocirun-{box.ident}.sock")
    with Listener(path, {known[name]: value for name, value in answers.items()}) as listener:
        yield listener


def notifying(listener: Path, *names: str, **members: Any) -> Config:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(listener),
        "listenerMetadata": "some: metadata",
        "syscalls": [{"names": list(names or ("mkdir", "mkdirat")), "action": "SCMP_ACT_NOTIFY"}],
        **members,
    }
    return changed(default_config(), "/linux/seccomp", profile)


def test_run(box: Box) -> None:
    with listening(box, mkdir=-errno.EMLINK) as listener:
        config = changed(notifying(listener.path), "/annotations", {"color": "grün"})
        result = box.run(with_shell(config, TRY)).ok()
        (received,) = listener.received
        assert received.seen.count(numbers()["mkdir"]) == 1
    assert "status 1" in result.out
    assert "Too many links" in result.err
    assert not (box.rootfs / "tmp" / "new").exists()
    state = received.state["state"]
    pid = received.state["pid"]
    assert received.state == {
        "ociVersion": state["ociVersion"], "fds": ["seccompFd"], "pid": pid, "metadata": "some: metadata",
        "state": state,
    }  # fmt: skip
    assert state == {
        "ociVersion": "1.3.0", "id": box.ident, "status": "created", "pid": pid, "bundle": str(box.bundle),
        "annotations": {"color": "grün"},
    }  # fmt: skip


def test_the_call_goes_on_when_the_listener_says_so(box: Box) -> None:
    with listening(box) as listener:
        result = box.run(with_shell(notifying(listener.path), TRY)).ok()
    assert result.out == "status 0\n"
    assert (box.rootfs / "tmp" / "new").is_dir()


def test_create_start_and_exec(box: Box) -> None:
    with listening(box, mkdir=-errno.EMLINK) as listener:
        box.create(with_shell(notifying(listener.path), f"{{ {TRY}; }} >/tmp/said 2>&1; {WAITING}")).ok()
        assert listener.received == []
        box.runtime.start(box.ident).ok()
        first, pid = listener.wait(1).state, box.runtime.state(box.ident)["pid"]
        assert (first["pid"], first["state"]["pid"], first["state"]["status"]) == (pid, pid, "created")
        wait_for(lambda: "status 1" in (box.rootfs / "tmp" / "said").read_text())
        result = box.exec(TRY).ok()
        assert "Too many links" in result.err
        second = listener.wait(2).state
        assert second["state"]["status"] == "running"
        assert second["state"]["pid"] == pid
        assert second["pid"] != pid
        box.runtime.kill_and_delete(box.ident)


def test_a_user_namespace_and_an_unprivileged_filter(box: Box) -> None:
    need(user_namespace)
    with listening(box, mkdir=-errno.EMLINK) as listener:
        config = with_user_namespace(notifying(listener.path))
        config["process"]["noNewPrivileges"] = False
        os.chown(box.rootfs, 100000, 100000)
        assert "status 1" in box.shell(TRY, config)


@pytest.mark.parametrize("names", [HANDING_OVER, HANDING_OVER + START_UP])
def test_what_hands_the_descriptor_over_may_be_notified(box: Box, names: list[str]) -> None:
    """Nobody could answer these before the listener has the descriptor: they pass once and are asked for later."""
    with listening(box) as listener:
        config = notifying(listener.path, "mkdir", *names)
        assert box.run(with_shell(config, "echo here; echo >/tmp/there")).ok().out == "here\n"
        seen = listener.received[0].seen
    assert numbers()["close"] in seen, "busybox closes a file, and the listener hears of it"
    assert (numbers()["execve"] in seen) == ("execve" in names)


def test_what_hands_the_descriptor_over_may_be_forbidden(box: Box) -> None:
    with listening(box, mkdir=-errno.EMLINK) as listener:
        config = notifying(listener.path)
        config["linux"]["seccomp"]["syscalls"].append({"names": ["sendmsg", "recvmsg"], "action": "SCMP_ACT_KILL"})
        assert "status 1" in box.shell(TRY, config)


def test_nothing_runs_without_a_listener(box: Box) -> None:
    missing = box.directory / "nobody.sock"
    config = with_shell(notifying(missing), "echo ran")
    box.run(config).expect(1)  # leaves the compiled profile in the cache
    before = box.snapshot()
    result = box.run(config).expect(1)
    assert result.out == ""
    expected = f"/linux/seccomp/listenerPath: send the container process state to {missing}"
    assert expected in one_sentence(result)
    assert "no such file or directory" in result.last_error
    before.assert_unchanged()
    box.create(config).ok()
    assert expected in one_sentence(box.runtime.start(box.ident).expect(1))
    assert box.runtime.status(box.ident) == "stopped"
    box.runtime.delete(box.ident).ok()
    before.assert_unchanged()


def test_a_listener_that_does_not_listen_any_more(box: Box) -> None:
    path = Path(f"/tmp/ocirun-{box.ident}.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    try:
        result = box.run(notifying(path)).expect(1)
    finally:
        path.unlink()
    assert "connection refused" in one_sentence(result)


def test_without_a_call_to_notify_of_the_listener_is_ignored(box: Box) -> None:
    """Nobody is there, and nobody is looked for."""
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nobody/there", "listenerMetadata": "x"}
    assert box.shell("echo ran", changed(default_config(), "/linux/seccomp", seccomp)) == "ran\n"
    rule = {"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}
    assert (
        box.shell("echo ran", changed(default_config(), "/linux/seccomp", {**seccomp, "syscalls": [rule]})) == "ran\n"
    )


def test_exec_without_a_listener_leaves_the_container_alone(box: Box) -> None:
    with listening(box) as listener:
        box.write(with_shell(notifying(listener.path), WAITING))
        box.runtime.run(box.ident, box.bundle, "--detach").ok()
        pid = box.runtime.state(box.ident)["pid"]
        listener.path.rename(moved := listener.path.with_suffix(".moved"))
        before = box.snapshot()
        result = box.exec("echo ran").expect(255)
        moved.rename(listener.path)
        assert "no such file or directory" in one_sentence(result)
        assert result.out == ""
        before.assert_unchanged()
        assert process_alive(pid)
        assert box.exec("echo ran").ok().out == "ran\n"
        box.runtime.kill_and_delete(box.ident)


def test_a_path_longer_than_a_socket_address(box: Box) -> None:
    deep = box.directory / ("d" * 120)
    deep.mkdir()
    with listening(box, mkdir=-errno.EMLINK) as listener:
        (deep / "socket").symlink_to(listener.path)
        assert "status 1" in box.shell(TRY, notifying(deep / "socket"))


def test_a_relative_path_begins_at_the_bundle(box: Box) -> None:
    with listening(box, mkdir=-errno.EMLINK) as listener:
        config = notifying(Path("agent.sock"))
        box.write(config)
        (box.bundle / "agent.sock").symlink_to(listener.path)
        assert "status 1" in box.shell(TRY, config)


def test_a_listener_that_leaves_answers_enosys(box: Box) -> None:
    """The container keeps no copy of the descriptor that would let it wait for ever."""
    with listening(box) as listener:
        config = notifying(listener.path)
        script = f"while [ ! -e /tmp/go ]; do sleep 0.01; done; {{ {TRY}; }} >/tmp/said 2>&1"
        box.run(with_shell(config, script), "-d").ok()
    (box.rootfs / "tmp" / "go").touch()
    said = box.rootfs / "tmp" / "said"
    wait_for(lambda: said.exists() and "status" in said.read_text())
    assert "Function not implemented" in said.read_text()


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (None, "SECCOMP_FILTER_FLAG_SPEC_ALLOW|SECCOMP_FILTER_FLAG_NEW_LISTENER"),
        (["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], "SECCOMP_FILTER_FLAG_NEW_LISTENER|0x20"),
        (["SECCOMP_FILTER_FLAG_TSYNC"], "SECCOMP_FILTER_FLAG_TSYNC|SECCOMP_FILTER_FLAG_NEW_LISTENER|0x10"),
    ],
)
def test_flags(box: Box, flags: list[str] | None, value: str) -> None:
    need(strace)
    with listening(box, mkdir=-errno.EMLINK) as listener:
        config = notifying(listener.path)
        if flags is not None:
            config["linux"]["seccomp"]["flags"] = flags
        box.write(with_shell(config, TRY))
        trace = box.directory / "trace"
        box.runtime.path = wrapper(box, box.runtime.path, trace)
        result = box.runtime.run(box.ident, box.bundle).ok()
    assert "status 1" in result.out
    calls = re.findall(r"seccomp\(SECCOMP_SET_MODE_FILTER, ([^,]*), .*\) = \d+", trace.read_text())
    assert numeric(calls[-1]) == numeric(value)


NAMES = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1, "SECCOMP_FILTER_FLAG_LOG": 2, "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_NEW_LISTENER": 8, "SECCOMP_FILTER_FLAG_TSYNC_ESRCH": 16,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}  # fmt: skip


def numeric(flags: str) -> int:
    """strace's way to write flags: known names and one number, with a comment where it knows none."""
    words = flags.partition(" ")[0].split("|")
    return sum(NAMES[word] if word in NAMES else int(word, 0) for word in words)


def wrapper(box: Box, program: Path, trace: Path) -> Path:
    """A program that runs `program` under strace."""
    path = box.directory / "traced"
    path.write_text(f'#!/bin/sh\nexec strace -f -qq -e trace=seccomp -o {trace} {program} "$@"\n')
    path.chmod(0o755)
    return path


def test_the_default_action(box: Box) -> None:
    """The listener is asked about everything from the end of the set-up on, execve(2) of the program included."""
    with listening(box, mkdir=-errno.EMLINK) as listener:
        config = notifying(listener.path, defaultAction="SCMP_ACT_NOTIFY", syscalls=[])
        result = box.run(with_shell(config, TRY)).ok()
        seen = listener.received[0].seen
    assert "status 1" in result.out
    assert "Too many links" in result.err
    assert {numbers()["execve"], numbers()["mkdir"]} <= set(seen)


def test_the_default_action_asks_about_newer_calls_too(calls: Calls) -> None:
    """What the profile does not know is the listener's to decide, not ENOSYS."""
    with listening(calls.box) as listener:
        profile = notifying(listener.path, defaultAction="SCMP_ACT_NOTIFY")["linux"]["seccomp"]
        profile["syscalls"] = [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]
        assert calls.answers(profile, (110,), (5000,)) == [0, -errno.ENOSYS]
        assert 5000 in listener.received[0].seen
