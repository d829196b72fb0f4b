"""A program for the launcher that tells what it sees; frozen into a launcher of its own by the tests beside it."""

from __future__ import annotations

import os
import sys

import _ocirun

from ocirun.kernel import raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PR_GET_NAME = 16
HOT: tuple[str, ...] = (
    "_blake2",
    "_io",
    "_operator",
    "_posixsubprocess",
    "_signal",
    "_socket",
    "_struct",
    "errno",
)
HOT += ("fcntl", "gc", "itertools", "marshal", "posix", "select", "time")


def tell(**facts: object) -> None:
    """Print facts, one NAME=VALUE a line."""
    os.write(1, "".join(f"{name.replace('_', ' ')}={value}\n" for name, value in facts.items()).encode())


def wait(*_: str) -> None:
    """Stay until standard input closes."""
    os.write(1, b"ready\n")
    os.read(0, 1)


def fds(report: str) -> None:
    """Write which file descriptors are open into a file."""
    links = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            links[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    text = "".join(f"{name}={link}\n" for name, link in links.items())
    fd = os.open(report, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


def check(installed: str) -> None:
    """Fail unless the launcher found the installed path itself, and sealed."""
    if (_ocirun.executable, _ocirun.sealed) != (installed, "mount"):
        raise AssertionError(_ocirun.executable)


def cold() -> None:
    """Complete the interpreter and tell how it is set up."""
    import json

    facts = {"path": sys.path, "flags": sys.flags, "encoding": sys.stdout.encoding, "warnings": sys.warnoptions}
    sys.stdout.write("".join(f"{name}={json.dumps(value)}\n" for name, value in facts.items()))


def read_json() -> None:
    """Read texts that are JSON and that are not."""
    from ocirun_spec import jsontext

    read = []
    for text in ('{"a": [1, "\\u00e9"]}', "[1,]"):
        try:
            read.append(jsontext.loads(text))
        except jsontext.JSONError as problem:
            read.append(str(problem))
    tell(json=read)


def builtin() -> None:
    """Import built-in modules: those that hot commands may use, and then all."""
    for name in HOT:
        __import__(name)
    before = hasattr(sys, "stdout")
    for name in sys.builtin_module_names:
        __import__(name)
    tell(complete=before)


def imports() -> None:
    """What a module of ours looks like, and which imports fail as they do without the launcher."""
    import ocirun.kernel.process
    from ocirun import errors

    modules = sys.modules
    package = modules["ocirun.kernel"]
    tell(
        package=(package.__package__, package.__path__, package is ocirun.kernel),
        module=(errors.__package__, errors is modules["ocirun.errors"], ocirun.kernel.process.__name__),
        name=refused("from ocirun.kernel import nothing"),
        module_missing=refused("import ocirun.nothing"),
        again=refused("import ocirun.kernel.nothing, ocirun"),
    )
    from ocirun import seal

    seal.close()
    tell(loaded=refused("import ocirun.errors"), closed=refused("import ocirun.several"))
    tell(kept="ocirun.several" in modules)


def refused(statement: str) -> str:
    """The type of the exception that a statement raises; empty without one."""
    try:
        exec(statement, {})
    except Exception as problem:  # noqa: BLE001 (any: it is what is asked for)
        return type(problem).__name__
    return ""


def handlers() -> None:
    """Install a signal handler, complete the interpreter, and see whether it is still there."""
    import _signal

    caught: list[int] = []
    _signal.signal(_signal.SIGUSR1, lambda number, _: caught.append(number))
    os.kill(os.getpid(), _signal.SIGUSR1)
    _ocirun.complete()
    os.kill(os.getpid(), _signal.SIGUSR1)
    tell(caught=len(caught), pipe=_signal.getsignal(_signal.SIGPIPE), terminate=_signal.getsignal(_signal.SIGTERM))


def late_path() -> None:
    """Add a folder to the search path before the interpreter is complete."""
    sys.path.append("/added/early")
    _ocirun.complete()
    tell(last=sys.path[-1], first=sys.path[0])


def fail() -> None:
    """Raise an exception that is awkward to print."""
    raise ValueError("two\nlines\udcff")


def _calls(how: str) -> tuple[Callable[..., int], Callable[[int, int], tuple[int, int]]]:
    if how == "launcher":
        return _ocirun.syscall, _ocirun.clone3
    from ocirun.kernel import fallback

    return fallback.syscall, fallback.clone3


def clone(how: str) -> None:
    """Make a child in new namespaces and wait for it by its pidfd."""
    clone_new_pid, clone_new_ns, clone_thread = 0x20000000, 0x00020000, 0x00010000
    _, clone3 = _calls(how)
    pid, pidfd = clone3(clone_new_pid | clone_new_ns, 17)
    if pid == 0:
        tell(child=f"{os.getpid()} {pidfd}")
        os._exit(7)
    info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    tell(pidfd="exited" if info and info.si_pid == pid else info, status=info.si_status if info else None)
    tell(refused=clone3(clone_thread, 17))


def syscalls(how: str) -> None:
    """Pass every kind of argument."""
    syscall, _ = _calls(how)
    buffer = bytearray(16)
    syscall(raw.PRCTL, PR_GET_NAME, buffer, 0, 0, 0)
    view = bytearray(20)
    syscall(raw.PRCTL, PR_GET_NAME, memoryview(view)[4:], 0, 0, 0)
    tell(
        gettid="same" if syscall(raw.GETTID) == os.getpid() else "other",
        missing=syscall(raw.OPENAT, -100, b"/nonexistent", 0, None),
        writable=bytes(buffer.rstrip(b"\0")),
        view=bytes(view[4:].rstrip(b"\0")),
        unsigned=syscall(raw.CLOSE, (1 << 64) - 1),
        too_big=_raised(syscall, raw.GETTID, 1 << 64),
        too_small=_raised(syscall, raw.GETTID, -(1 << 63) - 1),
        text=_raised(syscall, raw.GETTID, "text"),
        too_many=_raised(syscall, raw.GETTID, *range(7)),
    )


def _raised(function: Callable[..., int], *arguments: object) -> str:
    try:
        function(*arguments)
    except (OverflowError, TypeError) as problem:
        return type(problem).__name__
    return "nothing"


ACTIONS: dict[str, Callable[..., None]] = {
    "builtin": builtin,
    "check": check,
    "clone": clone,
    "cold": cold,
    "fds": fds,
    "handlers": handlers,
    "imports": imports,
    "json": read_json,
    "path": late_path,
    "raise": fail,
    "syscall": syscalls,
    "wait": wait,
}


def main(argv: list[str]) -> int:
    """Do what the first word says; without one, tell what the launcher knows."""
    if argv:
        ACTIONS[argv[0]](*argv[1:])
    else:
        tell(sealed=_ocirun.sealed, executable=_ocirun.executable, library=_ocirun.library, version=_ocirun.version)
    return 0
