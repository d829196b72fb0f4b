"""Hooks, with real programs."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import hooks
from ocirun.errors import Failure
from ocirun.hooks import HookFailed

if TYPE_CHECKING:
    from pathlib import Path


def shell(script: str, **members: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **members}


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def no_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize("size", [0, 2, 300_000])
def test_the_state_comes_on_stdin(tmp_path: Path, size: int) -> None:
    state = bytes(ord("a") + number % 26 for number in range(size))
    hooks.run(shell(f"/bin/cat >{tmp_path}/state"), state, False)
    assert (tmp_path / "state").read_bytes() == state


@pytest.mark.parametrize("script", ["exec <&-; exit 0", ":", "exec </dev/null; exit 0"])
def test_a_hook_need_not_read_its_stdin(script: str) -> None:
    before = descriptors()
    hooks.run(shell(script), b"s" * 300_000, False)
    assert descriptors() == before
    assert no_children()


def test_arguments_and_environment_are_exactly_those_given(tmp_path: Path) -> None:
    hook = shell(f'echo "$0/$1/$A/$B/${{HOME-none}}" >{tmp_path}/said', env=["A=1", "B=x=y"])
    hook["args"] += ["zero", "one"]
    hooks.run(hook, b"", True)
    assert (tmp_path / "said").read_text() == "zero/one/1/x=y/none\n"


@pytest.mark.parametrize(("inherit", "seen"), [(True, "yes"), (False, "no")])
def test_an_absent_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inherit: bool, seen: str) -> None:
    monkeypatch.setenv("OCIRUN_TEST_SEEN", "yes")
    hooks.run(shell(f"echo ${{OCIRUN_TEST_SEEN-no}} >{tmp_path}/said"), b"", inherit)
    assert (tmp_path / "said").read_text() == f"{seen}\n"


def test_an_empty_environment_is_not_an_absent_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCIRUN_TEST_SEEN", "yes")
    hooks.run(shell(f"echo ${{OCIRUN_TEST_SEEN-no}} >{tmp_path}/said", env=[]), b"", True)
    assert (tmp_path / "said").read_text() == "no\n"


@pytest.mark.parametrize(
    ("script", "how", "detail"),
    [
        ("exit 3", "exit status 3", ""),
        ("echo it broke >&2; exit 1", "exit status 1", "stderr: it broke"),
        ("kill -TERM $$", "killed by signal 15", ""),
    ],
)
def test_how_a_hook_fails(script: str, how: str, detail: str) -> None:
    before = descriptors()
    with pytest.raises(HookFailed) as caught:
        hooks.run(shell(script), b"s" * 300_000, False)
    assert (caught.value.call, caught.value.detail, caught.value.errno) == (how, detail, 0)
    assert descriptors() == before
    assert no_children()


def test_a_missing_program() -> None:
    with pytest.raises(HookFailed) as caught:
        hooks.run({"path": "/nowhere/hook"}, b"", False)
    assert caught.value.call == "exit status 127"
    assert caught.value.detail == "stderr: no such file or directory"


def test_stderr_is_quoted_up_to_a_limit() -> None:
    noise = "i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done >&2; exit 1"
    with pytest.raises(HookFailed) as caught:
        hooks.run(shell(noise), b"", False)
    assert caught.value.detail.startswith("stderr: 0123456789; 0123456789; ")
    assert len(caught.value.detail) < 6000


def test_stderr_of_any_bytes() -> None:
    with pytest.raises(HookFailed) as caught:
        hooks.run(shell("printf '\\377x' >&2; exit 1"), b"", False)
    assert caught.value.detail == "stderr: \ufffdx"


def test_a_hook_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    before = descriptors()
    began = time.monotonic()
    with pytest.raises(HookFailed) as caught:
        hooks.run(shell(f"echo $$ >{tmp_path}/pid; exec /bin/sleep 100", timeout=1), b"s" * 300_000, False)
    assert 0.9 < time.monotonic() - began < 20
    assert (caught.value.call, caught.value.detail) == ("timed out after 1 s", "")
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
    assert descriptors() == before
    assert no_children()


def test_a_helper_that_keeps_stderr_open_does_not_keep_us(tmp_path: Path) -> None:
    began = time.monotonic()
    hooks.run(shell(f"/bin/sleep 60 & echo $! >{tmp_path}/pid"), b"", False)
    assert time.monotonic() - began < 30
    os.kill(int((tmp_path / "pid").read_text()), 9)


NOISE = "cat /dev/zero"


@pytest.mark.parametrize("to", ["&1", "&2"])
@pytest.mark.parametrize("timeout", [None, 30])
def test_a_helper_that_talks_all_the_time_does_not_keep_us(to: str, timeout: int | None) -> None:
    members = {} if timeout is None else {"timeout": timeout}
    began = time.monotonic()
    hooks.run(shell(f"for i in 1 2 3 4; do {NOISE} >{to} & done", **members), b"", False)
    assert time.monotonic() - began < 20


def test_talking_does_not_buy_time() -> None:
    with pytest.raises(HookFailed) as caught:
        hooks.run(shell(f"{NOISE} >&2 & exec {NOISE} >&2", timeout=1), b"", False)
    assert caught.value.call == "timed out after 1 s"
    assert no_children()


@pytest.mark.parametrize("ends", [True, False])
def test_a_stream_that_is_never_silent(ends: bool) -> None:
    """What the tests above meet by chance only: whenever it is looked at, there is something to read."""
    child = subprocess.Popen(["true" if ends else "cat"], stdin=subprocess.PIPE)
    pidfd, (stdin, feed) = os.pidfd_open(child.pid), os.pipe()
    streams = hooks._Stream(-1), hooks._Stream(-1)
    for stream in streams:
        zero = os.open("/dev/zero", os.O_RDONLY)
        os.dup2(zero, stream.fd)
        os.close(zero)
    try:
        assert hooks._converse(None if ends else 1, pidfd, feed, streams, b"state") is ends
    finally:
        for fd in (pidfd, stdin, *(fd for stream in streams for fd in (stream.fd, stream.theirs))):
            os.close(fd)
        child.communicate()


def test_the_largest_timeout() -> None:
    hooks.run(shell("exit 0", timeout=(1 << 63) - 1), b"", False)


def test_both_streams_are_quoted_in_one_printable_line() -> None:
    with pytest.raises(HookFailed) as caught:
        hooks.run(shell("echo out; printf ' one \\r\\033[31m\\n\\n\\ttwo\\n' >&2; exit 1"), b"", False)
    assert caught.value.detail == "stderr: one; ?[31m; two, stdout: out"


def test_the_last_words_are_heard() -> None:
    """All that the pipe still holds when the hook has ended."""
    for _ in range(20):
        with pytest.raises(HookFailed) as caught:
            hooks.run(shell("echo last >&2; exit 1"), b"", False)
        assert caught.value.detail == "stderr: last"


def test_logs_get_everything(tmp_path: Path) -> None:
    logs = tuple(os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in ("out", "err"))
    before = descriptors()
    script = "i=0; while [ $i -lt 9000 ]; do echo $i; echo -$i >&2; i=$((i+1)); done; exit 1"
    with pytest.raises(HookFailed) as caught:
        hooks.run(shell(script), b"", False, (logs[0], logs[1]))
    assert caught.value.detail.startswith("stderr: -0; -1; -2; ")
    assert descriptors() == before
    hooks.close_logs((logs[0], logs[1]))
    assert (tmp_path / "out").read_text() == "".join(f"{number}\n" for number in range(9000))
    assert (tmp_path / "err").read_text() == "".join(f"-{number}\n" for number in range(9000))


def test_a_log_that_takes_nothing_is_no_failure() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    hooks.run(shell("echo x; echo y >&2"), b"", False, (full, full))
    os.close(full)


def test_the_first_failure_ends_a_list_and_is_pointed_at(tmp_path: Path) -> None:
    listed = [shell(f"echo {at} >>{tmp_path}/ran; exit {at}") for at in (0, 4, 5)]
    with pytest.raises(Failure) as caught:
        hooks.run_all(listed, "/hooks/poststart", b"", {})
    assert str(caught.value) == "/hooks/poststart/1: error running hook /bin/sh: exit status 4"
    assert (tmp_path / "ran").read_text() == "0\n4\n"
