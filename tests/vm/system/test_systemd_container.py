"""Debian boots in a container: systemd is its first process (docs/engines/system-containers.md, whose JSON this is).

By hand, `./dev test-vm tests/vm/system`: a boot takes a minute there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bundle import SYSTEMD, debian_rootfs
from support.command import wait_for
from support.console import ConsoleSocket, Interactive
from support.pages import system_container
from vm.groups import MIB, TOP, group_of, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config

MINUTES = 300.0
SERVICE = f"""\
[Service]
ExecStart=/usr/bin/sleep infinity
Restart=always
RestartSec=0
MemoryMax={32 * MIB}
ExecStop=/usr/bin/touch /var/stopped
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def debian(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """The page's configuration, whose root is Debian's tree with a service more."""
    upper, work, root = (tmp_path_factory.mktemp(name) for name in ("upper", "work", "root"))
    upper.chmod(0o755)  # the root's own mode: services have users that have to pass it
    options = f"lowerdir={debian_rootfs(*SYSTEMD)},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], check=True)
    try:
        units = root / "etc" / "systemd" / "system"
        (units / "own.service").write_text(SERVICE)
        (units / "multi-user.target.wants" / "own.service").symlink_to("../own.service")
        config = system_container()
        config["root"]["path"] = str(root)
        config["linux"]["cgroupsPath"] = f"/{box.ident}"
        yield config
        box.runtime.remove_all()
    finally:
        subprocess.run(["umount", str(root)], check=True)


def systemctl(box: Box, *words: str) -> str:
    """What `systemctl` prints in the container; its exit code may say that a unit has failed."""
    return box.runtime.call("exec", box.ident, "systemctl", "--no-pager", *words, timeout=MINUTES).out


def main_pid(box: Box) -> str:
    """Of the service; 0 while it has no process, when its cgroup may be missing too."""
    return systemctl(box, "show", "--property", "MainPID", "--value", "own.service").strip()


def wait_for_boot(box: Box) -> None:
    """All units are up; the bus comes some time after the first process."""
    wait_for(lambda: systemctl(box, "is-system-running", "--wait").strip(), MINUTES, "the bus")
    assert systemctl(box, "list-units", "--failed", "--plain", "--no-legend") == ""
    assert systemctl(box, "is-system-running") == "running\n"


def test_a_boot_on_a_terminal(box: Box, debian: Config) -> None:
    """To multi-user, with services in cgroups of their own, which come back when they are killed; then the end."""
    box.write(debian)
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "--bundle", str(box.bundle), box.ident]
    with Interactive(command) as console:
        seen = console.terminal.read_until("system login:", MINUTES)
        assert "Welcome to Debian GNU/Linux 12" in seen
        wait_for_boot(box)
        units = systemctl(box, "list-units", "--plain", "--no-legend", "--state=running", "--type=service").splitlines()
        running = {line.split()[0] for line in units}
        assert running >= {"console-getty.service", "dbus.service", "own.service", "systemd-journald.service"}
        assert systemctl(box, "is-active", "multi-user.target") == "active\n"
        own = TOP / box.ident / "system.slice" / "own.service"
        assert read(own, "memory.max") == str(32 * MIB)
        first = main_pid(box)
        systemctl(box, "kill", "--signal", "KILL", "own.service")
        wait_for(lambda: main_pid(box) not in ("0", first), MINUTES, "the service to come back")
        box.runtime.kill(box.ident, 37).ok()
        assert console.wait(MINUTES) == 0
    assert Path(debian["root"]["path"], "var", "stopped").exists()
    assert box.runtime.list() == []


def test_a_boot_that_is_detached(box: Box, debian: Config) -> None:
    """create and start with a console socket; the annotation's signal ends it."""
    box.write(debian)
    with ConsoleSocket(box.directory / "console") as socket:
        box.runtime.create(box.ident, box.bundle, "--console-socket", str(socket.path)).ok()
        with socket.receive() as console, console.slave():  # systemd closes its console between two messages
            box.runtime.start(box.ident).ok()
            console.read_until("system login:", MINUTES)
            wait_for_boot(box)
            assert group_of(box.runtime.state(box.ident)["pid"]) == TOP / box.ident / "init.scope"
            box.runtime.call("kill", box.ident).ok()
            box.runtime.wait_status(box.ident, "stopped", MINUTES)
    box.runtime.delete(box.ident).ok()
