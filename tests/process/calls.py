"""A program for the image that makes any system call and says what came of it (`probes/calls.c`)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.bundle import Config, default_config, with_args
from support.facility import find_program

if TYPE_CHECKING:
    from process.box import Box
    from support.runtime import Result

SOURCE = Path(__file__).parent / "probes" / "calls.c"
ITS_OWN = (
    "access", "arch_prctl", "brk", "capset", "clone", "clone3", "close", "execve", "exit", "exit_group", "fstat",
    "futex", "getpid", "getrandom", "gettid", "getuid", "madvise", "mmap", "mprotect", "munmap", "newfstatat", "prctl",
    "prlimit64", "ptrace", "read", "readlink", "readlinkat", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sendmsg", "set_robust_list", "set_tid_address", "tgkill", "uname", "wait4", "write", "writev",
)  # fmt: skip
"""What the runtime still does under the filter, and the program by itself: for profiles that forbid by default."""


def compile_calls(directory: Path) -> Path:
    """The program, without shared libraries, so that it runs in any image."""
    compiler = find_program("gcc")
    assert compiler, "needs gcc, as ./dev build does"
    target = directory / "calls"
    options = ["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"]
    done = subprocess.run(
        [compiler, *options, str(SOURCE), "-o", str(target)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return target


def number(name: str, arch: int = 0) -> int:
    """A system call's number; on the native architecture unless told otherwise."""
    pyseccomp = pytest.importorskip("pyseccomp", reason="needs pyseccomp and libseccomp", exc_type=ImportError)
    found = int(pyseccomp.resolve_syscall(arch, name))
    assert found >= 0, f"{name} is unknown"
    return found


class Calls:
    """The program in the image of a box."""

    def __init__(self, box: Box, program: Path) -> None:
        self.box = box
        target = box.rootfs / "bin" / "calls"
        target.write_bytes(program.read_bytes())
        target.chmod(0o755)

    def run(self, profile: dict[str, Any], mode: str, *words: object, config: Config | None = None) -> Result:
        """The program as the container's, under a profile."""
        config = default_config() if config is None else config
        config["linux"]["seccomp"] = profile
        return self.box.run(with_args(config, "calls", mode, *map(str, words)))

    def answers(self, profile: dict[str, Any], *calls: tuple[int, ...]) -> list[int]:
        """What each of several system calls answered, an error negated; the program has to live on."""
        words = [str(word) for call in calls for word in (*call, "/")]
        return [int(line) for line in self.run(profile, "call", *words).ok().out.split()]


def rule(action: str, *names: str, **members: Any) -> dict[str, Any]:
    """An entry of `syscalls`."""
    return {"names": list(names), "action": action, **members}


def allowing(*rules: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A profile that lets pass what no rule is about."""
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **members}
