"""`wait`: the exit code of a program that is somebody else's child."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_shell
from support.command import DEFAULT_TIMEOUT, wait_for
from support.facility import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

UNKNOWN = "it has ended, and how is not known any more"


def kept() -> str:
    """What tells of a process whose parent has asked already."""
    numbers = tuple(int(each) for each in platform.release().split("-")[0].split(".")[:2])
    return "" if numbers >= (6, 15) else "not this lane: Linux before 6.15 forgets how a process has ended"


@contextmanager
def waiting(box: Box) -> Iterator[subprocess.Popen[str]]:
    """The command, once it looks at the container's process."""
    argv = [str(box.runtime.path), "--root", str(box.runtime.root), "wait", box.ident]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: holds_a_pidfd(process.pid), what="wait having a pidfd")
            yield process
        finally:
            process.kill()


def holds_a_pidfd(pid: int) -> bool:
    """Its descriptors come and go while it starts."""
    try:
        return any("\nPid:" in each.read_text() for each in Path(f"/proc/{pid}/fdinfo").iterdir())
    except FileNotFoundError:
        return False


@requires(kept)
@pytest.mark.parametrize(("end", "code"), [("exit 7", "7"), ("exit 0", "0"), ("", "137")])
def test_exit_code(box: Box, end: str, code: str) -> None:
    os.mkfifo(box.shared / "go")
    config = with_shell(box.with_shared(default_config()), f"read line </shared/go; {end}")
    box.run(config, "--detach").ok()
    with waiting(box) as process:
        if end:
            (box.shared / "go").write_text("go\n")
        else:
            box.runtime.delete(box.ident, force=True).ok()
        assert process.communicate(timeout=DEFAULT_TIMEOUT) == (f"{code}\n", "")
        assert process.returncode == 0


def test_as_long_as_the_parent_has_not_asked(box: Box) -> None:
    """Any kernel tells root of a zombie."""
    bundle = str(box.write(with_shell(default_config(), "exit 9")))
    argv = [str(box.runtime.path), "--root", str(box.runtime.root), "create", "--bundle", bundle, box.ident]
    subreaper = f"import ctypes, subprocess; ctypes.CDLL(None).prctl(36, 1); subprocess.call({argv!r}); input()"
    keeper = subprocess.Popen(["/usr/bin/python3", "-c", subreaper], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: box.runtime.call("state", box.ident).code == 0 and box.runtime.status(box.ident) == "created")
        with waiting(box) as process:
            box.runtime.start(box.ident).ok()
            assert process.communicate(timeout=DEFAULT_TIMEOUT) == ("9\n", "")
    finally:
        keeper.communicate(b"\n")


def test_one_that_has_ended(box: Box) -> None:
    box.run(with_shell(default_config(), "exit 3"), "--keep").expect(3)
    done = box.runtime.call("wait", box.ident).ok()
    assert (done.out, [each["msg"] for each in done.log]) == ("", [UNKNOWN])


def test_an_unknown_one(box: Box) -> None:
    assert "container does not exist" in one_sentence(box.runtime.call("wait", box.ident).expect(1))
