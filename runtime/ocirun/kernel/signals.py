"""Signals, through the interpreter's C module: the `signal` module costs an `enum` at start."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Final
else:
    import _signal

SIGHUP: Final = 1
SIGINT: Final = 2
SIGQUIT: Final = 3
SIGKILL: Final = 9
SIGPIPE: Final = 13
SIGTERM: Final = 15
SIGCHLD: Final = 17
SIGURG: Final = 23
SIGWINCH: Final = 28
SIGSYS: Final = 31


def ignore_broken_pipes() -> None:
    """SIGPIPE becomes EPIPE for the runtime itself."""
    _signal.signal(SIGPIPE, _signal.SIG_IGN)


def block_all() -> None:
    """Block every signal, so that a signalfd(2) delivers them."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())


def unblock_all() -> None:
    """Let all signals in, which the library has blocked for the time of the fork."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def hold_interrupt() -> None:
    """From now on SIGINT waits: what is being undone must not be broken off. It raises nothing, also for one before."""
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (SIGINT,))
    except KeyboardInterrupt:
        return


def reset() -> None:
    """What a program expects at execve(2): nothing blocked, and SIGPIPE as usual."""
    _signal.signal(SIGPIPE, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
