"""The launcher: how it seals its executable, and what it lets in of the caller's world."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

pytestmark = [pytest.mark.process]

PROBE = Path(__file__).parent / "launcher_probe"
UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not this lane: needs root")
each_way = pytest.mark.parametrize(
    ("probe", "how"), [("snapshot", "launcher"), ("no", "launcher"), ("no", "ctypes")], indirect=["probe"]
)
"""The raw calls; ctypes is a library, which the launcher with a snapshot loads none of."""


@pytest.fixture(scope="session", params=["snapshot", "no"])
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher with `launcher_probe` as its program, installed as PREFIX/bin/ocirun where everybody may run it.

    It is tried with the interpreter that has started already (`snapshot`), and with one that starts each time.
    """
    prefix = tmp_path_factory.mktemp("launcher")
    for folder in (prefix, *prefix.parents[:2]):
        folder.chmod(0o755)
    variant = (REPOSITORY / "dev", "variant", prefix, PROBE)
    subprocess.run(variant, check=True, stdin=subprocess.DEVNULL, env={**os.environ, "SNAPSHOT": request.param})
    return prefix / "bin" / "ocirun"


def answers(
    argv: Sequence[str | Path], environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> dict[str, str]:
    """What the probe says, as a table."""
    done = subprocess.run(
        argv, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=30
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(path: str) -> str:
    """The name of the errno of an attempt to write to a file; empty when it worked."""
    try:
        fd = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(fd, b"\x7f", 0)
        finally:
            os.close(fd)
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]
    return ""


def launcher_of(entry: Path) -> Path:
    """What the entry starts, and what runs then."""
    return entry.parents[1] / "lib" / "ocirun" / "launcher"


def assert_refuses_writing(argv: Sequence[str | Path], installed: Path, expected: str) -> None:
    """The attack of CVE-2019-5736: keep the executable by O_PATH, wait until the program ended, then write to it."""
    before = digest(launcher_of(installed))
    with subprocess.Popen([*argv, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        running = refusal(f"/proc/{process.pid}/exe")
        kept = os.open(f"/proc/{process.pid}/exe", os.O_PATH)
        process.communicate()
    afterwards = refusal(f"/proc/self/fd/{kept}")
    os.close(kept)
    assert running in ("ETXTBSY", expected)
    # ETXTBSY would only mean that it has not ended yet.
    assert afterwards == expected
    assert digest(launcher_of(installed)) == before


def test_the_attack_works_without_a_seal(tmp_path: Path) -> None:
    """The control: the same attack on a program that does not seal itself."""
    victim = Path(shutil.copy("/bin/cat", tmp_path / "cat"))
    with subprocess.Popen([victim], stdin=subprocess.PIPE) as process:
        kept = os.open(f"/proc/{process.pid}/exe", os.O_PATH)
        process.communicate()
    assert refusal(f"/proc/self/fd/{kept}") == ""
    os.close(kept)


@needs_root
@pytest.mark.security
def test_root_seals_by_a_detached_mount(probe: Path) -> None:
    told = answers([probe])
    assert told["sealed"] == "mount"
    assert told["executable"] == str(probe)
    assert_refuses_writing([probe], probe, "EROFS")


@needs_root
@pytest.mark.security
def test_without_privileges_seals_by_a_copy_in_memory(probe: Path) -> None:
    told = answers([*UNPRIVILEGED, probe])
    assert told["sealed"] == "memfd"
    assert told["executable"] == str(probe)
    assert_refuses_writing([*UNPRIVILEGED, probe], probe, "EPERM")


@needs_root
@pytest.mark.security
@pytest.mark.parametrize("direct", [True, False])
def test_a_launcher_on_a_read_only_mount_is_not_started_again(probe: Path, direct: bool) -> None:
    """Not when it is started directly, and not by an entry without the right to make mounts."""
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    launcher = launcher_of(probe)
    started = (launcher,) if direct else (*UNPRIVILEGED, probe)
    told = answers(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", launcher.parent, "strace", "-f",
         "-qq", "-e", "trace=memfd_create,mount_setattr", "-o", probe.parents[1] / "trace", *started]
    )  # fmt: skip
    assert told["sealed"] == "filesystem"
    assert told["executable"] == str(probe)
    assert told["executable"] == str(probe)
    assert (probe.parents[1] / "trace").read_text() == ""


@needs_root
@pytest.mark.security
def test_a_launcher_on_a_tmpfs_is_not_taken_for_a_memfd(probe: Path, tmp_path: Path) -> None:
    """Any file of a tmpfs tells its seals (fcntl(2), F_GET_SEALS)."""
    script = 'mount -t tmpfs none "$2" && cp -r "$1"/* "$2" && exec "$2/bin/ocirun"'
    words: list[str | Path] = [
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        script,
        "sh",
        probe.parents[1],
        tmp_path,
    ]
    told = answers(words)
    assert told["sealed"] == "mount"
    assert told["executable"] == str(tmp_path / "bin" / "ocirun")


@needs_root
@pytest.mark.security
def test_a_pretended_seal_is_not_believed(probe: Path) -> None:
    """Started through an fd of the writable file, with an absolute argv[0], as the second stage is."""
    fd = os.open(launcher_of(probe), os.O_PATH)
    try:
        child = os.fork()
        if child == 0:
            try:
                os.execve(fd, ["/elsewhere/bin/ocirun", "check", str(probe)], {})
            finally:
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        os.close(fd)


@pytest.mark.security
def test_no_seal_no_program(probe: Path) -> None:
    """Where neither a mount nor a copy in memory is to be had, nothing runs."""
    done = subprocess.run(
        ["prlimit", "--fsize=4096", *(UNPRIVILEGED if os.geteuid() == 0 else ()), probe],
        capture_output=True, text=True, check=False, timeout=30, preexec_fn=ignore_file_size_signal,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("ocirun: copy the executable into memory: ")
    assert done.stdout == ""


def ignore_file_size_signal() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_the_environment_does_not_reach_python(probe: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("sitecustomize", "usercustomize", "os", "encodings", "startup", "ocirun", "_ocirun"):
        (trap / f"{name}.py").write_text("import os; os._exit(77)\n")
    environ = {
        "PYTHONHOME": str(trap),
        "PYTHONPATH": str(trap),
        "PYTHONSTARTUP": str(trap / "startup.py"),
        "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONMALLOC": "debug",
        "PYTHONDEVMODE": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONUSERBASE": str(trap),
        "PYTHONPLATLIBDIR": "trap",
        "PYTHONIOENCODING": "utf-16",
        "LC_ALL": "xx_XX.ISO-8859-15",
    }
    plain = answers([probe, "cold"], {}, cwd=trap)
    assert answers([probe, "cold"], environ, cwd=trap) == plain
    assert str(trap) not in plain["path"]


def test_runs_with_an_empty_environment_from_any_folder(probe: Path) -> None:
    assert answers([probe], {}, cwd=Path("/proc"))["executable"] == str(probe)


def test_runs_by_a_relative_path_and_through_a_link(probe: Path, tmp_path: Path) -> None:
    link = tmp_path / "runc"
    link.symlink_to(probe)
    for argv, cwd in (([link], None), (["./ocirun"], probe.parent), (["bin/../bin/ocirun"], probe.parents[1])):
        told = answers(argv, cwd=cwd)
        assert told["executable"] == str(probe)
        assert told["library"] == str(probe.parents[1] / "lib" / "ocirun")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_fds_become_dev_null(probe: Path, tmp_path: Path, closed: tuple[int, ...]) -> None:
    report = tmp_path / "report"
    redirections = " ".join(f"{fd}>&-" for fd in closed)
    script = f'exec "$@" {redirections}'
    subprocess.run(["sh", "-c", script, "sh", probe, "fds", report], check=True, timeout=30)
    links = dict(line.split("=", 1) for line in report.read_text().splitlines())
    assert {fd: links[str(fd)] for fd in closed} == dict.fromkeys(closed, "/dev/null")


def test_leaves_the_callers_fds_and_adds_none(probe: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    reading, writing = os.pipe()
    try:
        subprocess.run([probe, "fds", report], check=True, pass_fds=(reading,), timeout=30)
    finally:
        os.close(reading)
        os.close(writing)
    numbers = {int(line.split("=", 1)[0]) for line in report.read_text().splitlines()}
    assert numbers == {0, 1, 2, reading}


def test_an_uncaught_exception_is_one_line(probe: Path) -> None:
    done = subprocess.run([probe, "raise"], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ocirun: internal error: ValueError: two lines\\udcff\n"


def test_hot_start_opens_no_file_of_python(probe: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    told = answers(["strace", "-f", "-qq", "-e", "trace=openat,open", "-o", trace, probe, "json"])
    assert told == {"json": "[{'a': [1, 'é']}, 'line 1, column 4: a value was expected here']"}
    opened = [line.split('"')[1] for line in trace.read_text().splitlines() if '"' in line]
    assert not [path for path in opened if path.endswith((".py", ".pyc")) or "/lib/python" in path]


def test_the_shorter_import_keeps_to_the_rules(probe: Path) -> None:
    told = answers([probe, "imports"])
    assert told == {
        "package": "('ocirun.kernel', [], True)",
        "module": "('ocirun', True, 'ocirun.kernel.process')",
        "name": "ImportError",
        "module missing": "ModuleNotFoundError",
        "again": "ModuleNotFoundError",
        "loaded": "",
        "closed": "ModuleNotFoundError",
        "kept": "False",
    }


def test_the_entry_needs_no_library(probe: Path, tmp_path: Path) -> None:
    """It is there to do without the start of libc."""
    trace = tmp_path / "trace"
    subprocess.run(["strace", "-qq", "-o", trace, probe], check=True, stdout=subprocess.DEVNULL, timeout=30)
    calls = [line.partition("(")[0] for line in trace.read_text().splitlines()]
    assert calls.index("execveat") < 10


def test_built_in_modules_load_before_the_second_phase(probe: Path) -> None:
    assert answers([probe, "builtin"]) == {"complete": "False"}


def test_the_second_phase_keeps_signal_handlers_and_adds_none(probe: Path) -> None:
    assert answers([probe, "handlers"]) == {"caught": "2", "pipe": "0", "terminate": "0"}


def test_the_second_phase_keeps_what_was_added_to_the_search_path(probe: Path) -> None:
    told = answers([probe, "path"])
    assert told["last"] == "/added/early"
    assert told["first"].endswith("/lib-dynload")


@needs_root
@pytest.mark.kernel
@each_way
def test_clone3_makes_namespaces_and_a_pidfd(probe: Path, how: str) -> None:
    told = answers([probe, "clone", how])
    assert told["child"] == "1 -1"
    assert told["status"] == "7"
    assert told["pidfd"] == "exited"
    assert told["refused"] == "(-22, -1)"


@each_way
def test_syscall_arguments(probe: Path, how: str) -> None:
    told = answers([probe, "syscall", how])
    assert told == {
        "gettid": "same",
        "missing": "-2",
        "writable": "b'ocirun'",
        "view": "b'ocirun'",
        "unsigned": "-9",
        "too big": "OverflowError",
        "too small": "OverflowError",
        "text": "TypeError",
        "too many": "TypeError",
    }


@pytest.mark.security
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_library_folder_that_others_can_write_to_is_refused(probe: Path, mode: int) -> None:
    folder = launcher_of(probe).parent
    folder.chmod(mode)
    try:
        done = subprocess.run([probe], capture_output=True, text=True, check=False, timeout=30)
    finally:
        folder.chmod(0o755)
    said = "ocirun: refusing to run with a library folder that others can write to: operation not permitted\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@needs_root
def test_set_user_id_is_refused(probe: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("setuid")
    folder.chmod(0o755)
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        pytest.skip("not this lane: the temporary folder is mounted nosuid")
    copy = shutil.copy(probe, folder / "ocirun")
    Path(copy).chmod(0o4755)
    done = subprocess.run([*UNPRIVILEGED, copy], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == "ocirun: refusing to run as a set-user-ID or set-group-ID program: operation not permitted\n"


def test_the_same_sources_freeze_to_the_same_bytes(tmp_path: Path) -> None:
    results = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        command = ["/usr/bin/python3", "-I", "-S", "-X", "no_debug_ranges", "runtime/launcher/freeze.py"]
        packages = ["runtime/ocirun", "spec/ocirun_spec"]
        subprocess.run([*command, folder, *packages], check=True, cwd=REPOSITORY)
        results.append((folder / "frozen.bin").read_bytes())
    assert results[0] == results[1]
