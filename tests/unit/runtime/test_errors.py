"""The sentence of an error, and the step that it names."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from ocirun import log
from ocirun.errors import EXIT_ERROR, Failure, NotSupported, failure, words
from ocirun.kernel import raw
from ocirun.linux import hostname, mounts, rlimits, seccomp
from ocirun.steps import InsideStep, OutsideStep, Step


def test_all_parts_in_their_order() -> None:
    problem = Failure("bind mount /a on /b", where="/mounts/3", call="open_tree", errno=errno.ENOENT)
    assert str(problem) == "/mounts/3: bind mount /a on /b: open_tree: no such file or directory"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "do it"),
        ({"where": "/root"}, "/root: do it"),
        ({"call": "mount"}, "do it: mount"),
        ({"errno": errno.EPERM}, "do it: operation not permitted"),
        ({"hint": "try"}, "do it"),
    ],
)
def test_absent_parts_leave_no_trace(parts: dict[str, Any], said: str) -> None:
    assert str(Failure("do it", **parts)) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "operation not permitted"),
        (errno.ENOENT, "no such file or directory"),
        (errno.EIO, "input/output error"),
    ],
)
def test_words_that_engines_look_for(number: int, said: str) -> None:
    assert words(number) == said


def test_detail_of_a_kernel_call_is_added_once() -> None:
    problem = raw.KernelError(errno.EINVAL, "fsconfig", "size=x; bad value")
    assert str(failure("mount tmpfs", problem)) == "mount tmpfs (size=x; bad value): fsconfig: invalid argument"
    known = raw.KernelError(errno.ENOENT, "open_tree", "/srv")
    assert str(failure("bind /srv", known)) == "bind /srv: open_tree: no such file or directory"


@pytest.mark.parametrize("name", ["/x/config.json", b"/x/config.json"])
def test_file_of_an_os_error(name: str | bytes) -> None:
    problem = OSError(errno.EACCES, "said otherwise", name)
    assert str(failure("read it", problem, where="/w")) == "/w: read it (/x/config.json): permission denied"


def test_a_file_is_not_said_twice() -> None:
    problem = OSError(errno.ENOENT, "x", "/b/config.json")
    assert str(failure("read it", problem, where="/b/config.json")) == "/b/config.json: read it: " + words(errno.ENOENT)


def test_an_os_error_without_anything() -> None:
    assert str(failure("do it", OSError("odd"))) == "do it"


def test_defaults() -> None:
    problem = NotSupported("not supported yet: linux.x", where="/linux/x")
    assert str(problem) == "/linux/x: not supported yet: linux.x"
    assert (problem.code, problem.errno, problem.hint) == (EXIT_ERROR, 0, "")


def test_kernel_error_names_call_and_errno() -> None:
    with pytest.raises(raw.KernelError) as caught:
        raw.call("close", raw.CLOSE, -1, detail="fd -1")
    assert (caught.value.call, caught.value.detail, caught.value.errno) == ("close", "fd -1", errno.EBADF)
    assert raw.checked("x", 7) == 7


@pytest.mark.parametrize(
    ("do", "room", "deed"),
    [
        (hostname.set_hostname, "hostname", "set_hostname"),
        (mounts.copy_source, "mounts", "copy_source"),
        (seccomp.load, "seccomp", "load"),
        (rlimits.set_limit, "rlimits", "set_limit"),
    ],
)
def test_a_step_knows_its_subsystem(do: Any, room: str, deed: str) -> None:
    step = Step(do, "/p", "text", 1, b"two")
    assert (step.room, step.deed, step.args, step.fd) == (room, deed, (1, b"two"), -1)


def test_kinds_of_steps_are_apart() -> None:
    assert not issubclass(InsideStep, OutsideStep)
    assert not issubclass(OutsideStep, InsideStep)


@pytest.mark.parametrize(
    ("text", "shown"), [("a\nb\x1b[2J", "a\\x0ab\\x1b[2J"), ("ü", "ü"), ("\udcff", "\udcff"), ("\u202e", "\\x202e")]
)
def test_a_sentence_is_one_line_and_does_nothing_to_a_terminal(text: str, shown: str) -> None:
    assert log.printable(text) == shown
