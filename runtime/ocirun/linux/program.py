"""The program itself: process.cwd, env, args, the descriptors it gets, and its execve(2).

SECURITY: cwd is a descriptor resolved inside the root without magic links, so that ``/proc/self/fd/7`` leads nowhere
(CVE-2024-21626); every other descriptor is close-on-exec before the program runs.
"""

from __future__ import annotations

import os
import stat

from ocirun.kernel import files, raw, signals
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

    from ocirun.scene import Scene

DEFAULT_PATH: Final = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LONGEST_PASSWD: Final = 1 << 20
_ENOENT: Final = 2
_EACCES: Final = 13


def environment(process: dict[str, Any], listen: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """process.env as a table, the last of equal names winning; `listen` are the variables of socket activation."""
    pairs = (os.fsencode(entry).partition(b"=") for entry in process.get("env") or ())
    return {name: value for name, _, value in pairs} | listen


def listen_variables(count: int) -> dict[bytes, bytes]:
    """LISTEN_* of sd_listen_fds(3) for `count` passed descriptors; LISTEN_PID is known when the program is executed."""
    if not count:
        return {}
    found = {b"LISTEN_FDS": b"%d" % count, b"LISTEN_PID": b""}
    if names := os.environb.get(b"LISTEN_FDNAMES"):
        found[b"LISTEN_FDNAMES"] = names
    return found


class Program:
    """What is executed: filled by the plan, completed inside.

    found:   the file that was looked up.
    listens: whether LISTEN_PID is wanted.
    """

    __slots__ = ("argv", "env", "found", "listens", "uid")

    def __init__(self, process: dict[str, Any], listen: dict[bytes, bytes]) -> None:
        self.argv = [os.fsencode(each) for each in process["args"]]
        self.env = environment(process, listen)
        self.listens = b"LISTEN_PID" in listen
        self.uid = (process.get("user") or {}).get("uid", 0)
        self.found = self.argv[0]


def working_directory(process: dict[str, Any], pointer: str) -> InsideStep:
    """Before the root is given up and read-only: a missing cwd is made."""
    return InsideStep(
        open_cwd, f"{pointer}/cwd", f"open the working directory {process['cwd']}", os.fsencode(process["cwd"])
    )


def early(pointer: str) -> list[InsideStep]:
    """Before the credentials are the program's: enter a cwd that only the runtime's user may enter."""
    return [InsideStep(try_cwd, f"{pointer}/cwd", "enter the working directory")]


def inside(program: Program, pointer: str) -> list[InsideStep]:
    """After the credentials are the program's: enter cwd unless that is done, complete HOME, find the file."""
    return [
        InsideStep(enter_cwd, f"{pointer}/cwd", "enter the working directory"),
        InsideStep(complete_home, f"{pointer}/env", "set HOME from /etc/passwd", program),
        InsideStep(find, f"{pointer}/args/0", f"exec {os.fsdecode(program.argv[0])!r}", program),
    ]


def launch(program: Program, pointer: str) -> InsideStep:
    """The last step."""
    return InsideStep(execute, f"{pointer}/args/0", f"exec {os.fsdecode(program.argv[0])!r}", program)


def open_cwd(step: InsideStep, scene: Scene) -> None:
    """Resolve cwd inside the root, making it when it is missing."""
    scene.cwd = files.make_directories(scene.root, step.args[0])


def try_cwd(step: InsideStep, scene: Scene) -> None:
    """fchdir(2) with the runtime's rights, which may be too few: the directory may be the program's user's alone."""
    try:
        enter_cwd(step, scene)
    except raw.KernelError as problem:
        if problem.errno != _EACCES:
            raise


def enter_cwd(_step: InsideStep, scene: Scene) -> None:
    """fchdir(2), once."""
    if scene.cwd >= 0:
        raw.call("fchdir", raw.FCHDIR, scene.cwd)
        os.close(scene.cwd)
        scene.cwd = -1


def complete_home(step: InsideStep, _scene: Scene) -> None:
    """HOME as login(1) would set it, when the config does not: from the image's /etc/passwd, ``/`` without an entry.

    SECURITY: the image's file is parsed here, bytes only, bounded, and only if it is a regular file.
    """
    program: Program = step.args[0]
    if program.env.get(b"HOME"):
        return
    program.env[b"HOME"] = b"/"
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    fd = raw.syscall(raw.OPENAT, -1, b"/etc/passwd", flags, 0)  # no exception, which costs more than the call
    if fd < 0:
        return
    found = os.fstat(fd)
    text = os.read(fd, min(found.st_size, _LONGEST_PASSWD)) if stat.S_ISREG(found.st_mode) else b""
    os.close(fd)
    uid = b"%d" % program.uid
    for line in text.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 5 and fields[2] == uid:
            program.env[b"HOME"] = fields[5] or b"/"
            return


def find(step: InsideStep, _scene: Scene) -> None:
    """Look the program up as execvp(3) would, with its own PATH, so that `create` already says it is missing."""
    program: Program = step.args[0]
    name = program.argv[0]
    if b"/" in name:
        _executable(name)
        return
    worst = _ENOENT
    for place in program.env.get(b"PATH", DEFAULT_PATH).split(b":"):
        candidate = (place or b".") + b"/" + name
        try:
            _executable(candidate)
        except raw.KernelError as problem:
            if problem.errno == _EACCES:
                worst = _EACCES
            continue
        program.found = candidate
        return
    if worst == _EACCES:
        raise raw.KernelError(_EACCES, "", "")
    raise raw.KernelError(_ENOENT, "executable file not found in $PATH", "")


def _executable(path: bytes) -> None:
    try:
        found = os.stat(path)
    except OSError as problem:
        raise raw.KernelError(problem.errno or 0, "stat", os.fsdecode(path)) from None
    if stat.S_ISDIR(found.st_mode):
        raise raw.KernelError(21, "", "")
    # with the real user access(2) would forget the effective capabilities
    if not os.access(path, os.X_OK, effective_ids=True):
        raise raw.KernelError(_EACCES, "", "")


def keep_descriptors(count: int) -> InsideStep:
    """--preserve-fds and LISTEN_FDS: descriptors 3 .. 3+count-1 are the program's; all others close on exec already."""
    return InsideStep(pass_descriptors, "", f"pass {count} file descriptors on", count)


def pass_descriptors(step: InsideStep, _scene: Scene) -> None:
    """Clear FD_CLOEXEC."""
    for fd in range(3, 3 + step.args[0]):
        os.set_inheritable(fd, True)


def execute(step: InsideStep, _scene: Scene) -> NoReturn:
    """execve(2). On success the channel closes by itself: end-of-file is the good news."""
    program: Program = step.args[0]
    signals.reset()
    if program.listens:
        program.env[b"LISTEN_PID"] = b"%d" % os.getpid()  # in its own pid namespace: 1 unless it is an `exec`
    try:
        os.execve(program.found, program.argv, program.env)
    except OSError as problem:
        raise raw.KernelError(problem.errno or 0, "execve", os.fsdecode(program.found)) from None
