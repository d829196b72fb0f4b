"""A command in the state that it needs, and what a person does after it went wrong."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from support.command import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from security.box import Box
    from support.host import HostSnapshot

WHOLE = bool(os.environ.get("OCIRUN_FAULTS"))
"""Whether everything that may go wrong does, one after the other, as `./dev faults` wants it, and not a few of it."""


def command_line(box: Box, name: str, bundle: Path) -> list[str]:
    """The command under attack."""
    word, *options = name.removesuffix(" joining").split()
    if word in ("create", "run"):
        options += ["--bundle", str(bundle)]
    rest = {
        "exec": ["true"],
        "kill": ["KILL"],
        "update": ["--pids-limit", "99"],
        "mounts": ["--bind", f"{box.base}:/new/one"],
    }.get(word, [])
    return box.command(word, *options, box.ident, *rest)


def prepare(box: Box, name: str, bundle: Path) -> None:
    """Bring the container into the state in which the command makes sense."""
    word = name.partition(" ")[0]
    if word in ("create", "run"):
        return
    box.runtime.create(box.ident, bundle).ok()
    if word != "start":
        box.runtime.start(box.ident).ok()
    if name == "resume":
        box.runtime.call("pause", box.ident).ok()
    if name == "delete":
        pid = int(box.runtime.state(box.ident)["pid"])
        box.runtime.kill(box.ident).ok()
        wait_for(lambda: box.runtime.status(box.ident) == "stopped", what=f"the end of {pid}")


def spawn(box: Box, argv: Sequence[str], pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a command whose output nobody reads."""
    with (box.base / "said").open("ab") as said:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, pass_fds=pass_fds)


def finish(process: subprocess.Popen[bytes]) -> int:
    """The command's exit code; it never takes this long, and is not left behind if it does."""
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def clean_up(box: Box, before: HostSnapshot, moment: str) -> None:
    """What a person would do next, and what has to come of it."""
    done = box.runtime.delete(box.ident, force=True)
    assert done.code == 0, f"{moment}: {done.details()}"
    try:
        before.assert_unchanged()
    except AssertionError as problem:
        raise AssertionError(f"{moment}: {problem}") from None
