"""A distribution's root filesystem, made by debootstrap, with bash, apt and python3 in it: by hand and detached."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import debian_rootfs, default_config, with_args, with_capabilities, with_terminal
from support.console import Interactive
from support.facility import need

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.slow]

APT_CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_KILL")


@pytest.fixture
def debian(box: Box) -> Config:
    """A config whose root is the Debian tree."""
    need(facility.debootstrap)
    config = with_capabilities(default_config(), APT_CAPABILITIES)
    config["root"] = {"path": os.path.relpath(debian_rootfs(), box.bundle), "readonly": True}
    return config


def test_interactive_with_a_terminal(box: Box, debian: Config) -> None:
    """bash with job control and a prompt, python3 and apt typed by hand, the exit code of `exit 7`."""
    box.write(with_terminal(with_args(debian, "bash", "--norc", "-i")))
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "--bundle", str(box.bundle), box.ident]
    with Interactive(command, rows=30, columns=100) as program:
        terminal = program.terminal
        terminal.read_until("# ")
        terminal.send("stty size; tty; sleep 0 & wait; echo $((6 * 7))\n")
        seen = terminal.read_until("42\r\n")
        assert "30 100" in seen
        assert "/dev/pts/0" in seen
        terminal.send("python3 -c 'import sys, os; print(sys.version_info[0] * 111, os.getpid() > 1)'\n")
        terminal.read_until("333 True")
        terminal.send("apt-get --version | head -n 1; dpkg-query -W -f '${Package}:${Status}\\n' bash\n")
        terminal.read_until("bash:install ok installed")
        terminal.send("exit 7\n")
        assert program.wait() == 7


def test_detached(box: Box, debian: Config) -> None:
    """create, start, exec, kill, delete."""
    before = box.snapshot()
    box.create(with_args(debian, "bash", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")).ok()
    assert box.runtime.status(box.ident) == "created"
    box.runtime.start(box.ident).ok()
    found = (
        box.runtime.exec(box.ident, "python3", "-c", "import sys, os; print(sys.version_info[0], os.getuid())").ok().out
    )
    assert found == "3 0\n"
    assert "apt " in box.runtime.exec(box.ident, "apt-get", "--version").ok().out
    assert box.runtime.exec(box.ident, "bash", "-c", "exit 9").code == 9
    box.runtime.kill(box.ident, "TERM").ok()
    box.runtime.wait_status(box.ident, "stopped")
    box.runtime.delete(box.ident).ok()
    before.assert_unchanged()
