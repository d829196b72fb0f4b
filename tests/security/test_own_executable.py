"""The runtime's executable seen from a container: it may be reached, but never written to (CVE-2019-5736).

A process that enters a container is the runtime until its execve(2). Its executable is a read-only mount that is
attached nowhere, and without CAP_SYS_PTRACE the container cannot even reach that, since the process is not dumpable.
With CAP_SYS_PTRACE a container's root may look at the process (links, memory, descriptors), as the kernel defines that
capability; writing to the executable is refused all the same. Since Linux 6.13 CAP_SYS_ADMIN and CAP_PERFMON may read
maps, environ and auxv of any process, dumpable or not.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from errno import EACCES, EPERM, EROFS, ETXTBSY
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from security.box import Box, Config, compile_probe, copy_program, plain_config
from support.bundle import DEFAULT_CAPABILITIES, with_capabilities
from support.command import process_alive, wait_for

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

pytestmark = [pytest.mark.security, pytest.mark.privileged]

LOADER = "lib64/ld-linux-x86-64.so.2"
REFUSED = {EACCES, EPERM, EROFS, ETXTBSY}
ROUNDS = 50
ALL_BUT_PTRACE = [*DEFAULT_CAPABILITIES, "CAP_DAC_READ_SEARCH", "CAP_SYS_CHROOT", "CAP_MKNOD"]


@pytest.fixture(scope="module")
def reach(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_probe("reach", tmp_path_factory.mktemp("probe"))


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
    """What the first process of a created container runs from: the runtime as the container meets it."""

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
    assert any(path.name.startswith("libc.so") for path in found.files)
    identity = (found.executable.st_dev, found.executable.st_ino)
    assert identity in {(path.stat().st_dev, path.stat().st_ino) for path in own_files(box)}, "not the copy runs"
    before = digests(found.files)
    yield
    assert digests(found.files) == before


def attempts(text: str) -> dict[str, set[int]]:
    """Name of the attempt -> the error numbers it met; 0 for a success."""
    found: dict[str, set[int]] = {}
    for name, errno in re.findall(r"^(\w+) (\d+) \d+$", text, re.MULTILINE):
        found.setdefault(name, set()).add(int(errno))
    return found


def assert_never_written(text: str, *kinds: str) -> None:
    found = attempts(text)
    for kind in kinds:
        assert found.get(kind), f"no attempt of the kind {kind}: {text}"
        assert found[kind] <= REFUSED, f"{kind}: {found[kind]}"


def lay_loader(box: Box, reach: Path) -> None:
    """The image's dynamic loader is the probe: whoever runs the runtime's executable in the image runs the probe."""
    copy_program(reach, box.rootfs, LOADER)
    (box.rootfs / "bin" / "link").symlink_to("/proc/self/exe")
    script = box.rootfs / "bin" / "script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)


@pytest.mark.parametrize("program", ["/proc/self/exe", "/bin/link", "/bin/script", "/proc/1/exe"])
@pytest.mark.usefixtures("unchanged")
def test_run_of_the_runtime_itself_cannot_write_to_it(box: Box, reach: Path, program: str) -> None:
    lay_loader(box, reach)
    done = box.runtime.run(box.ident, box.write(plain_config(program)))
    assert_never_written(done.out, "self", "descriptor", "truncate")


@pytest.mark.parametrize("program", ["/proc/self/exe", "/bin/link", "/bin/script"])
@pytest.mark.usefixtures("unchanged")
def test_exec_of_the_runtime_itself_cannot_write_to_it(box: Box, reach: Path, program: str) -> None:
    lay_loader(box, reach)
    box.runtime.run(box.ident, box.write(plain_config("sleep", "60")), "--detach").ok()
    done = box.runtime.exec(box.ident, program)
    assert_never_written(done.out, "self", "descriptor", "truncate")


def hunting(box: Box, reach: Path) -> Config:
    """A program that tries to write to the executable of whatever enters the container."""
    copy_program(reach, box.rootfs, "bin/reach")
    found = waiting(box).executable
    return plain_config("reach", "hunt", str(found.st_dev), str(found.st_ino))


@pytest.mark.parametrize("ptrace", [False, True], ids=["default", "CAP_SYS_PTRACE"])
@pytest.mark.usefixtures("unchanged")
def test_a_hunter_in_the_container_never_writes_to_the_runtime(box: Box, reach: Path, ptrace: bool) -> None:
    """The hunter holds every executable that it could open and goes on trying when the runtime has long left it."""
    config = hunting(box, reach)
    with_capabilities(config, [*ALL_BUT_PTRACE, *(["CAP_SYS_PTRACE"] if ptrace else [])])
    started = box.runtime.run(box.ident, box.write(config), "--detach").ok()
    wait_for(lambda: "hunting" in started.out, what="the hunter")
    pid = int(box.runtime.state(box.ident)["pid"])
    for _ in range(ROUNDS):
        assert process_alive(pid), "the hunter ended before the last exec"
        box.runtime.exec(box.ident, "true").ok()
    (box.rootfs / "tmp" / "stop").touch()
    wait_for(lambda: not process_alive(pid), what="the hunter's end")
    found = attempts(started.out)
    if ptrace:
        assert_never_written(started.out, "descriptor", "truncate")
        assert EROFS in found["descriptor"], "no attempt was made after the runtime had left its executable"
    else:
        assert 0 not in found["look"], "a container without CAP_SYS_PTRACE looked at the runtime's process"
        assert found["look"] & {EACCES, EPERM}, "no exec was seen: the test shows nothing"


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
