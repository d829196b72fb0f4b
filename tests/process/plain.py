"""A box whose runtime is called by a user without privileges."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from process.box import Box
from support import facility
from support.bundle import Config, with_shell
from support.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PLAIN = 1234
"""A uid that has no entry in /etc/passwd, /etc/subuid or anywhere."""


def as_plain_user(*words: str) -> list[str]:
    """The command line that gives root up first."""
    program = facility.find_program("setpriv")
    return [program or "setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups", *words]


def plain_user_namespace() -> str:
    """A plain user may make a user namespace here."""
    return facility._tried(*as_plain_user("unshare", "--user", "--map-root-user", "true"))


@contextmanager
def reachable(program: Path) -> Iterator[Path]:
    """A copy of the program in a folder that everybody may enter: a checkout may lie in a home that is closed."""
    with tempfile.TemporaryDirectory(prefix="ocirun-plain-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("bin", "lib"):
            shutil.copytree(program.parent.parent / part, folder / part)
        yield folder / "bin" / program.name


@contextmanager
def plain_box(
    program: Path,
    enter: str = "",
    user: int = PLAIN,
    words: Callable[..., list[str]] = as_plain_user,
    options: Sequence[str] = (),
) -> Iterator[Box]:
    """A box whose files and runtime are the plain user's, called from the cgroup at `enter`; its bundle is rootless.

    `words` gives the command line that becomes `user`; `options` are global ones of each call.
    """
    with reachable(program) as copied, tempfile.TemporaryDirectory(prefix="ocirun-plain-") as name:
        folder = Path(name)
        wrapper = folder / "ocirun"
        move = f"echo $$ > {enter}/cgroup.procs && " if enter else ""
        wrapper.write_text(f'#!/bin/sh\n{move}exec {" ".join(words(str(copied)))} "$@"\n')
        wrapper.chmod(0o755)
        with Runtime(wrapper, folder / "root", folder / "calls", options=options) as runtime:
            box = Box(runtime, folder)
            assert box.rootfs.exists()
            for where, directories, files in os.walk(folder):
                for entry in (".", *directories, *files):
                    os.chown(Path(where) / entry, user, user, follow_symlinks=False)
            runtime.call("spec", "--rootless", "--bundle", str(box.bundle)).ok()
            yield box


def config_of(box: Box, script: str) -> Config:
    """What `spec --rootless` wrote, with a script as its program."""
    config: Config = json.loads((box.bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    return with_shell(config, script)
