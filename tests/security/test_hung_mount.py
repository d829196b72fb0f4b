"""A filesystem that never answers, as a bind mount's source: only who waits for it waits, and can be ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from security import hungfs
from security.box import minimal_config
from security.lives import clean_up, command_line, finish, spawn
from support import facility
from support.bundle import with_bind
from support.command import wait_for
from support.host import HostSnapshot

if TYPE_CHECKING:
    from security.box import Box

pytestmark = [pytest.mark.security, pytest.mark.privileged]


# The kernel lets no signal end such a wait that has a handler or is blocked: SIGINT, which undoes, and all of a `run`.
@pytest.mark.parametrize(
    ("name", "number"), [("create", signal.SIGTERM), ("create", signal.SIGKILL), ("run", signal.SIGKILL)]
)
def test_who_waits_for_a_source_can_be_ended(box: Box, name: str, number: int) -> None:
    facility.need(hungfs.unavailable)
    point = box.base / "hung"
    box.runtime.run("other", box.write(minimal_config("sleep", "600")), "--detach").ok()
    with hungfs.mounted(point):
        before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
        bundle = box.write(with_bind(minimal_config("true"), point / "file", "/mnt"))
        process = spawn(box, ["env", "--default-signal", *command_line(box, name, bundle)])
        try:
            wait_for((box.runtime.root / box.ident / "config.json").exists, what="the container's record")
            assert {each["id"] for each in box.runtime.list()} == {"other", box.ident}
            assert box.runtime.status("other") == "running"
            process.send_signal(number)
            assert finish(process) == -number
        finally:
            process.kill()
            process.wait()
        clean_up(box, before, f"{name} ended by signal {number}")
