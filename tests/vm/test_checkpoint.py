"""checkpoint and restore with CRIU, on a kernel that Debian's CRIU knows."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from process.box import changed, one_sentence
from process.calls import Calls, compile_calls
from support.apparmor import loaded
from support.bundle import (
    default_config,
    with_args,
    with_bind,
    with_cgroup,
    with_hook,
    with_namespace,
    with_shell,
    with_terminal,
    without_namespace,
)
from support.console import ConsoleSocket, Terminal
from support.runtime import process_alive, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config
    from support.runtime import Result

SECONDS = 60.0
COUNTING = "(i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done) | while read n; do echo $n >/dev/shm/n; done"
LOOPBACK = (
    "mkfifo /dev/shm/in; sleep 10000 | nc -l -p 99 >/dev/shm/out & "
    "until nc 127.0.0.1 99 </dev/shm/in >/dev/null; do sleep 0.1; done & "
    "exec 3>/dev/shm/in; echo before >&3; while :; do sleep 1000; done"
)


def counted(box: Box) -> int:
    """What the counting processes have come to; 0 before the first number."""
    shown = box.exec("cat /dev/shm/n")
    return int(shown.out) if shown.code == 0 and shown.out.strip() else 0


def counting(box: Box, config: Config | None = None) -> int:
    """Start the counting container; returns a number that it has reached."""
    config = default_config() if config is None else config
    box.run(with_shell(config, COUNTING), "--detach").ok()
    wait_for(lambda: counted(box) > 2, SECONDS)
    return counted(box)


def checkpoint(box: Box, *options: str, images: str = "images") -> Result:
    """`checkpoint` into a directory of the box."""
    return box.runtime.call("checkpoint", "--image-path", str(box.directory / images), *options, box.ident)


def restore(box: Box, *options: str, ident: str = "", images: str = "images") -> Result:
    """`restore` from it; detached, unless the options say otherwise."""
    paths = ("--image-path", str(box.directory / images), "--bundle", str(box.bundle))
    return box.runtime.call("restore", *paths, *(options or ("--detach",)), ident or box.ident)


def test_processes_go_on_where_they_were(box: Box) -> None:
    config = with_cgroup(default_config(), f"/{box.ident}", {"memory": {"limit": 64 << 20}})
    reached = counting(box, config)
    pid = box.runtime.state(box.ident)["pid"]
    work = box.directory / "work"
    checkpoint(box, "--work-path", str(work)).ok()
    assert (work / "dump.log").exists()
    assert not process_alive(pid)
    assert box.runtime.list() == []
    assert not Path(f"/sys/fs/cgroup/{box.ident}").exists()
    pid_file = box.directory / "pid"
    restore(box, "--work-path", str(work), "--detach", "--pid-file", str(pid_file), "-no-subreaper").ok()
    state = box.runtime.state(box.ident)
    assert state["status"] == "running"
    assert state["pid"] == int(pid_file.read_text())
    now = counted(box)
    assert now >= reached
    wait_for(lambda: counted(box) > now, SECONDS)
    assert Path(f"/sys/fs/cgroup/{box.ident}/memory.max").read_text() == f"{64 << 20}\n"
    procs = Path(f"/sys/fs/cgroup/{box.ident}/cgroup.procs").read_text().split()
    assert str(state["pid"]) in procs
    assert len(procs) >= 3
    stats = json.loads(box.runtime.call("events", "--stats", box.ident).ok().out)
    assert stats["data"]["pids"]["current"] >= 3
    box.runtime.call("pause", box.ident).ok()
    assert box.runtime.status(box.ident) == "paused"
    box.runtime.call("resume", box.ident).ok()
    box.runtime.kill_and_delete(box.ident)


def test_it_goes_on_when_asked_to(box: Box) -> None:
    counting(box)
    checkpoint(box, "--leave-running").ok()
    now = counted(box)
    wait_for(lambda: counted(box) > now, SECONDS)
    assert restore(box).code == 1, "the id is in use"
    other = box.name("twin")
    restore(box, ident=other).ok()
    assert box.runtime.status(other) == "running"
    assert box.runtime.status(box.ident) == "running"


def test_memory_is_saved_beforehand(box: Box) -> None:
    counting(box)
    checkpoint(box, "--pre-dump", images="before").ok()
    now = counted(box)
    wait_for(lambda: counted(box) > now, SECONDS)
    assert "relative" in one_sentence(checkpoint(box, "--parent-path", str(box.directory / "before")))
    checkpoint(box, "--parent-path", "../before", "--auto-dedup").ok()
    assert (box.directory / "images" / "parent").is_symlink()
    restore(box).ok()
    assert counted(box) >= now


def test_tcp_on_loopback_and_the_error_without_the_option(box: Box) -> None:
    box.run(with_shell(default_config(), LOOPBACK), "--detach").ok()
    wait_for(lambda: "before" in box.exec("cat /dev/shm/out").out, SECONDS)
    said = one_sentence(checkpoint(box))
    log = box.directory / "images" / "dump.log"
    assert f"log: {log}" in said
    assert "TCP" in said
    assert [each.name for each in (box.directory / "images").iterdir()] == ["dump.log"]
    assert box.runtime.status(box.ident) == "running"
    checkpoint(box, "--tcp-established").ok()
    restore(box, "--tcp-established", "--detach").ok()
    box.exec("echo after >/dev/shm/in").ok()
    wait_for(lambda: "after" in box.exec("cat /dev/shm/out").out, SECONDS)


def test_a_terminal_is_handed_out_again(box: Box, tmp_path: Path) -> None:
    config = with_shell(
        with_terminal(default_config()), "read line; echo got $line; read line; echo then $line; exit 3"
    )
    path = Path("/tmp") / f"{box.ident}.sock"
    with ConsoleSocket(path) as socket:
        box.run(config, "--detach", "--console-socket", str(path)).ok()
        terminal = socket.receive(SECONDS)
        terminal.send("one\n")
        terminal.read_until("got one", SECONDS)
        checkpoint(box).ok()
        terminal.close()
        restore(box, "--detach", "--console-socket", str(path)).ok()
        terminal = socket.receive(SECONDS)
        terminal.send("two\n")
        terminal.read_until("then two", SECONDS)
        terminal.close()
    box.runtime.wait_status(box.ident, "stopped", SECONDS)


def test_in_the_foreground_it_waits_for_the_end(box: Box) -> None:
    script = "while [ ! -e /shared/go ]; do sleep 0.1; done; exit 7"
    box.run(box.with_shared(with_shell(default_config(), script)), "--detach").ok()
    checkpoint(box).ok()
    (box.shared / "go").touch()
    restore(box, "--bundle", str(box.bundle)).expect(7)
    assert box.runtime.list() == []


def test_pipes_of_the_caller_are_replaced(box: Box) -> None:
    bundle = box.write(with_shell(default_config(), "read a; echo first $a; read b; echo second $b"))
    head = [str(box.runtime.path), "--root", str(box.runtime.root)]

    def piped(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*head, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    first = piped("run", "--detach", "--bundle", str(bundle), box.ident)
    assert first.stdin
    assert first.stdout
    first.stdin.write(b"one\n")
    first.stdin.flush()
    assert first.stdout.readline() == b"first one\n"
    checkpoint(box).ok()
    first.communicate(timeout=SECONDS)
    paths = ("--image-path", str(box.directory / "images"), "--bundle", str(bundle))
    second = piped("restore", "--detach", *paths, box.ident)
    out, err = second.communicate(b"two\n", timeout=SECONDS)
    assert out == b"second two\n", err


def test_a_pipe_does_not_take_the_place_of_the_null_device(box: Box) -> None:
    """CRIU would seek in it; so containerd restores a task that had no streams."""
    box.write(with_shell(default_config(), COUNTING))
    argv = [str(box.runtime.path), "--root", str(box.runtime.root)]
    nothing = subprocess.DEVNULL
    run = [*argv, "run", "--detach", "--bundle", str(box.bundle), box.ident]
    subprocess.run(run, stdin=nothing, stdout=nothing, stderr=nothing, check=True, timeout=SECONDS)
    wait_for(lambda: counted(box) > 0, SECONDS)
    checkpoint(box).ok()
    restoring = ["restore", "--image-path", str(box.directory / "images"), "--bundle", str(box.bundle), "--detach"]
    done = subprocess.run([*argv, *restoring, box.ident], input=b"", capture_output=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    now = counted(box)
    wait_for(lambda: counted(box) > now, SECONDS)


def test_hooks_of_the_runtime_run_before_anything_is_restored(box: Box) -> None:
    config = default_config()
    for stage in ("prestart", "createRuntime", "poststop"):
        script = f"echo {stage} $(cat) >>{box.shared}/said"
        with_hook(config, stage, "/bin/sh", "-c", script)
    counting(box, config)
    (box.shared / "said").unlink()
    checkpoint(box).ok()
    restore(box).ok()
    said = [line.partition(" ") for line in (box.shared / "said").read_text().splitlines()]
    assert [word for word, _, _ in said] == ["poststop", "prestart", "createRuntime"]
    pid = box.runtime.state(box.ident)["pid"]
    assert [json.loads(text)["pid"] for _, _, text in said] == [0, pid, pid]


def test_a_failing_hook_leaves_nothing(box: Box) -> None:
    config = with_hook(default_config(), "prestart", "/bin/sh", "-c", f"test ! -e {box.shared}/fail")
    counting(box, config)
    checkpoint(box).ok()
    (box.shared / "fail").touch()
    assert one_sentence(restore(box)).startswith(f"restore {box.ident}: /hooks/prestart/0: ")
    assert box.runtime.list() == []


def test_damaged_images_leave_nothing(box: Box) -> None:
    counting(box)
    checkpoint(box).ok()
    (box.directory / "images" / "core-1.img").write_bytes(b"nothing")
    said = one_sentence(restore(box))
    assert f"log: {box.directory}/images/restore.log" in said
    assert box.runtime.list() == []


def test_mounts_stay_what_they_were(box: Box) -> None:
    """Also the second and third of one source, and what covers the masked files: CRIU forgets the flags of those."""
    config = default_config()
    for place in ("/shared", "/again", "/once-more"):
        config = with_bind(config, box.shared, place, "bind", "ro", "nosuid")
    (box.shared / "seen").write_text("seen")
    counting(box, changed(config, "/root/readonly", True))
    listed = "cut -d ' ' -f 4- /proc/self/mountinfo | sed 's/master:[0-9]*//; s/shared:[0-9]*//'"
    before = {line.split()[1]: line.split()[2] for line in box.exec(listed).ok().out.splitlines()}
    checkpoint(box).ok()
    restore(box).ok()
    after = {line.split()[1]: line.split()[2] for line in box.exec(listed).ok().out.splitlines()}
    assert after == before
    assert box.exec("cat /shared/seen").ok().out == "seen"
    for path in ("/shared/x", "/once-more/x", "/x", "/proc/sys/kernel/hostname"):
        assert "Read-only" in box.exec(f"echo x >{path}").err
    assert box.exec("cat /proc/kcore | wc -c").ok().out.strip() == "0"


OTHERS: tuple[tuple[str, object, str], ...] = (
    ("/mounts/7/options", ["bind"], "/mounts/7"),
    ("/mounts/7/destination", "/mnt", "/mounts/7"),
    ("/linux/namespaces/2", {"type": "ipc", "path": "/proc/1/ns/ipc"}, "/linux/namespaces"),
    ("/linux/maskedPaths", [], "/linux/maskedPaths"),
    ("/root/readonly", True, "/root/readonly"),
)


def test_another_configuration_is_refused(box: Box) -> None:
    def bound() -> Config:
        return with_bind(default_config(), box.shared, "/shared", "bind", "ro")

    counting(box, bound())
    checkpoint(box).ok()
    for pointer, value, where in OTHERS:
        box.write(changed(bound(), pointer, value))
        said = one_sentence(restore(box))
        assert said.startswith(f"restore {box.ident}: {where}: restore: the configuration differs"), said
    assert box.runtime.list() == []


def test_a_destination_that_ends_a_name_is_refused(box: Box) -> None:
    box.run(with_shell(with_bind(default_config(), box.shared, "/a]:b", "bind"), "sleep 1000"), "--detach").ok()
    assert "/mounts/7: " in one_sentence(checkpoint(box))
    assert box.runtime.status(box.ident) == "running"


def test_a_network_namespace_by_path_is_joined_again(box: Box) -> None:
    space = box.directory / "net"
    space.touch()
    subprocess.run(["unshare", f"--net={space}", "true"], check=True)
    try:
        config = with_namespace(without_namespace(default_config(), "network"), "network", str(space))
        counting(box, config)
        checkpoint(box).ok()
        restore(box).ok()
        pid = box.runtime.state(box.ident)["pid"]
        assert Path(f"/proc/{pid}/ns/net").stat().st_ino == space.stat().st_ino
        box.runtime.kill_and_delete(box.ident)
    finally:
        subprocess.run(["umount", str(space)], check=True)


def test_a_lock_is_held_again(box: Box) -> None:
    lock = ("calls", "lock", "/dev/shm/lock")
    Calls(box, compile_calls(box.shared))
    box.run(with_args(default_config(), *lock), "--detach").ok()
    wait_for(lambda: "FLOCK" in box.exec("cat /proc/locks").out, SECONDS)
    assert "--file-locks" in one_sentence(checkpoint(box))
    checkpoint(box, "--file-locks").ok()
    restore(box, "--file-locks", "--detach").ok()
    assert box.runtime.exec(box.ident, *lock).out == f"{-errno.EWOULDBLOCK}\n"


def test_what_only_options_allow(box: Box) -> None:
    """A socket whose other end is the host's, a terminal of the host; and cgroups that CRIU ignores."""
    # CRIU finds sockets in the container's own network namespace only.
    config = with_cgroup(
        without_namespace(default_config(), "network"), f"/{box.ident}", {"memory": {"limit": 64 << 20}}
    )
    config = with_bind(box.with_shared(config), box.shared, str(box.shared), "bind")
    wait = "until [ -e /shared/go ]; do sleep 0.1; done"
    script = f"echo ready; {wait}; echo datagram >&0; echo went on; exec sleep 1000"
    bundle = str(box.write(with_shell(config, script)))
    options = ["--ext-unix-sk", "--shell-job", "--manage-cgroups-mode=ignore"]
    with outer_ends(box.shared / "log") as (server, client, terminal, slave):

        def with_ends(stdin: int, *words: str) -> None:
            argv = [str(box.runtime.path), "--root", str(box.runtime.root), *words, "--bundle", bundle, box.ident]
            subprocess.run(argv, stdin=stdin, stdout=slave, stderr=slave, check=True, timeout=SECONDS)

        with_ends(client.fileno(), "run", "--detach")
        terminal.read_until("ready", SECONDS)
        assert "unix" in one_sentence(checkpoint(box, *options[1:]))
        checkpoint(box, *options).ok()
        with_ends(subprocess.DEVNULL, "restore", "--detach", "--image-path", str(box.directory / "images"), *options)
        assert Path(f"/sys/fs/cgroup/{box.ident}/memory.max").read_text() == f"{64 << 20}\n"
        assert Path(f"/sys/fs/cgroup/{box.ident}/cgroup.procs").read_text().split()
        (box.shared / "go").touch()
        terminal.read_until("went on", SECONDS)
        assert server.recv(64) == b"datagram\n"


@contextmanager
def outer_ends(path: Path) -> Iterator[tuple[socket.socket, socket.socket, Terminal, int]]:
    """A datagram socket bound to `path`, one that is connected to it, and both sides of a terminal."""
    master, slave = os.openpty()
    datagrams = (socket.AF_UNIX, socket.SOCK_DGRAM)
    with socket.socket(*datagrams) as server, socket.socket(*datagrams) as client, Terminal(master) as terminal:
        server.settimeout(SECONDS)
        server.bind(str(path))
        client.connect(str(path))
        yield server, client, terminal, slave
        os.close(slave)


def test_memory_is_fetched_when_it_is_used(box: Box) -> None:
    """--lazy-pages: the checkpoint goes on as a server of memory, and says by --status-fd when it can be asked."""
    counting(box)
    images, work = str(box.directory / "images"), box.directory / "work"
    work.mkdir()
    told, telling = os.pipe()
    head = [str(box.runtime.path), "--root", str(box.runtime.root), "checkpoint", "--image-path", images]
    head += ["--lazy-pages", "--page-server", "127.0.0.1:2727", "--status-fd", str(telling), box.ident]
    pages = ["criu", "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", "2727", "-D", images]
    with subprocess.Popen(head, pass_fds=[telling]) as dumping:
        os.close(telling)
        assert os.read(told, 1) == b"\0"
        os.close(told)
        with subprocess.Popen([*pages, "-W", str(work)]) as fetching:
            wait_for((work / "lazy-pages.socket").exists, SECONDS)
            twin = box.name("twin")
            restore(box, "--detach", "--lazy-pages", "--work-path", str(work), ident=twin).ok()
            assert fetching.wait(SECONDS) == 0
        assert dumping.wait(SECONDS) == 0
    assert [each["id"] for each in box.runtime.list()] == [twin]
    box.runtime.exec(twin, "cat", "/dev/shm/n").ok()


def test_another_profile_of_apparmor_and_an_empty_network(box: Box) -> None:
    rules = "flags=(attach_disconnected,mediate_deleted) { file, capability, signal, network, mount, ptrace, unix, }"
    first, second = (f"{box.ident}-{word}" for word in ("first", "second"))
    with loaded(f"profile {first} {rules}\nprofile {second} {rules}\n"):
        counting(box, changed(default_config(), "/process/apparmorProfile", first))
        assert box.exec("cat /sys/class/net/lo/flags").ok().out == "0x9\n"
        checkpoint(box, "--empty-ns", "network").ok()
        restore(box, "--detach", "--empty-ns", "network", "--lsm-profile", f"apparmor:{second}").ok()
        assert box.exec("cat /sys/class/net/lo/flags").ok().out == "0x8\n"
        pid = box.runtime.state(box.ident)["pid"]
        assert Path(f"/proc/{pid}/attr/current").read_text() == f"{second} (enforce)\n"
        box.runtime.kill_and_delete(box.ident)
