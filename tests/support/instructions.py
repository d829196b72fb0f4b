"""Counts the instructions of commands outside the kernel, by a tool for valgrind(1) (`counter.c`).

Counted are the program and the processes that it makes, each until it ends or executes another program. The counts
depend neither on load nor on the processor, since valgrind shows all programs the same one. They need a thin
environment: its words are read by the dynamic linker.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from .facility import find_program

SOURCE = Path(__file__).with_name("counter.c")
OWN = Path("/usr/libexec/valgrind")
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/valgrind")
PLATFORM = "amd64-linux"
PRELOADED = f"vgpreload_core-{PLATFORM}.so"
OPTIONS = """
    -O2 -Wall -Wextra -Werror -fno-builtin -fno-stack-protector -isystem /usr/include/valgrind
    -DVGA_amd64=1 -DVGO_linux=1 -DVGP_amd64_linux=1 -DVGPV_amd64_linux_vanilla=1 -static -nostdlib -no-pie
    -Wl,-Ttext-segment=0x58000000 -Wl,--wrap=vgModuleLocal_get_linux_syscall_entry
"""
SCRIPT = """#!/bin/sh
# The command line of its arguments, counted. Of ocirun the launcher is run, as bin/ocirun does.
program=$1
launcher=${{program%/bin/ocirun}}/lib/ocirun/launcher
[ ! -x "$launcher" ] || program=$launcher
shift
rm -f {log}
exec unshare --mount --propagation private sh -c '
    for folder in {library} "${{0%/*}}"; do
        mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder" || exit
    done
    VALGRIND_LIB={library} exec valgrind --tool=counter --log-file={log} "$0" "$@"' "$program" "$@"
"""
"""On a read-only mount a runtime does not start itself a second time, where valgrind would lose it.

The log is removed and not emptied, since the process of a container writes to that of the command that has made it.
"""


def countable() -> str:
    """A probe (`facility`): what the tool is built with is installed."""
    missing = [path for path in (LIBRARIES / f"libcoregrind-{PLATFORM}.a", OWN / PRELOADED) if not path.exists()]
    if missing:
        return f"needs valgrind of Debian for {PLATFORM}, with {missing[0]}"
    return "" if find_program("gcc") else "needs gcc"


class Counter:
    """The tool, built in `folder`: `command` runs a command line and counts; its program is an absolute path."""

    def __init__(self, folder: Path) -> None:
        library = folder / "counter"
        library.mkdir()
        self.log = folder / "counted"
        self.command = library / "count"
        self.command.write_text(SCRIPT.format(library=library, log=self.log))
        self.command.chmod(0o755)
        (library / PRELOADED).symlink_to(OWN / PRELOADED)
        archives = [f"{LIBRARIES}/lib{name}-{PLATFORM}.a" for name in ("coregrind", "vex", "gcc-sup")]
        command = ["gcc", *OPTIONS.split(), "-o", f"{library}/counter-{PLATFORM}", str(SOURCE), *archives, "-lgcc"]
        subprocess.run(command, check=True, timeout=60)

    def counts(self) -> list[int]:
        """Of the last command's processes, in the order of their ends; without those that are still there."""
        return [int(number) for number in re.findall(r"== counted (\d+)", self.log.read_text())]
