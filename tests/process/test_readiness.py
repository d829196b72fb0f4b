"""NOTIFY_SOCKET: a container's program tells the runtime's supervisor that it is ready, and nothing else."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import Config, default_config, with_args, with_bind, with_namespace
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SECONDS = 10
HERE = "/run/notify/notify.sock"
SAY = f"""
import os, socket, time
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(text, **more):
    link.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
def wait(name):
    while not os.path.exists("/shared/" + name):
        time.sleep(0.01)
assert os.environ["NOTIFY_SOCKET"] == {HERE!r}, os.environ["NOTIFY_SOCKET"]
"""


class Supervisor:
    """The socket of a service manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(SECONDS)

    def heard(self) -> list[str]:
        """The lines of the next message."""
        return self.socket.recv(4096).decode().split("\n")

    def silent(self) -> bool:
        """Whether nothing more has come."""
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(4096)
        except BlockingIOError:
            return True


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, box: Box) -> Iterator[Supervisor]:
    made = Supervisor(f"@{box.ident}" if request.param == "abstract" else str(box.directory / "supervisor"))
    box.runtime.env["NOTIFY_SOCKET"] = made.address
    yield made
    made.socket.close()


def speaking(box: Box, script: str) -> Config:
    """A container that runs Python of the host with SAY before it, as a user without rights."""
    config = box.with_shared(with_args(default_config(), "/usr/bin/python3", "-I", "-S", "-c", SAY + script))
    config["process"]["user"] = {"uid": 1000, "gid": 1000}
    box.shared.chmod(0o777)
    for folder in ("/usr", "/lib", "/lib64"):
        if Path(folder).exists():
            config = with_bind(config, Path(folder).resolve(), folder, "ro", "rbind")
    return config


def ready_of(box: Box) -> list[str]:
    return [f"MAINPID={box.runtime.state(box.ident)['pid']}", "READY=1"]


def test_start_returns_when_the_program_is_ready(box: Box, supervisor: Supervisor) -> None:
    config = speaking(box, "say('STATUS=soon'); wait('go'); say('READY=1'); time.sleep(1000)")
    box.create(config).ok()
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "start", box.ident]
    with subprocess.Popen(command, env=box.runtime.env, stdin=subprocess.DEVNULL) as started:
        wait_for(lambda: box.runtime.status(box.ident) == "running")
        box.runtime.call("kill", box.ident, "0").ok()  # nobody holds the lock
        assert started.poll() is None
        (box.shared / "go").touch()
        assert started.wait(SECONDS) == 0
    assert supervisor.heard() == ready_of(box)
    assert supervisor.silent()


def test_run_detached_returns_when_the_program_is_ready(box: Box, supervisor: Supervisor) -> None:
    box.run(speaking(box, "say('READY=1'); time.sleep(1000)"), "--detach").ok()
    assert supervisor.heard() == ready_of(box)


def test_run_in_the_foreground_tells_it_meanwhile(box: Box, supervisor: Supervisor) -> None:
    script = "say('STATUS=x'); say('READY=1'); say('READY=1'); wait('go'); print(os.listdir('/run/notify'))"
    bundle = box.write(speaking(box, script))
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-b", str(bundle), box.ident]
    with subprocess.Popen(command, env=box.runtime.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        assert supervisor.heard() == ready_of(box)
        (box.shared / "go").touch()
        assert running.communicate(timeout=SECONDS)[0] == b"['notify.sock']\n"
    assert supervisor.silent()
    assert box.runtime.list() == []


def test_a_program_that_ends_without_a_word(box: Box, supervisor: Supervisor) -> None:
    before = box.snapshot()
    box.run(speaking(box, "pass"), "--detach").ok()
    assert supervisor.silent()
    box.runtime.delete(box.ident).ok()
    before.assert_unchanged()


def test_only_readiness_is_passed_on(box: Box, supervisor: Supervisor) -> None:
    """SECURITY: neither the container's idea of the main process nor its descriptors reach the supervisor."""
    script = """
import array
passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
link.sendmsg([b"MAINPID=1\\nFDSTORE=1\\nREADY=1\\nSTOPPING=1"], passed, 0, os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""
    box.run(speaking(box, script), "--detach").ok()
    message, ancillary, _flags, _address = supervisor.socket.recvmsg(4096, 4096)
    assert (message.decode().split("\n"), ancillary) == (ready_of(box), [])


def test_the_folder_cannot_be_written_from_inside(box: Box, supervisor: Supervisor) -> None:
    config = speaking(box, "say('READY=1'); open('/run/notify/x', 'w')")
    config["process"]["user"] = {"uid": 0, "gid": 0}
    result = box.run(config)
    assert "Read-only file system: '/run/notify/x'" in result.err
    assert "nosuid,nodev,noexec" in box.shell("grep /run/notify /proc/mounts")
    assert supervisor.address


def test_without_the_variable_there_is_nothing(box: Box) -> None:
    box.runtime.env.pop("NOTIFY_SOCKET", None)
    assert box.shell("echo ${NOTIFY_SOCKET-none}; ls /run/notify 2>/dev/null || echo gone") == "none\ngone\n"


def test_exec_does_not_inherit_it(box: Box, supervisor: Supervisor) -> None:
    box.run(speaking(box, "say('READY=1'); time.sleep(1000)"), "--detach").ok()
    assert box.exec("echo ${NOTIFY_SOCKET-none}").ok().out == "none\n"
    assert supervisor.heard() == ready_of(box)


def test_a_supervisor_that_is_gone_is_a_warning(box: Box) -> None:
    address = str(box.directory / "gone")
    box.runtime.env["NOTIFY_SOCKET"] = address
    result = box.run(speaking(box, "say('READY=1'); time.sleep(1000)"), "--detach").ok()
    told = [line["msg"] for line in result.log if line["level"] == "warning"]
    assert told == [f"$NOTIFY_SOCKET: the container is ready, but {address} cannot be told: No such file or directory"]


def test_a_container_without_a_mount_namespace_is_refused(box: Box) -> None:
    box.runtime.env["NOTIFY_SOCKET"] = str(box.directory / "any")
    config = default_config("true")
    config["linux"] = {"namespaces": []}
    config["mounts"] = []
    config = with_namespace(config, "uts")
    sentence = one_sentence(box.run(config).expect(1))
    assert sentence.endswith("$NOTIFY_SOCKET: it needs a mount namespace, and linux.namespaces has none")
    assert box.runtime.list() == []
