"""``python -m ocirun``, and the ``ocirun`` script of a pip installation: the runtime without its launcher, unsealed."""

from __future__ import annotations

import os
import sys

from ocirun import cli


def entry() -> None:
    """Run one command line and leave."""
    os._exit(cli.main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
