"""`do`: what a sandbox can do, cannot do and leaves behind, called by root and by a plain user."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box, one_sentence, status_lines
from process.plain import PLAIN, as_plain_user, plain_box, plain_user_namespace, reachable
from support import facility
from support.bundle import write_bundle
from support.command import run_command, wait_for
from support.console import Interactive
from support.facility import need
from support.host import HostSnapshot, all_cgroups
from support.pages import not_shown, transcript
from support.runtime import Runtime, runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pages import Block
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

NOBODY = 65534
DENIED = {
    "mount": (165, 1), "keyctl": (250, 1), "ptrace": (101, 1), "bpf": (321, 1), "perf_event_open": (298, 1),
    "userfaultfd": (323, 1), "unshare": (272, 1), "clone3": (435, 38), "io_uring_setup": (425, 38),
}  # fmt: skip
"""Numbers on x86-64, and the errno that the filter answers with."""


@pytest.fixture(scope="module")
def plain() -> Iterator[Box]:
    need(facility.root, facility.busybox, plain_user_namespace)
    with plain_box(runtime_path()) as box:
        yield box


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    need(facility.root, facility.busybox)
    folder = tmp_path_factory.mktemp("do")
    with Runtime(runtime_path(), folder / "root", folder / "calls") as runtime:
        yield Box(runtime, folder)


@pytest.fixture(params=["root", "plain"])
def caller(request: pytest.FixtureRequest) -> Box:
    """One box for all tests of a caller: its filter is compiled once."""
    found: Box = request.getfixturevalue(request.param)
    return found


def snapshot(box: Box) -> HostSnapshot:
    """Of what carries the box's folder; the cache of filters stays."""
    return HostSnapshot.take(scope=[str(box.directory)])


def groups() -> set[str]:
    """The cgroups of sandboxes."""
    return {path for path in all_cgroups() if "/do-" in path}


def do(box: Box, *words: str, cwd: str = "/") -> Result:
    """`do`, after which nothing is left."""
    before, made = snapshot(box), groups()
    done = box.runtime.call("do", *words, cwd=Path(cwd))
    before.assert_unchanged()
    assert groups() <= made
    assert not box.runtime.root.exists() or {each.name for each in box.runtime.root.iterdir()} <= {"@cache"}
    return done


def uid_of(box: Box) -> int:
    return PLAIN if box.directory.stat().st_uid == PLAIN else NOBODY


def test_the_callers_folder_is_kept_where_it_may_be_entered(caller: Box) -> None:
    assert do(caller, "pwd", cwd="/usr").out == "/usr\n"


def test_a_sandbox(caller: Box) -> None:
    uid = uid_of(caller)
    script = (
        "id -u; hostname; pwd; ls -A /run /tmp /sys/fs/cgroup | grep -v :; touch /tmp/a /run/a /var/tmp/a || exit 1; "
        "touch /etc/x /usr/x /x /proc/sys/x 2>/dev/null && exit 2; ls /sys/class/net; "
        "readlink /proc/self/ns/user; cat /proc/self/status; exit 7"
    )
    done = do(caller, "--", "sh", "-c", script).expect(7)
    lines = [line for line in done.out.splitlines() if line]
    assert lines[:4] == [str(uid), "sandbox", "/", "lo"]
    assert lines[4] != os.readlink("/proc/self/ns/user")
    found = status_lines(done.out)
    assert {found[name] for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_what_the_filter_refuses(plain: Box) -> None:
    need(lambda: "" if platform.machine() == "x86_64" else "needs the numbers of x86-64", perl)
    script = "for (@ARGV) { $! = 0; syscall($_, 0, 0, 0, 0, 0); print $! + 0, qq(\\n) }"
    done = do(plain, "perl", "-e", script, *(str(number) for number, _errno in DENIED.values())).ok()
    assert dict(zip(DENIED, map(int, done.out.split()), strict=True)) == {
        name: errno for name, (_, errno) in DENIED.items()
    }
    pushing = "$c = 'x'; $! = 0; ioctl(STDIN, 0x5412, $c); print $! + 0"
    assert do(plain, "perl", "-e", pushing).ok().out == "1"
    profile = plain.directory / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    do(plain, "--seccomp", str(profile), "unshare", "-U", "true").ok()


def perl() -> str:
    """The host's perl, which can make any call."""
    return "" if facility.find_program("perl") else "perl is not installed"


def test_what_is_bound(caller: Box) -> None:
    folder = caller.shared
    os.chown(folder, uid_of(caller), uid_of(caller))
    (folder / "file").write_text("of the host")
    binds = ("--bind", f"{folder}:/tmp/w", "--ro-bind", f"{folder}:/tmp/r", "--ro-bind", f"{folder}/file:/etc/hostname")
    script = "touch /tmp/w/made; touch /tmp/r/x 2>/dev/null && exit 1; cat /etc/hostname; pwd; echo $WORD; touch /srv/x"
    words = (*binds, "--timeout", "1000", "--tmpfs", "/srv", "--cwd", "/tmp/w", "--env", "WORD=a=b", "sh", "-c", script)
    assert do(caller, *words).ok().out.split() == ["of", "the", "host/tmp/w", "a=b"]
    assert (folder / "made").stat().st_uid == uid_of(caller)


def test_the_runtime_s_own_folder_is_hidden(caller: Box) -> None:
    """Even where what is around it is shown."""
    words = ("--user", "0", "--ro-bind", str(caller.directory))
    script = f"ls -A {caller.runtime.root} && test -d {caller.shared} && echo shown"
    assert do(caller, *words, "sh", "-c", script).ok().out == "shown\n"


def test_a_folder_that_the_command_may_not_enter(caller: Box) -> None:
    """Bound for nothing, which is said beforehand; one behind it cannot even be found by a plain user."""
    closed, uid = caller.shared / "closed", uid_of(caller)
    (closed / "below").mkdir(parents=True, exist_ok=True)
    closed.chmod(0o600)
    os.chown(closed, 0, 0)
    done = do(caller, "--bind", f"{closed}:/tmp/w", "--ro-bind", f"{caller.shared}:/tmp/open", "ls", "/tmp/w").expect(2)
    said = [line["msg"] for line in done.log if "is bound" in line["msg"]]
    hint = "--user names another one" if uid == NOBODY else f"chmod +x {closed}"
    assert said == [f"{closed} is bound, but uid {uid}, as whom the command runs, may not enter it; {hint}"]
    if uid == PLAIN:
        done = do(caller, "--bind", f"{closed}/below:/tmp/w", "true").expect(1)
        assert one_sentence(done).endswith(f": {closed}/below is out of reach")
        assert f"hint: uid {uid} may not enter a directory on the way to it" in done.err
    closed.chmod(0o755)


def test_what_the_host_mounts_later_does_not_arrive(root: Box) -> None:
    """It would be writable. All the host's mounts are shared here, in a mount namespace made for that."""
    place, shared = root.rootfs / "srv", root.shared / "signs"
    shared.mkdir()
    shared.chmod(0o777)
    inside = "touch /mnt/ready; while ! test -e /mnt/go; do sleep 0.01; done; ls /srv; touch /srv/x && echo writable"
    words = f"--rootfs {root.rootfs} --user 0 --bind {shared}:/mnt"
    script = (
        "mount --make-rprivate / && mount --make-rshared / || exit 1\n"
        f"{root.runtime.path} --root {root.runtime.root} do {words} sh -c '{inside}' &\n"
        f"for i in $(seq 2000); do test -e {shared}/ready && break; sleep 0.01; done\n"
        f"mount -t tmpfs later {place} && touch {place}/of-the-host {shared}/go; wait $!\n"
    )
    done = run_command(["unshare", "--mount", "sh", "-c", script], root.directory / "later")
    assert (shared / "go").exists()
    assert done.out == ""
    assert "Read-only file system" in done.err


def test_the_network_of_the_host(caller: Box) -> None:
    script = "readlink /proc/self/ns/net; ls /sys/fs/cgroup; touch /sys/x 2>/dev/null || echo closed"
    done = do(caller, "--network", "host", "sh", "-c", script).ok()
    assert done.out.split() == [os.readlink("/proc/self/ns/net"), "closed"]


def test_the_config_runs_with_run(caller: Box) -> None:
    printed = do(caller, "--print-config", "--user", "5", "--", "sh", "-c", "id -u; exit 3").ok().out
    write_bundle(caller.bundle, json.loads(printed), rootfs=False)
    assert caller.runtime.run(caller.ident, caller.bundle).expect(3).out == "5\n"


def test_another_root(root: Box) -> None:
    """Read-only with what is mounted in it, also for its owner; nothing is made there."""
    inner = root.rootfs / "mnt"
    inner.mkdir(exist_ok=True)
    before = sorted(path.relative_to(root.rootfs) for path in root.rootfs.rglob("*"))
    run_command(["mount", "-t", "tmpfs", "x", str(inner)], root.directory / "mount").ok()
    try:
        words = ("--rootfs", str(root.rootfs), "--user", "0")
        done = do(root, *words, "sh", "-c", "touch /x; touch /mnt/x; id -u; pwd").ok()
        assert done.err.count("Read-only file system") == 2
        assert done.out.split() == ["0", "/"]
        assert "no such path" in one_sentence(do(root, *words, "--tmpfs", "/absent", "true").expect(1))
        assert not list(inner.iterdir())
    finally:
        run_command(["umount", str(inner)], root.directory / "umount").ok()
    assert sorted(path.relative_to(root.rootfs) for path in root.rootfs.rglob("*")) == before


def test_limits_bite(root: Box) -> None:
    need(facility.cgroup_v1)
    eater = ("--memory", "32m", "--cpus", "0.5", "sh", "-c", "head -c 100m /dev/zero | tail")
    assert "Killed" in do(root, *eater).expect(137).err
    forks = "i=0; while [ $i -lt 12 ]; do sleep 5 & i=$((i+1)); done"
    assert "fork" in do(root, "--pids", "8", "sh", "-c", forks).expect(2).err


def test_a_plain_user_without_cgroups(plain: Box) -> None:
    """Default limits are done without, which is said once; limits that somebody asks for are not."""
    said = [line["msg"] for line in do(plain, "true").ok().log if line["level"] == "warning"]
    assert [each[:46] for each in said] == ["the container runs without a cgroup of its own"]
    assert "permission denied" in one_sentence(do(plain, "--memory", "64m", "true").expect(1))


def test_timeout(root: Box) -> None:
    do(root, "--timeout", "0.2", "sleep", "1000").expect(124)


@pytest.mark.parametrize(
    ("caller", "script", "number", "code"),
    [
        ("plain", "exec sleep 1000", signal.SIGTERM, 143),
        ("root", "exec sleep 1000", signal.SIGINT, 130),
        ("root", "trap 'exit 3' TERM; while :; do sleep 0.01; done", signal.SIGTERM, 3),
    ],
    indirect=["caller"],
)
def test_signals(caller: Box, script: str, number: int, code: int) -> None:
    """They end a command that does not catch them, although it is the first process of its namespace."""
    before, made = snapshot(caller), groups()
    command = [str(caller.runtime.path), "--root", str(caller.runtime.root), "do", "sh", "-c", f"{script} # ready"]
    with (caller.directory / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        ident = wait_for(lambda: next((each["id"] for each in caller.runtime.list() if each["pid"]), ""))
        wait_for(lambda: caller.runtime.status(ident) == "running")
        if code > 128:
            assert caller.runtime.exec(ident, "id", "-u").ok().out.strip() == str(uid_of(caller))
        else:
            pid = caller.runtime.state(ident)["pid"]
            wait_for(lambda: caught(pid, number))
        process.send_signal(number)
        assert process.wait(30) == code
    finally:
        process.kill()
        process.wait()
    before.assert_unchanged()
    assert groups() <= made
    assert caller.runtime.list() == []


def caught(pid: int, number: int) -> bool:
    text = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status_lines(text)["SigCgt"], 16) >> (number - 1) & 1)


def test_a_terminal(caller: Box) -> None:
    """Its keys end a command that does not catch their signals."""
    before = snapshot(caller)
    command = [str(caller.runtime.path), "--root", str(caller.runtime.root), "do", "--", "sh", "-c"]
    with Interactive([*command, "test -t 0 && stty size; echo ready; exec sleep 1000"], rows=33, columns=99) as typed:
        typed.terminal.read_until("ready")
        wait_for(lambda: any("sleep" in name for name in names_below(typed.pid)))
        typed.terminal.send("\x03")
        assert typed.wait() == 130
        assert "33 99" in typed.terminal.text
    before.assert_unchanged()


def names_below(pid: int) -> list[str]:
    """The names of a process's children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{each}/comm").read_text() for each in children]


@pytest.mark.executes("docs/do.md")
def test_the_page_s_transcripts(tmp_path: Path, blocks: list[Block]) -> None:
    """docs/do.md, typed by a plain user."""
    need(facility.root, plain_user_namespace)
    found = transcript(blocks)
    assert len(found) > 8
    with reachable(runtime_path()) as program:
        folder = program.parent.parent / "home"
        folder.mkdir()
        wrapper = folder / "ocirun"
        wrapper.write_text(f'#!/bin/sh\nexec {program} --root {folder}/state "$@"\n')
        wrapper.chmod(0o755)
        os.chown(folder, PLAIN, PLAIN)
        env = {"PATH": f"{folder}:{os.environ['PATH']}", "LANG": "C.UTF-8"}
        for command, expected in found:
            done = run_command(as_plain_user("sh", "-c", command), tmp_path / "out", cwd=folder, env=env)
            said = "\n".join(line for line in done.out.splitlines() if "a cgroup of its own" not in line)
            assert not_shown(said, expected, str(folder)) == [], (command, done.details())


def test_a_missing_command(root: Box) -> None:
    said = one_sentence(do(root, "no-such-command").expect(1))
    assert said.startswith("do no-such-command: /process/args/0: ")
    assert "executable file not found in" in said
