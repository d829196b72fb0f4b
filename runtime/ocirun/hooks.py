"""hooks: programs that run at the six points of the lifecycle, with the state on stdin (config.md, POSIX-platform
hooks).

prestart, createRuntime, poststart and poststop run in the runtime's namespaces; createContainer and startContainer in
the container's. A hook gets exactly its `args` and its `env`; where `env` is absent, a hook of the runtime's
namespaces inherits the runtime's environment, which is what hooks written for runc count on, and a hook of the
container gets none. What a hook prints is not the container's output: it is quoted when the hook fails, and goes to
the files that two annotations name, as with crun.
"""

from __future__ import annotations

import os
import select
import time

from ocirun.errors import Failure, words
from ocirun.kernel import process as kernel
from ocirun.kernel import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    Logs = tuple[int, int]

ANNOTATIONS: Final = ("run.oci.hooks.stdout", "run.oci.hooks.stderr")
NO_LOGS: Final = (-1, -1)
_QUOTED: Final = 4096
_PIPE: Final = 1 << 16
_LONGEST_POLL: Final = 1 << 30
_EXEC_FAILED: Final = 127
_KILLED: Final = {signals.SIGSYS: " (bad system call)"}
"""What a signal says about the reason."""


class HookFailed(OSError):
    """A hook's failure where no words are made: `call` says how, `detail` what the hook has printed."""

    def __init__(self, how: str, detail: str) -> None:
        super().__init__(0, how)
        self.call = how
        self.detail = detail


class _Stream:
    """stdout or stderr of a hook: its beginning is kept for the error, all of it goes to the log, when there is one.

    fd:     our end of the pipe; `theirs` is the hook's.
    """

    __slots__ = ("fd", "log", "text", "theirs")

    def __init__(self, log: int) -> None:
        self.fd, self.theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)
        self.log = log
        self.text = b""

    def listen(self) -> bool:
        """Take what is in the pipe; False at its end."""
        try:
            part = os.read(self.fd, _PIPE)
        except BlockingIOError:
            return True
        self.text = (self.text + part)[:_QUOTED]
        if self.log >= 0:
            _append(self.log, part)
        return bool(part)

    def quoted(self) -> str:
        """One line of printable characters: it becomes a part of a sentence, and the image may have written it."""
        lines = (line.strip() for line in self.text.decode("utf-8", "replace").splitlines())
        return "".join(each if each.isprintable() else "?" for each in "; ".join(line for line in lines if line))


def open_logs(record: dict[str, Any]) -> Logs:
    """Descriptors for stdout and stderr of the hooks of a recorded container, -1 where its annotations name no file."""
    annotations = record.get("annotations") or {}
    if not any(name in annotations for name in ANNOTATIONS):
        return NO_LOGS
    from ocirun import hooklogs

    return hooklogs.open_all(annotations)


def close_logs(logs: Logs) -> None:
    """Close them."""
    for fd in logs:
        if fd >= 0:
            os.close(fd)


def run_all(hooks: list[dict[str, Any]], pointer: str, state: bytes, record: dict[str, Any]) -> None:
    """Run the runtime's hooks in order; the first that fails is a Failure naming it. `state` is the JSON for stdin."""
    if not hooks:
        return
    logs = open_logs(record)
    try:
        for at, hook in enumerate(hooks):
            run_one(hook, f"{pointer}/{at}", state, logs)
    finally:
        close_logs(logs)


def run_one(hook: dict[str, Any], pointer: str, state: bytes, logs: Logs) -> None:
    """Run one hook of the runtime's namespaces."""
    try:
        run(hook, state, True, logs)
    except HookFailed as problem:
        said = f" ({problem.detail})" if problem.detail else ""
        raise Failure(f"error running hook {hook['path']}{said}: {problem.call}", where=pointer) from None


def run(
    hook: dict[str, Any],
    state: bytes,
    inherit: bool,
    logs: Logs = NO_LOGS,
    confine: Callable[[], None] | None = None,
) -> None:
    """Run one hook to its end; HookFailed when it cannot be run, does not return 0 or takes longer than its timeout.

    `confine` is called by the hook's own process, and nothing but execve(2) comes after it.
    """
    path = hook["path"]
    argv = hook.get("args") or [path]
    if hook.get("env") is None and inherit:
        env = dict(os.environb)
    else:
        pairs = (os.fsencode(entry).partition(b"=") for entry in hook.get("env") or ())
        env = {name: value for name, _, value in pairs}
    stdin, feed = os.pipe2(os.O_CLOEXEC)
    out, err = _Stream(logs[0]), _Stream(logs[1])
    pid = os.fork()
    if pid == 0:
        _become(path, argv, env, (stdin, out.theirs, err.theirs), confine)
    for fd in (stdin, out.theirs, err.theirs):
        os.close(fd)
    pidfd = kernel.pidfd_open(pid)
    try:
        ended = _converse(hook.get("timeout"), pidfd, feed, (out, err), state)
        if not ended:
            kernel.pidfd_send_signal(pidfd, signals.SIGKILL)
    finally:
        for fd in (pidfd, out.fd, err.fd):
            os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0 and ended:
        return
    how = f"killed by signal {-status}{_KILLED.get(-status, '')}" if status < 0 else f"exit status {status}"
    said = (("stderr", err.quoted()), ("stdout", out.quoted()))
    detail = ", ".join(f"{name}: {text}" for name, text in said if text)
    raise HookFailed(how if ended else f"timed out after {hook['timeout']} s", detail)


def _become(
    path: str,
    argv: list[str],
    env: dict[bytes, bytes],
    streams: tuple[int, int, int],
    confine: Callable[[], None] | None,
) -> None:
    """The child: state on stdin, the rest to the runtime; never returns. It dies with the runtime."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signals.SIGKILL)
        signals.reset()
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        if confine:
            confine()
        os.execve(path, argv, env)
    except OSError as problem:
        os.write(2, words(problem.errno or 0).encode())
    finally:
        os._exit(_EXEC_FAILED)


def _converse(timeout: int | None, pidfd: int, stdin: int, streams: tuple[_Stream, ...], state: bytes) -> bool:
    """Feed the state, listen, wait for the end; False when that does not come in time.

    The end of the hook itself counts: what it leaves in the background may keep the pipes open, and write to them, for
    as long as it likes. A hook that does not read its stdin is no error.
    """
    deadline = time.monotonic() + timeout if timeout else None
    os.set_blocking(stdin, False)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(stdin, select.POLLOUT)
    for stream in streams:
        poll.register(stream.fd, select.POLLIN)
    ended = False
    while not ended and (left := _left(deadline)) > 0:
        ready = dict(poll.poll(left))
        if stdin in ready:
            state = _feed(stdin, state)
            if not state:
                poll.unregister(stdin)
                os.close(stdin)
                stdin = -1
        for stream in streams:
            if stream.fd in ready and not stream.listen():
                poll.unregister(stream.fd)
        ended = pidfd in ready
    if stdin >= 0:
        os.close(stdin)
    for stream in streams:
        stream.listen()  # its last words: one read(2) takes all that a pipe holds
    return ended


def _left(deadline: float | None) -> int:
    """Milliseconds to wait for; the deadline may be further away than poll(2) can count."""
    if deadline is None:
        return _LONGEST_POLL
    return min(_LONGEST_POLL, int((deadline - time.monotonic()) * 1000) + 1)


def _feed(stdin: int, state: bytes) -> bytes:
    """What is left to write after one write(2); nothing when the hook has closed its end."""
    try:
        return state[os.write(stdin, state) :]
    except BrokenPipeError:
        return b""
    except BlockingIOError:
        return state


def _append(log: int, part: bytes) -> None:
    """A log that cannot be written is no reason to fail."""
    while part:
        try:
            part = part[os.write(log, part) :]
        except OSError:
            return
