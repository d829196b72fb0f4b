"""The harness is only worth something when it notices: each helper is shown what it has to catch."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from support import facility
from support.bundle import APPLET_NAMES, BUSYBOX, default_config, make_rootfs, with_namespace, write_bundle
from support.command import CommandTimeoutError, process_alive, run_command, wait_for
from support.console import ConsoleSocket, Interactive
from support.facility import requires
from support.host import HostSnapshot, cgroup_mountpoints
from support.image import write_image_archive


def leak(snapshot: HostSnapshot) -> str:
    """The complaint about the difference that is there now."""
    with pytest.raises(AssertionError) as caught:
        snapshot.assert_unchanged(deadline=0.0)
    return str(caught.value)


@pytest.fixture
def snapshot(tmp_path: Path) -> HostSnapshot:
    """Before: with an empty runtime root, narrowed to this test's directory."""
    (tmp_path / "root").mkdir()
    return HostSnapshot.take(tmp_path / "root", scope=[str(tmp_path), tmp_path.name])


def test_snapshot_notices_a_file_and_forgives_caches(snapshot: HostSnapshot, tmp_path: Path) -> None:
    (tmp_path / "root" / ".cache").mkdir()
    snapshot.assert_unchanged()
    (tmp_path / "root" / "web").mkdir()
    assert "+ files: web" in leak(snapshot)


@requires(facility.root)
def test_snapshot_notices_a_process_and_its_network(snapshot: HostSnapshot, tmp_path: Path) -> None:
    program = facility.find_program("unshare")
    assert program is not None
    with subprocess.Popen([program, "--net", "sleep", "60"], env={**os.environ, "MARK": str(tmp_path)}) as process:
        try:
            wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", what="the new namespace")
            text = leak(snapshot)
        finally:
            process.kill()
    assert f"+ processes: {process.pid} started" in text
    assert "+ networks: net:[" in text
    snapshot.assert_unchanged()


@requires(facility.root)
def test_snapshot_notices_a_mount(snapshot: HostSnapshot, tmp_path: Path) -> None:
    target = tmp_path / "mounted"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(target)], check=True)
    try:
        text = leak(snapshot)
    finally:
        subprocess.run(["umount", str(target)], check=True)
    assert f"+ mounts: {target}" in text
    snapshot.assert_unchanged()


@requires(facility.root)
def test_snapshot_notices_a_cgroup_in_every_hierarchy(snapshot: HostSnapshot, tmp_path: Path) -> None:
    made = [point / tmp_path.name for point in cgroup_mountpoints()]
    if not made:
        pytest.skip("needs a mounted cgroup hierarchy")
    for path in made:
        path.mkdir()
    try:
        text = leak(snapshot)
    finally:
        for path in made:
            path.rmdir()
    assert [line for line in text.splitlines() if "cgroups" in line] == sorted(f"+ cgroups: {path}" for path in made)
    snapshot.assert_unchanged()


def test_wait_for_gives_up() -> None:
    with pytest.raises(AssertionError, match="the moon did not come true"):
        wait_for(lambda: False, deadline=0.01, what="the moon")


def test_command_that_hangs_is_ended(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 60"
    with pytest.raises(CommandTimeoutError):
        run_command(["sh", "-c", script], tmp_path / "call", timeout=0.5)
    assert not process_alive(int((tmp_path / "pid").read_text()))


def test_command_keeps_code_streams_and_input_apart(tmp_path: Path) -> None:
    done = run_command(["sh", "-c", "cat; echo wrong >&2; exit 9"], tmp_path / "call", stdin=b"in")
    assert (done.code, done.out, done.err) == (9, "in", "wrong\n")
    with pytest.raises(AssertionError, match="exit code 9, expected 0"):
        done.ok()


def test_interactive_program_has_a_controlling_terminal() -> None:
    with Interactive(
        ["sh", "-c", "stty size; read line < /dev/tty; echo got $line; exit 5"], rows=30, columns=90
    ) as it:
        it.terminal.read_until("30 90")
        it.terminal.send("word\r")
        it.terminal.read_until("got word")
        assert it.wait() == 5


def send(path: Path, descriptors: list[int]) -> None:
    """What a runtime does with the console socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
        socket.send_fds(client, [b"console"], descriptors)


def test_console_socket_takes_a_terminal_and_nothing_else(tmp_path: Path) -> None:
    master, slave = os.openpty()
    with ConsoleSocket(tmp_path / "s") as console:
        send(console.path, [master])
        with console.receive() as terminal:
            terminal.resize(11, 22)
            assert os.get_terminal_size(slave) == (22, 11)
        send(console.path, [0, 1] if os.isatty(0) else [os.open(os.devnull, os.O_RDONLY)])
        with pytest.raises(AssertionError, match=r"not a terminal|2 descriptors"):
            console.receive()
    os.close(master)
    os.close(slave)
    assert not (tmp_path / "s").exists()


@requires(facility.busybox)
def test_every_applet_of_the_rootfs_exists(tmp_path: Path) -> None:
    known = run_command([str(BUSYBOX), "--list"], tmp_path / "list").ok().out.split()
    assert set(APPLET_NAMES.split()) <= set(known)


@requires(facility.busybox)
def test_bundle_has_config_and_rootfs(tmp_path: Path) -> None:
    config = with_namespace(default_config("id"), "network", "/proc/1/ns/net")
    bundle = write_bundle(tmp_path / "bundle", config)
    written = json.loads((bundle / "config.json").read_text())
    assert [one for one in written["linux"]["namespaces"] if one["type"] == "network"] == [
        {"type": "network", "path": "/proc/1/ns/net"}
    ]
    assert (bundle / "rootfs" / "bin" / "sh").samefile(bundle / "rootfs" / "bin" / "busybox")


@requires(facility.busybox)
def test_image_archive_is_consistent(tmp_path: Path) -> None:
    archive = write_image_archive(make_rootfs(tmp_path / "rootfs"), tmp_path, "registry.invalid/x:1")
    with tarfile.open(archive) as opened:
        blobs = [name for name in opened.getnames() if "/sha256/" in name]
        for name in blobs:
            content = opened.extractfile(name)
            assert content is not None
            assert hashlib.sha256(content.read()).hexdigest() == name.rpartition("/")[2]
    assert len(blobs) == 3
