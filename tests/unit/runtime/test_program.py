"""The program's environment, its file, and what the command line asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.kernel import raw
from ocirun.linux import program
from ocirun.linux.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocirun.request import Request

NOBODY: Any = None


def test_environment() -> None:
    process = {"env": ["A=1", "B=x=y", "EMPTY=", "A=2", "LISTEN_PID=9", "BYTES=\udcff"]}
    assert program.environment(process, {b"LISTEN_PID": b"1"}) == {
        b"A": b"2",
        b"B": b"x=y",
        b"EMPTY": b"",
        b"LISTEN_PID": b"1",
        b"BYTES": b"\xff",
    }
    assert program.environment({}, {}) == {}


def test_listen_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_FDNAMES", raising=False)
    assert program.listen_variables(0) == {}
    assert program.listen_variables(2) == {b"LISTEN_FDS": b"2", b"LISTEN_PID": b""}
    monkeypatch.setenv("LISTEN_FDNAMES", "a:b")
    assert program.listen_variables(1)[b"LISTEN_FDNAMES"] == b"a:b"


def test_program() -> None:
    made = Program({"args": ["sh", "-c", "\udcfe"], "user": {"uid": 3}}, {})
    assert (made.argv, made.uid, made.found) == ([b"sh", b"-c", b"\xfe"], 3, b"sh")


def find(name: str, path: str | None) -> bytes:
    process: dict[str, Any] = {"args": [name], "env": [] if path is None else [f"PATH={path}"]}
    made = Program(process, {})
    step = program.inside(made, "/process")[-1]
    assert step.pointer == "/process/args/0"
    step.do(step, NOBODY)
    return made.found


@pytest.fixture
def places(tmp_path: Path) -> str:
    """Three directories: nothing, a file without the right to execute it, and the program."""
    for name in ("empty", "closed", "right"):
        (tmp_path / name).mkdir()
    (tmp_path / "closed" / "tool").write_text("")
    (tmp_path / "closed" / "tool").chmod(0o644)
    (tmp_path / "right" / "tool").write_text("")
    (tmp_path / "right" / "tool").chmod(0o755)
    return ":".join(str(tmp_path / name) for name in ("empty", "closed", "right"))


def test_the_search_goes_on_after_a_file_that_cannot_be_executed(places: str) -> None:
    assert find("tool", places) == places.split(":")[2].encode() + b"/tool"


def test_an_absolute_program_is_not_searched(places: str) -> None:
    path = places.split(":")[2] + "/tool"
    assert find(path, "/nowhere") == path.encode()


def test_without_a_path_the_usual_one() -> None:
    assert find("sh", None).endswith(b"/sh")


def test_an_empty_part_is_the_working_directory(places: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(places.split(":")[2])
    assert find("tool", "/nowhere:") == b"./tool"


@pytest.mark.parametrize(
    ("name", "at", "call", "said"),
    [
        ("none", slice(None), "executable file not found in $PATH", "no such file or directory"),
        ("tool", slice(2), "", "permission denied"),
    ],
)
def test_words_that_engines_look_for(places: str, name: str, at: slice, call: str, said: str) -> None:
    with pytest.raises(raw.KernelError) as caught:
        find(name, ":".join(places.split(":")[at]))
    assert caught.value.call == call
    assert os.strerror(caught.value.errno or 0).lower() == said


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(raw.KernelError) as caught:
        find(str(tmp_path), None)
    assert caught.value.errno == 21


def test_a_missing_file_says_stat(tmp_path: Path) -> None:
    with pytest.raises(raw.KernelError) as caught:
        find(str(tmp_path / "none"), None)
    assert (caught.value.errno, caught.value.call) == (2, "stat")


def test_request_of_a_plain_create(make_request: Callable[..., Request], tmp_path: Path) -> None:
    plain = make_request()
    assert (plain.ident, plain.root) == ("ident", str(tmp_path / "state"))
    assert plain.cache == str(tmp_path / "state" / "@cache")
    assert (plain.console_socket, plain.pidfd_socket, plain.pid_file) == ("", "", "")
    assert (plain.detached, plain.starts, plain.no_pivot, plain.systemd_cgroup) == (True, False, False, False)
    assert (plain.preserve_fds, plain.listen_fds) == (0, 0)


def test_request_makes_paths_absolute(make_request: Callable[..., Request]) -> None:
    asked = make_request("run", "--pid-file", "p", "--console-socket=s", "--pidfd-socket", "../x", "--no-pivot")
    assert asked.pid_file == os.path.join(os.getcwd(), "p")
    assert asked.console_socket == os.path.join(os.getcwd(), "s")
    assert asked.pidfd_socket == os.path.join(os.path.dirname(os.getcwd()), "x")
    assert (asked.detached, asked.starts, asked.no_pivot) == (False, True, True)
    assert make_request("run", "-d").detached
    assert make_request("create", systemd_cgroup="true").systemd_cgroup


@pytest.mark.parametrize(
    ("count", "pid", "expected"),
    [("1", None, 1), ("1", "own", 1), ("1", "7", 0), ("x", None, 0), ("", None, 0), ("-1", None, 0), ("²", None, 0)],
)
def test_socket_activation(
    make_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, count: str, pid: str | None, expected: int
) -> None:
    from ocirun import request

    make_request()
    monkeypatch.setattr(request, "_check_open", lambda _count: None)
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.delenv("LISTEN_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "own" else pid)
    assert request._listen_fds() == expected


def test_descriptors_to_pass_on_must_be_open(make_request: Callable[..., Request]) -> None:
    with pytest.raises(Failure) as caught:
        make_request("run", "--preserve-fds", "9000")
    assert "pass 9000 file descriptors on: descriptor " in str(caught.value)
    assert caught.value.where == "--preserve-fds"
