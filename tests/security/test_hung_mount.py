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


# How far the server comes: it reads no question, it reads the first one, it answers that one and reads the next.
UNREAD, READ, NEXT = range(3)
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
CASES = [(name, number, far) for name in ("create", "run") for number in NUMBERS for far in (UNREAD, READ, NEXT)]
for last in NUMBERS[:2]:
    CASES.remove(("run", last, NEXT))  # by then its signals are the program's
if not WHOLE:
    CASES.remove(("create", signal.SIGINT, NEXT))  # it takes the seconds after which the process is given up


@pytest.mark.parametrize(("name", "number", "far"), CASES)
def test_who_waits_for_a_source_can_be_ended(box: Box, name: str, number: int, far: int) -> None:
    """Who can undoes; where the container's process cannot be ended that leaves the record too."""
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
            told = (name, number) == ("run", signal.SIGTERM)
            assert finish(process) == (1 if told else -number)
            undone = (told or number == signal.SIGINT) and far != NEXT
            assert (box.runtime.root / box.ident).exists() != undone
        finally:
            process.kill()
            process.wait()
        if far != NEXT:
            box.runtime.delete(box.ident, force=True).ok()
    clean_up(box, before, f"{name} ended by signal {number}")
