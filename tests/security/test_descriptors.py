"""Descriptors and the working directory: nothing of the host's is left open for the container (CVE-2024-21626)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from security.box import Box, plain_config
from support.command import wait_for
from support.console import ConsoleSocket

pytestmark = [pytest.mark.security, pytest.mark.privileged]

# Through the container's /proc/self/fd these would lead to what the runtime holds open.
FDS = range(3, 21)
LIST_FDS = 'cd /proc/self/fd; for fd in [0-9]*; do [ -e "$fd" ] && echo "$fd $(readlink "$fd")"; done; true'


def listed(text: str) -> dict[int, str]:
    """Descriptor -> what it is, without the one with which the shell reads the directory."""
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return {int(fd): target for fd, target in pairs if not target.startswith("/proc/")}


@pytest.mark.parametrize("through", ["/proc/self/fd/{}", "/proc/1/fd/{}", "/link{}", "/proc/self/fd/{}/../../.."])
def test_run_refuses_a_working_directory_behind_a_descriptor(box: Box, through: str) -> None:
    host = box.sentinel()
    for fd in FDS:
        (box.rootfs / f"link{fd}").symlink_to(f"/proc/self/fd/{fd}")
        config = plain_config("sh", "-c", "pwd; ls; cat secret")
        config["process"]["cwd"] = through.format(fd)
        bundle = box.write(config)
        leaked = os.open(host.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            done = box.raw(*box.command("run", "--bundle", str(bundle), box.ident), pass_fds=[leaked])
        finally:
            os.close(leaked)
        assert done.code != 0, f"cwd {through.format(fd)} was accepted: {done.out}"
        assert "of the host" not in done.out
        assert "/process/cwd" in done.err


@pytest.mark.parametrize("through", ["/proc/self/fd/{}", "/proc/1/fd/{}", "/link{}"])
def test_exec_refuses_a_working_directory_behind_a_descriptor(box: Box, through: str) -> None:
    for fd in FDS:
        (box.rootfs / f"link{fd}").symlink_to(f"/proc/self/fd/{fd}")
    box.runtime.run(box.ident, box.write(plain_config("sleep", "60")), "--detach").ok()
    for fd in FDS:
        done = box.runtime.exec(box.ident, "pwd", options=["--cwd", through.format(fd)])
        assert done.code == 255, f"cwd {through.format(fd)} was accepted: {done.out}"


def test_inherited_descriptors_do_not_reach_the_program(box: Box) -> None:
    """Directories of the host, open without close-on-exec in the runtime's caller."""
    host = box.sentinel()
    leaked = [os.open(host.directory, os.O_RDONLY | os.O_DIRECTORY) for _ in range(12)]
    try:
        bundle = box.write(plain_config("sh", "-c", LIST_FDS))
        run = box.raw(*box.command("run", "--bundle", str(bundle), box.ident), pass_fds=leaked).ok()
        assert set(listed(run.out)) == {0, 1, 2}, run.out
        config = plain_config("sleep", "60")
        started = box.raw(
            *box.command("run", "--detach", "--bundle", str(box.write(config)), box.ident), pass_fds=leaked
        )
        started.ok()
        entered = box.raw(*box.command("exec", box.ident, "sh", "-c", LIST_FDS), pass_fds=leaked).ok()
        assert set(listed(entered.out)) == {0, 1, 2}, entered.out
    finally:
        for fd in leaked:
            os.close(fd)


def test_a_hook_of_the_container_gets_standard_descriptors_only(box: Box) -> None:
    config = plain_config("cat", "/tmp/fds")
    script = f"({LIST_FDS}) > /tmp/fds"
    config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    host = box.sentinel()
    leaked = os.open(host.directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        done = box.raw(*box.command("run", "--bundle", str(box.write(config)), box.ident), pass_fds=[leaked]).ok()
    finally:
        os.close(leaked)
    # The shell keeps a copy of what it redirected; everything beyond must be of the container.
    assert set(listed(done.out)) >= {0, 1, 2}
    assert str(box.base) not in done.out.replace("/tmp/fds", ""), done.out
    assert all(fd < 3 or target == "/tmp/fds" or fd >= 10 for fd, target in listed(done.out).items()), done.out


def directories_of_the_host(pid: int) -> list[str]:
    """Descriptors that are directories on a mount outside the process's mount namespace (proc_pid_fdinfo(5))."""
    mounts = {line.split()[0] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}
    held = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        info = dict(line.split(":\t") for line in Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().splitlines()[:4])
        if stat.S_ISDIR(link.stat().st_mode) and info["mnt_id"].strip() not in mounts:
            held.append(f"{link.name} -> {link.readlink()}")
    return held


def test_a_waiting_init_holds_no_directory_of_the_host(box: Box) -> None:
    box.runtime.create(box.ident, box.write(plain_config("sleep", "60"))).ok()
    pid = int(box.runtime.state(box.ident)["pid"])
    assert directories_of_the_host(pid) == []
    box.runtime.start(box.ident).ok()
    wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", what="the program")
    assert sorted(int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()) == [0, 1, 2]


def test_the_terminals_master_stays_outside(box: Box) -> None:
    config = plain_config("sh", "-c", LIST_FDS)
    config["process"]["terminal"] = True
    with ConsoleSocket(box.base / "tty.sock") as console:
        bundle = box.write(config)
        box.runtime.create(box.ident, bundle, "--console-socket", str(console.path)).ok()
        with console.receive() as terminal:
            box.runtime.start(box.ident).ok()
            text = terminal.read_to_end()
    assert set(listed(text.replace("\r", ""))) - {10, 255} == {0, 1, 2}, text
    assert "ptmx" not in text


@pytest.mark.parametrize("options", [("--preserve-fds", "2")], ids=["preserve"])
def test_preserved_descriptors_are_the_asked_ones_only(box: Box, options: tuple[str, ...]) -> None:
    host = box.sentinel()
    bundle = box.write(plain_config("sh", "-c", LIST_FDS))
    leaked = [os.open(host.directory / "secret", os.O_RDONLY) for _ in range(4)]
    script = " ".join(f"{at}<&{fd}" for at, fd in zip(range(3, 7), leaked, strict=True))
    command = " ".join(box.command("run", *options, "--bundle", str(bundle), box.ident))
    try:
        done = box.raw("bash", "-c", f"exec {command} {script}", pass_fds=leaked).ok()
    finally:
        for fd in leaked:
            os.close(fd)
    assert set(listed(done.out)) == {0, 1, 2, 3, 4}, done.out
