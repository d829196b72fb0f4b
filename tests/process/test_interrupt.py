"""SIGINT ends each command as it ends any program: by the signal, without a word, and what was begun is undone."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.bundle import default_config
from support.runtime import process_alive, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def interrupted(box: Box, *words: str, until: Path) -> None:
    """Call the runtime, send SIGINT when the file `until` is there, and see how it ends."""
    command = ["env", "--default-signal", str(box.runtime.path), "--root", str(box.runtime.root), *words]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_for(until.exists, what=str(until))
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == -signal.SIGINT
            assert process.stdout
            assert process.stderr
            assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
        finally:
            process.kill()


@pytest.mark.parametrize("words", [("create",), ("run", "--detach")])
def test_what_was_being_made_goes(box: Box, words: tuple[str, ...]) -> None:
    """While a hook of the host runs: it ends too, and the poststop hooks do not run for a container that never was."""
    pid_file = box.shared / "pid"
    config = default_config("true")
    script = f"echo $$ > {box.shared}/new; mv {box.shared}/new {pid_file}; exec sleep 1000"
    config["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    box.write(config)
    before = box.snapshot()
    interrupted(box, *words, "--bundle", str(box.bundle), box.ident, until=pid_file)
    wait_for(lambda: not process_alive(int(pid_file.read_text())), what="the end of the hook")
    before.assert_unchanged()
