"""The program's command line, with a list of the loaded modules at its end.

`dev variant` freezes it into a launcher of its own beside the unchanged program, so that the list is the real one: the
same start, the same built-in modules, the same frozen code.
"""

from __future__ import annotations

import os
import sys

from ocirun import cli


def main(argv: list[str]) -> int:
    """Run the command; then write `sys.modules` to the file that OCIRUN_PROBE names."""
    status = cli.main(argv)
    fd = os.open(os.environ["OCIRUN_PROBE"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(fd, "\n".join(sorted(set(sys.modules) - {__name__})).encode())
    os.close(fd)
    return status
