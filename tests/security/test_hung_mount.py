"""A filesystem that never answers, as a bind mount's source: only who waits for it waits, and can be ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from security import hungfs
from security.box import minimal_config
from security.lives import WHOLE, clean_up, command_line, finish, spawn
from support import facility
from support.bundle import with_bind
from support.command import wait_for
from support.host import HostSnapshot

if TYPE_CHECKING:
    from security.box import Box

pytestmark = [pytest.mark.security, pytest.mark.privileged]


# How far the server comes: it reads no question, it reads the first one, it answers that one and reads the next. The
# runtime itself waits for a child; that of a foreground `run` may only be killed, since its signals are the program's.
UNREAD, READ, NEXT = range(3)


SIGNALS = {"create": (signal.SIGINT, signal.SIGTERM, signal.SIGKILL), "run": (signal.SIGKILL,)}
CASES = [(name, number, far) for name, numbers in SIGNALS.items() for number in numbers for far in (UNREAD, READ, NEXT)]
if not WHOLE:
    CASES.remove(("create", signal.SIGINT, NEXT))  # it takes the seconds after which the process is given up


@pytest.mark.parametrize(("name", "number", "far"), CASES)
def test_who_waits_for_a_source_can_be_ended(box: Box, name: str, number: int, far: int) -> None:
    """SIGINT undoes too; where the container's process cannot be ended it leaves the record, like the others."""
    facility.need(hungfs.unavailable)
    point = box.base / "hung"
    box.runtime.run("other", box.write(minimal_config("sleep", "600")), "--detach").ok()
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    with hungfs.mounted(point) as server:
        bundle = box.write(with_bind(minimal_config("true"), point / "file", "/mnt"))
        process = spawn(box, ["env", "--default-signal", *command_line(box, name, bundle)])
        try:
            if far == NEXT:
                server.find()
            if far:
                server.read()
            wait_for((box.runtime.root / box.ident / "config.json").exists, what="the container's record")
            assert {each["id"] for each in box.runtime.list()} == {"other", box.ident}
            assert box.runtime.status("other") == "running"
            process.send_signal(number)
            assert finish(process) == -number
            assert (box.runtime.root / box.ident).exists() == (number != signal.SIGINT or far == NEXT)
        finally:
            process.kill()
            process.wait()
        if far != NEXT:
            box.runtime.delete(box.ident, force=True).ok()
    clean_up(box, before, f"{name} ended by signal {number}")
