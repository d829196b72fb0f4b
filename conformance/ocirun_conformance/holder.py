"""Namespaces of the suite's own, held by a process of util-linux, for containers to join and for runtimes to run in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .case import Fails, NotRun
from .config import add_namespace

if TYPE_CHECKING:
    from .config import Config
    from .trial import Trial

FILES = {
    "cgroup": "cgroup",
    "ipc": "ipc",
    "mount": "mnt",
    "network": "net",
    "pid": "pid",
    "time": "time",
    "user": "user",
    "uts": "uts",
}
"""Each type of namespace of config-linux.md, and its file in /proc/PID/ns."""

FIRST_ID = 200000
"""Where a user namespace of the suite's begins on the host."""

IDS = 65536


def link(pid: int, kind: str) -> str:
    """The namespace of a process, such as "uts:[4026531838]"."""
    return str(Path(f"/proc/{pid}/ns/{FILES[kind]}").readlink())


def with_type(trial: Trial, kind: str) -> Config:
    """A container with this namespace new; a user namespace has the mappings that it needs."""
    config = trial.config(["report"], ["wait"])
    add_namespace(config, kind)
    if kind == "user" and not trial.rootless:
        for member in ("uidMappings", "gidMappings"):
            config["linux"][member] = [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}]
    return config


def require_type(trial: Trial, kind: str) -> None:
    """That the runtime knows this type at all, which it only SHOULD; namespaces.is_supported judges that."""
    made = trial.container(with_type(trial, kind))
    if made.create().code:
        raise NotRun(f"the runtime refuses the type {kind}, which is judged by namespaces.is_supported[{kind}]")
    made.force()


class Holder:
    """A process in new namespaces of these types, until the end of the case or `close`."""

    def __init__(self, trial: Trial, *kinds: str, script: str = "") -> None:
        """script: run by sh in the namespaces first."""
        options = [f"--{'net' if kind == 'network' else kind}" for kind in kinds]
        words = f"{script}{';' if script else ''} echo ready; exec sleep 600"
        self._process = subprocess.Popen(
            ["unshare", *options, "--fork", "--kill-child", "sh", "-c", words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        trial.defer(self.close)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise OSError(f"cannot make namespaces with unshare {' '.join(options)}")
        if "user" in kinds:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{self.pid}/{name}").write_text(f"0 {FIRST_ID} {IDS}")

    def path(self, kind: str) -> str:
        """The file of its namespace; what only children of a process enter is that of its child."""
        suffix = "_for_children" if kind in ("pid", "time") else ""
        return f"/proc/{self.pid}/ns/{FILES[kind]}{suffix}"

    def link(self, kind: str) -> str:
        """The namespace, as `link` gives it for a process."""
        return str(Path(self.path(kind)).readlink())

    def run(self, kind: str, *argv: str, check: bool = True) -> str:
        """The output of a program inside."""
        return run_in(self.path(kind), kind, *argv, check=check)

    def put_runtime_in(self, trial: Trial, kind: str) -> None:
        """From now on the case's runtime runs in this namespace."""
        name = {"network": "net"}.get(kind, kind)
        program, *words = trial.runtime.program
        # nsenter(1) goes to the root directory of another mount namespace
        path = os.path.abspath(shutil.which(program) or program)
        trial.runtime.program = ("nsenter", f"--{name}={self.path(kind)}", "--", path, *words)

    def close(self) -> None:
        """End it; the namespaces go with the last process in them."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def run_in(path: str, kind: str, *argv: str, check: bool = True) -> str:
    """The output of a program in the namespace of this path, which is the host's own otherwise."""
    name = {"network": "net"}.get(kind, kind)
    done = subprocess.run(
        ["nsenter", f"--{name}={path}", "--", *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if check and done.returncode:
        raise Fails(f"{' '.join(argv)} fails in the {kind} namespace {path}", seen=done.stderr)
    return done.stdout
