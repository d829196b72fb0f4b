"""What the runtime itself keeps hold of: while it waits for a program, for its hooks, and in its state directory."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from security import restorer
from security.box import Box, minimal_config, plain_config
from security.lives import command_line, finish, spawn
from support.bundle import with_hook, with_user_namespace
from support.command import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [pytest.mark.security, pytest.mark.privileged]

CAP_KILL = 1 << 5
WAITING = ["anon_inode:[pidfd]", "anon_inode:[signalfd]"]
TO_DELETE = CAP_KILL | 0b1111  # CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER


@contextmanager
def supervised(box: Box, argv: Sequence[str]) -> Iterator[int]:
    """The pid of a command in the foreground whose program runs; its caller has left a directory open for it."""
    leaked = os.open(box.sentinel().directory, os.O_RDONLY | os.O_DIRECTORY)
    process = spawn(box, argv, [leaked])
    os.close(leaked)
    try:
        wait_for(lambda: capabilities(process.pid, "CapPrm") & ~TO_DELETE == 0, what="the wait")
        yield process.pid
        box.runtime.kill(box.ident).ok()
        assert finish(process) == 128 + 9
    finally:
        process.kill()
        process.wait()
    assert (box.base / "said").read_text() == ""
    assert not (box.runtime.root / box.ident).exists()


def held(pid: int) -> list[str]:
    """What its descriptors beyond the standard streams are; empty when it closes some at this moment."""
    try:
        return sorted(str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2)
    except FileNotFoundError:
        return []


def capabilities(pid: int, name: str) -> int:
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines[name], 16)


def test_who_waits_for_the_program_holds_what_waiting_needs(box: Box) -> None:
    """The signals, the program, and the folder whose lock the deletion takes; nothing of the root or the caller."""
    with supervised(box, command_line(box, "run", box.write(plain_config("sleep", "600")))) as pid:
        assert held(pid) == [str(box.runtime.root / box.ident), *WAITING]


def test_so_does_a_restore(box: Box) -> None:
    """What was restored has nothing of the caller's either. CRIU itself may be too old for the kernel."""
    criu = box.base / "bin" / "criu"
    criu.parent.mkdir()
    criu.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {restorer.__file__} "$@"\n')
    criu.chmod(0o755)
    bundle = box.write(minimal_config("sleep", "600"))
    box.runtime.run(box.ident, bundle, "--detach").ok()
    env, images = ["env", f"PATH={criu.parent}:{os.environ['PATH']}"], ["--image-path", str(box.base / "images")]
    box.raw(*env, *box.command("checkpoint", *images, box.ident)).ok()
    with supervised(box, [*env, *box.command("restore", *images, "--bundle", str(bundle), box.ident)]) as pid:
        assert held(pid) == [str(box.runtime.root / box.ident), *WAITING]
        assert str(box.base / "host-data") not in held(int(box.runtime.state(box.ident)["pid"]))


@pytest.mark.parametrize("userns", [False, True])
def test_who_waits_for_the_program_may_kill_and_delete(box: Box, userns: bool) -> None:
    config = plain_config("sleep", "600")
    bundle = box.write(with_user_namespace(config) if userns else config)
    with supervised(box, command_line(box, "run", bundle)) as pid:
        for name in ("CapEff", "CapPrm"):
            assert capabilities(pid, name) & ~TO_DELETE == 0
            assert capabilities(pid, name) & CAP_KILL
        assert capabilities(pid, "CapInh") == 0
        # What is not dumpable lets nobody follow these, not even root without CAP_SYS_PTRACE.
        looking = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all", "readlink", f"/proc/{pid}/exe"]
        wait_for(lambda: box.raw(*looking).code == 1, what="the end of dumps")


def test_hooks_at_the_end_have_the_runtimes_rights(box: Box) -> None:
    config = with_hook(plain_config("true"), "poststop", "/bin/sh", "-c", f"cat /proc/self/status > {box.base}/seen")
    box.runtime.run(box.ident, box.write(config)).ok()
    lines = dict(line.split(":\t", 1) for line in (box.base / "seen").read_text().splitlines())
    assert int(lines["CapEff"], 16) == capabilities(os.getpid(), "CapEff")


def test_who_waits_for_an_exec_may_kill(box: Box) -> None:
    box.runtime.run(box.ident, box.write(plain_config("sleep", "600")), "--detach").ok()
    process = spawn(box, box.command("exec", box.ident, "sleep", "600"))
    try:
        wait_for(lambda: held(process.pid) == WAITING, what="the wait")
        wait_for(lambda: capabilities(process.pid, "CapPrm") == CAP_KILL, what="the wait with the right to kill alone")
        process.terminate()
        assert finish(process) == 128 + 15
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("umask", [0, 0o22, 0o777])
def test_only_the_owner_may_enter_the_state_directory(box: Box, umask: int) -> None:
    """Whatever the caller's umask, which is the program's too."""
    argv = box.command("create", "--bundle", str(box.write(plain_config("sh", "-c", "umask"))), box.ident)
    box.raw("sh", "-c", f"umask {umask:o}; exec {' '.join(argv)}").ok()
    found = {path: path.lstat().st_mode for path in [box.runtime.root, *box.runtime.root.rglob("*")]}
    assert len(found) == 5
    for path, mode in found.items():
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path
    box.runtime.start(box.ident).ok()
    wait_for(lambda: box.runtime.status(box.ident) == "stopped", what="the end")
    assert (box.base / "raw.out").read_text() == f"{umask:04o}\n"
