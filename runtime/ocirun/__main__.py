"""``python -m ocirun``, and the ``ocirun`` script of a pip installation: the runtime without its launcher, unsealed."""

from __future__ import annotations

import os
import signal
import sys

from ocirun import cli


def entry() -> None:
    """Run one command line and leave, as the launcher does it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and hooks and programs would, too
    try:
        code = cli.main(sys.argv[1:])
    except KeyboardInterrupt:
        # What had been begun is undone; the caller sees a program that SIGINT has ended.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        code = 128 + signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    os._exit(code)


if __name__ == "__main__":
    entry()
