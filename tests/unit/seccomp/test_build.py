"""The child that compiles: what it leaves behind, and how its errors arrive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyseccomp", reason="needs pyseccomp and libseccomp", exc_type=ImportError)

from ocirun import cold
from ocirun.errors import Failure
from ocirun.linux import seccomp
from ocirun.linux.seccomp import build, cache
from ocirun.linux.seccomp import compile as compiler

if TYPE_CHECKING:
    from pathlib import Path

POINTER = "/linux/seccomp"
NOBODY: Any = None

# Leaves the modules of the test runner out: what one process has loaded after a miss, and after a hit.
LEAN = """
import sys
from ocirun.linux import seccomp
profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]}
loaded = set(sys.modules)
for expected in ({"ocirun.answering", "ocirun.linux.seccomp.build", "ocirun.cold"}, set()):
    outside, inside = seccomp.plan(profile, "/linux/seccomp", sys.argv[1])
    outside.do(outside, None)
    assert len(inside.args) == 4
    assert set(sys.modules) - loaded == expected, set(sys.modules) - loaded
    loaded |= expected
"""


def built(profile: dict[str, Any], folder: Path) -> bytes:
    return build.build(profile, POINTER, str(folder), cache.key(profile))


def test_miss_compiles_and_keeps(profile: dict[str, Any], tmp_path: Path) -> None:
    program = built(profile, tmp_path / "cache")
    assert program == compiler.compile_profile(profile, POINTER)
    assert cache.take(str(tmp_path / "cache"), cache.key(profile)) == program


def test_the_caller_stays_lean(tmp_path: Path) -> None:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", LEAN, str(tmp_path / "cache")],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_damaged_entry_is_compiled_again(profile: dict[str, Any], tmp_path: Path) -> None:
    program = built(profile, tmp_path)
    entry = tmp_path / cache.key(profile).hex()
    entry.write_bytes(entry.read_bytes()[:-1])
    outside, inside = seccomp.plan(profile, POINTER, str(tmp_path))
    outside.do(outside, NOBODY)
    assert inside.args[2] == program
    assert cache.take(str(tmp_path), cache.key(profile)) == program


def test_untrusted_cache_is_not_in_the_way(profile: dict[str, Any], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert built(profile, tmp_path) == compiler.compile_profile(profile, POINTER)
    assert list(tmp_path.iterdir()) == []


def test_failure_crosses_the_pipe(profile: dict[str, Any], tmp_path: Path) -> None:
    profile["syscalls"].append({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4095})
    with pytest.raises(Failure) as caught:
        built(profile, tmp_path / "cache")
    expected = f"{POINTER}/syscalls/1/names/0: add the seccomp rule for read: seccomp_rule_add_array: invalid argument"
    assert str(caught.value) == expected
    assert caught.value.errno == 22
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("error", "text"), [(ImportError("no module"), "ImportError: no module"), (Failure("x", where="/y"), "/y: x")]
)
def test_other_errors_become_words(
    profile: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cold, "enable", fail)
    with pytest.raises(Failure, match=text):
        built(profile, tmp_path)


def test_death_of_the_compiler_is_told(
    profile: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "enable", lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(Failure, match="the compiler died") as caught:
        built(profile, tmp_path)
    assert caught.value.where == POINTER


def test_ignored_sigchld_is_no_obstacle(profile: dict[str, Any], tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert built(profile, tmp_path) != b""
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_no_descriptor_and_no_child_is_left(profile: dict[str, Any], tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    built(profile, tmp_path)
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
