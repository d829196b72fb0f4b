"""The runtime's executable and processes seen from a container: they may be reached, but never written to.

The attacks of CVE-2019-5736 are the conformance suite's (`attacks/executable.py`).

A process that enters a container is the runtime until its execve(2). Its executable is a read-only mount that is
attached nowhere, and without CAP_SYS_PTRACE the container cannot even reach that, since the process is not dumpable.
With CAP_SYS_PTRACE a container's root may look at the process (links, memory, descriptors), as the kernel defines that
capability; writing to the executable is refused all the same. Since Linux 6.13 CAP_SYS_ADMIN and CAP_PERFMON may read
maps, environ and auxv of any process, dumpable or not.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from security.box import Box, copy_program, plain_config
from support.bundle import DEFAULT_CAPABILITIES, with_capabilities, with_hook, without_namespace
from support.command import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.security, pytest.mark.privileged]

ROUNDS = 50
ALL_BUT_PTRACE = [*DEFAULT_CAPABILITIES, "CAP_DAC_READ_SEARCH", "CAP_SYS_CHROOT", "CAP_MKNOD"]


def mapped_files(pid: int) -> set[Path]:
    """The files of the host that a process has mapped."""
    paths = {line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/" in line}
    return {Path(path) for path in paths if Path(path).is_file()}


def digests(paths: set[Path]) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(autouse=True)
def own_copy(box: Box) -> None:
    """The attacks are on a copy, so that a build beside the test does not look like a successful one."""
    installed = box.runtime.path.parent.parent
    library = box.base / "lib" / "ocirun"
    library.mkdir(parents=True)
    for entry in (installed / "lib" / "ocirun").iterdir():
        if entry.is_dir():
            (library / entry.name).symlink_to(entry)
        else:
            copy_program(entry, library, entry.name)
    copy_program(box.runtime.path, box.base, "bin/ocirun")
    box.runtime.path = box.base / "bin" / "ocirun"


def own_files(box: Box) -> set[Path]:
    """The copy's executables."""
    places = (box.base / "bin", box.base / "lib" / "ocirun")
    return {path for place in places for path in place.iterdir() if path.is_file()}


@dataclass(frozen=True)
class Waiting:
    """What the first process of a created container runs from: the runtime as the container meets it.

    It maps no file that has a path: the executable's mount is attached nowhere, and it is linked statically.
    """

    executable: os.stat_result
    files: set[Path]


def waiting(box: Box) -> Waiting:
    """Create a container only to look at its first process."""
    ident = f"{box.ident}-look"
    box.runtime.create(ident, box.write(plain_config("true"))).ok()
    pid = int(box.runtime.state(ident)["pid"])
    found = Waiting(Path(f"/proc/{pid}/exe").stat(), mapped_files(pid) | own_files(box))
    box.runtime.delete(ident, force=True).ok()
    return found


@pytest.fixture
def unchanged(box: Box) -> Iterator[None]:
    """Whatever a waiting runtime has mapped, and the runtime's own files, are the same afterwards."""
    found = waiting(box)
    assert found.files == own_files(box)
    identity = (found.executable.st_dev, found.executable.st_ino)
    assert identity in {(path.stat().st_dev, path.stat().st_ino) for path in own_files(box)}, "not the copy runs"
    before = digests(found.files)
    yield
    assert digests(found.files) == before


HOLD = """
import os, sys, time
print("holding", flush=True)
while True:
    try:
        writer = os.open(sys.argv[1], os.O_WRONLY)
    except OSError:
        continue
    time.sleep(0.001)
    os.close(writer)
    time.sleep(0.001)
"""


def test_a_writer_of_a_moment_does_not_keep_the_runtime_from_running(box: Box) -> None:
    """The kernel counts a writer before it refuses him (EROFS), and executes no file that has one (ETXTBSY): so the
    hunter disturbs for a moment. This writer disturbs longer, as one who may write.
    """
    launcher = box.runtime.path.parent.parent / "lib" / "ocirun" / "launcher"
    with subprocess.Popen([sys.executable, "-c", HOLD, launcher], stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout
            assert writer.stdout.readline() == "holding\n"
            for _ in range(ROUNDS):
                box.runtime.call("--version").ok()
        finally:
            writer.kill()


PEEK = """
for what in exe cwd root fd/0; do readlink /proc/1/$what >/dev/null 2>&1 && echo "link $what"; done
for what in environ maps auxv stack; do
    [ -n "$(head -c 1 /proc/1/$what 2>/dev/null | tr "\\0" x)" ] && echo "read $what"
done
(: </proc/1/mem) 2>/dev/null && echo "read mem"
[ -n "$(ls /proc/1/map_files 2>/dev/null)" ] && echo "list map_files"
for file in /proc/1/map_files/*; do (: >>"$file") 2>/dev/null && echo "write $file"; done
(: >>/proc/1/exe) 2>/dev/null && echo "write exe"
(echo 0 >/proc/1/mem) 2>/dev/null && echo "write mem"
true
"""


def test_a_waiting_init_cannot_be_looked_into(box: Box) -> None:
    """Everything that root has except CAP_SYS_PTRACE: the process before the execve shows nothing."""
    config = with_capabilities(plain_config("true"), ALL_BUT_PTRACE)
    box.runtime.create(box.ident, box.write(config)).ok()
    done = box.runtime.exec(box.ident, "sh", "-c", PEEK).ok()
    assert done.out == ""


SEARCH = """
echo searching
while :; do
    for process in /proc/[0-9]*; do
        [ $process = /proc/1 ] && continue
        for way in $process/root $process/cwd $process/fd/*; do
            cat $way/../../../../../../..{secret} $way{secret} $way/1/root{secret} 2>/dev/null
        done
    done
done
"""


def test_a_process_that_enters_shows_no_way_to_the_host(box: Box) -> None:
    """With CAP_SYS_PTRACE: root, working directory and descriptors of a process on its way to the execve."""
    host = box.sentinel()
    config = plain_config("sh", "-c", SEARCH.format(secret=host.directory / "secret"))
    with_capabilities(config, [*ALL_BUT_PTRACE, "CAP_SYS_PTRACE"])
    started = box.runtime.run(box.ident, box.write(config), "--detach").ok()
    wait_for(lambda: "searching" in started.out, what="the search")
    for _ in range(ROUNDS):
        box.runtime.exec(box.ident, "true").ok()
    assert started.out == "searching\n"
    host.assert_unchanged()


@pytest.mark.usefixtures("unchanged")
def test_what_the_ptrace_capability_changes_is_looking_not_writing(box: Box) -> None:
    config = with_capabilities(plain_config("true"), [*DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"])
    box.runtime.create(box.ident, box.write(config)).ok()
    done = box.runtime.exec(box.ident, "sh", "-c", PEEK).ok()
    lines = set(done.out.splitlines())
    assert "link exe" in lines
    assert not [line for line in lines if line.startswith("write") and line != "write mem"], lines


TELL = """
echo searching
while :; do
    for process in /proc/[0-9]*; do
        cat $process/cmdline $process/environ 2>/dev/null | tr "\\0" "\\n" | grep -e "{base}" -e of-[t]he-host
    done
done
"""


def test_no_process_tells_the_hosts_command_line_or_environment(box: Box) -> None:
    """Neither the one that waits for `start` nor one that enters, also with CAP_SYS_PTRACE."""
    host = {**os.environ, "OCIRUN_SECRET": "of-the-host"}
    capable = [*ALL_BUT_PTRACE, "CAP_SYS_PTRACE"]
    bundle = box.write(
        with_capabilities(plain_config("sh", "-c", TELL.format(base=f"{box.ident[:-1]}[{box.ident[-1]}]")), capable)
    )
    started = box.runtime.call("create", "--bundle", str(bundle), box.ident, env=host).ok()
    looked = box.runtime.exec(box.ident, "cat", "/proc/1/cmdline", "/proc/1/environ").ok()
    assert looked.out.strip("\0") == "ocirun"
    box.runtime.start(box.ident).ok()
    wait_for(lambda: "searching" in started.out, what="the search")
    for _ in range(ROUNDS):
        box.runtime.call("exec", box.ident, "true", env=host).ok()
    assert started.out == "searching\n"


DIE = """
import os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
os.chdir(sys.argv[1])
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_no_process_of_the_runtime_leaves_a_core(box: Box) -> None:
    """Neither one that makes a container nor an init that waits: their memory is the host's. The control does."""
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("not this lane: the host handles cores in another way")
    folder = box.base / "cores"
    folder.mkdir()

    def dying(*argv: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", DIE, str(folder), *argv], stdin=subprocess.DEVNULL)

    def cores() -> list[Path]:
        return [*folder.glob("core*"), *box.rootfs.glob("core*")]

    # The first process of a pid namespace would not die of it.
    bundle = str(box.write(without_namespace(plain_config("sleep", "60"), "pid")))
    assert dying(*box.command("create", "--bundle", bundle, box.ident)).wait(10) == 0
    pid = int(box.runtime.state(box.ident)["pid"])
    assert "unlimited" in next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core" in line)
    os.kill(pid, signal.SIGSEGV)
    box.runtime.wait_status(box.ident, "stopped")
    box.runtime.delete(box.ident).ok()
    mark = box.base / "mark"
    hooked = with_hook(
        plain_config("true"), "prestart", "/bin/sh", "-c", f"echo $$ >{mark}.new; mv {mark}.new {mark}; exec sleep 60"
    )
    maker = dying(*box.command("create", "--bundle", str(box.write(hooked)), box.ident))
    wait_for(mark.exists, what="the hook")
    maker.send_signal(signal.SIGSEGV)
    assert maker.wait(10) == -signal.SIGSEGV
    os.kill(int(mark.read_text()), signal.SIGKILL)
    box.runtime.delete(box.ident, force=True).ok()
    assert cores() == []
    control = dying("/bin/sleep", "60")
    wait_for(lambda: Path(f"/proc/{control.pid}/comm").read_text() == "sleep\n", what="the control")
    control.send_signal(signal.SIGSEGV)
    control.wait(10)
    assert cores()
