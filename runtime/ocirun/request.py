"""What a command line asks of `create`, `run` and `exec`, beyond the bundle."""

from __future__ import annotations

import os

from ocirun import log
from ocirun.errors import Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments


class Request:
    """The options, checked and made absolute.

    detached: the runtime returns when the program runs (or, for `create`, before it).
    listen_fds: how many descriptors socket activation passes (sd_listen_fds(3)), from 3 on.
    notify: a supervisor waits for the program to say that it is ready (NOTIFY_SOCKET).
    starts: the program runs in the same command.
    cache: directory of compiled programs.
    trace: file for the time of each step, or "".
    """

    __slots__ = (
        "cache",
        "console_socket",
        "detached",
        "ident",
        "listen_fds",
        "no_new_keyring",
        "no_pivot",
        "notify",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "root",
        "starts",
        "systemd_cgroup",
        "trace",
    )

    def __init__(self, arguments: Arguments, general: Arguments, root: str) -> None:
        self.ident = arguments.positionals[0]
        self.root = root
        self.cache = f"{root}/@cache"
        self.console_socket = absolute(arguments.text("console-socket"))
        self.pidfd_socket = absolute(arguments.text("pidfd-socket"))
        self.pid_file = absolute(arguments.text("pid-file"))
        self.trace = absolute(arguments.text("trace"))
        self.no_pivot = arguments.flag("no-pivot")
        self.no_new_keyring = arguments.flag("no-new-keyring")
        self.preserve_fds = arguments.number("preserve-fds")
        self.listen_fds = _listen_fds()
        self.detached = arguments.command == "create" or arguments.flag("detach")
        self.starts = arguments.command == "run"
        self.notify = arguments.command != "exec" and bool(os.environ.get("NOTIFY_SOCKET"))
        self.systemd_cgroup = general.flag("systemd-cgroup")
        _check_open(self.preserve_fds + self.listen_fds)


@doing("find the current directory")
def absolute(path: str) -> str:
    """A path that holds wherever the runtime stands; "" stays."""
    return os.path.abspath(path) if path else ""


def _listen_fds() -> int:
    """LISTEN_FDS when it is meant for this process (sd_listen_fds(3): LISTEN_PID is absent or ours)."""
    count = os.environ.get("LISTEN_FDS", "")
    meant_for = os.environ.get("LISTEN_PID", "")
    if not (count.isascii() and count.isdigit()) or (meant_for and meant_for != str(os.getpid())):
        return 0
    return int(count)


def _check_open(count: int) -> None:
    """Descriptors that shall be passed on must be there, before the runtime opens any of its own."""
    for fd in range(3, 3 + count):
        try:
            if log.holds(fd):
                raise OSError
            os.fstat(fd)
        except OSError:
            raise Failure(
                f"pass {count} file descriptors on: descriptor {fd} is not open", where="--preserve-fds"
            ) from None
