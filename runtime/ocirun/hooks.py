"""hooks: programs that run at the six points of the lifecycle, with the state on stdin (config.md, POSIX-platform
hooks).

prestart, createRuntime, poststart and poststop run in the runtime's namespaces; createContainer and startContainer in
the container's. A hook gets exactly its `args` and its `env`; where `env` is absent, a hook of the runtime's
namespaces inherits the runtime's environment, which is what hooks written for runc count on, and a hook of the
container gets none.
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
    from typing import Any, Final

_MOST_STDERR: Final = 4096
_EXEC_FAILED: Final = 127


class HookFailed(OSError):
    """A hook's failure where no words are made: `call` says how, `detail` which hook and its stderr."""

    def __init__(self, how: str, detail: str) -> None:
        super().__init__(0, how)
        self.call = how
        self.detail = detail


def run_all(hooks: list[dict[str, Any]], pointer: str, state: bytes) -> None:
    """Run the runtime's hooks in order; the first that fails is a Failure naming it. `state` is the JSON for stdin."""
    for at, hook in enumerate(hooks):
        run_one(hook, f"{pointer}/{at}", state)


def run_one(hook: dict[str, Any], pointer: str, state: bytes) -> None:
    """Run one hook of the runtime's namespaces."""
    try:
        run(hook, state, True)
    except HookFailed as problem:
        said = f" ({problem.detail})" if problem.detail else ""
        raise Failure(f"run the hook {hook['path']}{said}: {problem.call}", where=pointer) from None


def run(hook: dict[str, Any], state: bytes, inherit: bool) -> None:
    """Run one hook to its end; HookFailed when it cannot be run, does not return 0 or takes longer than its timeout."""
    path = hook["path"]
    argv = hook.get("args") or [path]
    if hook.get("env") is None and inherit:
        env = dict(os.environb)
    else:
        pairs = (os.fsencode(entry).partition(b"=") for entry in hook.get("env") or ())
        env = {name: value for name, _, value in pairs}
    stdin_read, stdin_write = os.pipe2(os.O_CLOEXEC)
    said_read, said_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(path, argv, env, stdin_read, said_write)
    os.close(stdin_read)
    os.close(said_write)
    pidfd = kernel.pidfd_open(pid)
    try:
        said = _converse(hook, pidfd, stdin_write, said_read, state)
    except HookFailed:
        kernel.pidfd_send_signal(pidfd, signals.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(pidfd)
        os.close(said_read)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        return
    how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    text = "; ".join(said.decode("utf-8", "replace").split("\n")).strip("; ")
    raise HookFailed(how, f"stderr: {text}" if text else "")


def _become(path: str, argv: list[str], env: dict[bytes, bytes], stdin: int, stderr: int) -> None:
    """The child: state on stdin, stderr to the runtime; never returns. It dies with the runtime."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signals.SIGKILL)
        signals.reset()
        os.dup2(stdin, 0)
        os.dup2(stderr, 2)
        os.execve(path, argv, env)
    except OSError as problem:
        os.write(2, words(problem.errno or 0).encode())
    finally:
        os._exit(_EXEC_FAILED)


def _converse(hook: dict[str, Any], pidfd: int, stdin: int, said: int, state: bytes) -> bytes:
    """Feed the state, collect stderr, wait for the end. A hook that does not read its stdin is no error."""
    timeout = hook.get("timeout")
    deadline = time.monotonic() + timeout if timeout else None
    os.set_blocking(stdin, False)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(said, select.POLLIN)
    poll.register(stdin, select.POLLOUT)
    text = b""
    while True:
        left = None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000))
        ready = dict(poll.poll(left))
        if not ready:
            if stdin >= 0:
                os.close(stdin)
            raise HookFailed(f"timed out after {timeout} s", "")
        if stdin in ready:
            state = _feed(stdin, state)
            if not state:
                poll.unregister(stdin)
                os.close(stdin)
                stdin = -1
        if said in ready:
            part = os.read(said, _MOST_STDERR)
            text = (text + part)[:_MOST_STDERR]
            if not part:
                poll.unregister(said)
        elif pidfd in ready:
            break
    if stdin >= 0:
        os.close(stdin)
    return text


def _feed(stdin: int, state: bytes) -> bytes:
    """What is left to write after one write(2); nothing when the hook has closed its end."""
    try:
        return state[os.write(stdin, state) :]
    except BrokenPipeError:
        return b""
    except BlockingIOError:
        return state
