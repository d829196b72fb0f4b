"""Calls of the program in a process of their own: what touches the umask, signals, descriptors or clones is done there.

Each has a process group of its own, since a terminal's Ctrl-C is for the caller, who then ends it in order. Failures
and warnings come as JSON through a file in memory, so that the standard streams are the container's alone.
"""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ocirun import cli, errors, state
from ocirun.errors import EXIT_SIGNAL, Failure, failure
from ocirun.kernel import process as kernel
from ocirun.library import pipes, waiting
from ocirun.library.results import Completed
from ocirun_spec import jsontext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from ocirun.library.options import Streams
    from ocirun.library.waiting import Waiting
    from ocirun.state import Record

LIMIT: Final = 16 << 20
"""Bytes of each output that are kept."""
LOGGER: Final = logging.getLogger("ocirun")
_KINDS: Final = {each.__name__: each for each in (state.UnknownContainer, state.Damaged, errors.NotSupported)}
_OURS: Final = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET")
"""What systemd has said to the caller, and not to a container (sd_listen_fds(3), sd_notify(3))."""
_PATIENCE: Final = 10.0
"""Seconds for an interrupted command to undo what it has begun."""


def installed() -> list[str]:
    """The executable that PATH has, else `interpreted`."""
    found = shutil.which("ocirun")
    return [found] if found else interpreted()


def interpreted() -> list[str]:
    """This interpreter with the very sources that the caller has imported, isolated from its environment."""
    folders = {str(Path(each).parents[1]) for each in (jsontext.__file__, state.__file__) if each}
    code = f"import sys; sys.path[:0] = [each for each in {sorted(folders)!r} if each not in sys.path]"
    return [sys.executable, "-I", "-c", f"{code}; from ocirun.__main__ import entry; entry()"]


class Process:
    """A call of the program, and the program in a container that it stands for.

    id:                    the container's.
    code:                  the exit code (see `wait`), None as long as nobody has found out that it has ended.
    stdin, stdout, stderr: this side of what was `subprocess.PIPE`, else None.

    It may be used from any thread, by one of them at a time. Leaving its ``with`` kills it.
    """

    def __init__(
        self,
        program: Sequence[str],
        command: Sequence[str],
        about: tuple[str, str],
        *,
        id: str = "",
        ended: Callable[[Process, bool], object] | None = None,
        **streams: Unpack[Streams],
    ) -> None:
        """about: what its sentences begin with. ended: called at the end, with whether it was killed."""
        self.id = id or about[1]
        self._about = about
        self._ended = ended
        self.code: int | None = None
        self._failed: Failure | None = None
        self._pidfd = self._heard = -1
        self._heard = os.memfd_create("ocirun-log", os.MFD_CLOEXEC)
        argv = [*program, f"--log-fd={self._heard}", *command]
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        # An exception of a signal's handler, such as KeyboardInterrupt, would lose the child in the middle of this.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._child = subprocess.Popen(
                argv,
                stdin=streams.get("stdin", subprocess.DEVNULL),
                stdout=streams.get("stdout"),
                stderr=streams.get("stderr"),
                env=environment,
                pass_fds=[self._heard],
                process_group=0,
            )
            self._pidfd = os.pidfd_open(self._child.pid)
            self._began = kernel.start_time(self._child.pid)
            self.stdin, self.stdout, self.stderr = self._child.stdin, self._child.stdout, self._child.stderr
        except OSError as problem:
            raise failure(f"run {argv[0]}", problem) from None
        finally:
            self._unblock(mask)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for each in (self.stdin, self.stdout, self.stderr):
            if each:
                each.close()

    def __del__(self) -> None:
        for fd in (self._pidfd, self._heard):
            if fd >= 0:
                os.close(fd)

    @property
    def pid(self) -> int:
        """Of the call, not of the program in the container."""
        return self._child.pid

    def _has_made(self, record: Record) -> bool:
        """Whether a container's record names this call as its creator."""
        creator: list[int] = record["creator"]
        return creator == [self.pid, self._began]

    def wait(self, timeout: float | None = None) -> int:
        """The program's exit code, 128 + n when signal n has ended it; the `Failure` when the call has failed.

        TimeoutError after `timeout` seconds: it goes on then.
        """
        return waiting.here(self._waiting(), timeout)

    async def wait_async(self) -> int:
        """The same for an event loop."""
        return await waiting.in_loop(self._waiting())

    def complete(self, input: bytes = b"", *, limit: int = LIMIT, timeout: float | None = None) -> Completed:
        """Give it its input, and collect its outputs that are pipes, until it has ended.

        limit:   bytes of each output that are kept; what is more is read and dropped.
        timeout: seconds until it is killed, and TimeoutError raised. So it is when anything else interrupts this.
        """
        try:
            return waiting.here(self._completing(input, limit), timeout)
        finally:
            self.__exit__(None, None, None)

    async def complete_async(self, input: bytes = b"", *, limit: int = LIMIT) -> Completed:
        """The same for an event loop: who is cancelled has killed it."""
        try:
            return await waiting.in_loop(self._completing(input, limit))
        finally:
            self.__exit__(None, None, None)

    def send_signal(self, number: int) -> None:
        """To the call, which passes it on to the program; nothing when it has ended."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """End the call and the program in the container, if they have not ended; nothing is left of either.

        The call is stopped first, so that it has no child that is not seen. Interrupted, this can be repeated.
        """
        if self.code is not None:
            return
        if self._child.returncode is None:
            # By pidfd, since `Popen.send_signal` would reap it first if it has ended.
            signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)
            os.waitid(os.P_PIDFD, self._pidfd, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            for child in _children(self._child.pid):
                signal.pidfd_send_signal(child, signal.SIGKILL)
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._reap(killed=True)

    def _finish(self, interrupt: bool = True) -> None:
        """Wait for the end of a command without a program. Interrupted, it undoes what it has begun, or goes on."""
        try:
            code = self.wait()
        except Failure:
            raise
        except BaseException:
            if interrupt:
                self._child.send_signal(signal.SIGINT)
            try:
                self.wait(_PATIENCE)
            except (Failure, TimeoutError):
                pass
            finally:
                self.kill()
            raise
        if code:
            raise self._told(Failure(f"it has ended with exit code {code}"))

    def _unblock(self, mask: set[int | signal.Signals]) -> None:
        """Let the handlers run of the signals that have come meanwhile."""
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except BaseException:
            if self._pidfd >= 0:
                self.kill()
            raise

    def _waiting(self) -> Waiting[int]:
        if self.code is None:
            yield {self._pidfd: select.POLLIN}
            self._reap(killed=False)
        return self._result()

    def _reap(self, killed: bool) -> None:
        """Hear what it has said. It counts as ended when all is done about that."""
        code = self._child.wait()
        text = os.pread(self._heard, os.fstat(self._heard).st_size, 0)
        for record in map(json.loads, text.decode("utf-8", "surrogateescape").splitlines()):
            if record["level"] == "error":
                self._failed = self._told(_failure(record))
            else:
                LOGGER.warning("%s: %s", " ".join(self._about), record["msg"])
        if self._ended:
            self._ended(self, killed)
        self.code = code if code >= 0 else EXIT_SIGNAL - code

    def _result(self) -> int:
        if self._failed:
            raise self._failed
        assert self.code is not None
        return self.code

    def _told(self, problem: Failure) -> Failure:
        problem.about = cli.named_as([*self._about])
        return problem

    def _completing(self, data: bytes, limit: int) -> Waiting[Completed]:
        kept = {each.fileno(): bytearray() for each in (self.stdout, self.stderr) if each}
        yield from pipes.pump(self._pidfd, self.stdin, kept, data, limit)
        self._reap(killed=False)
        out, err = (bytes(kept[each.fileno()][:limit]) if each else b"" for each in (self.stdout, self.stderr))
        return Completed(self._result(), out, err, any(len(each) > limit for each in kept.values()))


def _failure(record: dict[str, Any]) -> Failure:
    """The exception that the process has raised."""
    kind = _KINDS.get(record["kind"], Failure)
    problem = kind.__new__(kind)
    names = ("doing", "where", "call", "errno", "hint", "code")
    Failure.__init__(problem, **{name: record[name] for name in names})
    return problem


def _children(parent: int) -> Iterator[int]:
    """A pidfd of each child of a process that is stopped."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        if _parent(name) != parent:
            continue
        try:
            pidfd = os.pidfd_open(int(name))
        except ProcessLookupError:
            continue
        try:
            if _parent(name) == parent:
                yield pidfd
        finally:
            os.close(pidfd)


def _parent(pid: str) -> int:
    """Field 4 of proc_pid_stat(5); 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0
