"""Drives an OCI runtime by its command line.

Rules: every call has a timeout and ends its own process when it passes; each call writes its own `--log` file, so that
a result holds only the lines of that call.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .bundle import REPOSITORY
from .command import DEFAULT_TIMEOUT, Output, process_alive, run_command, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["Result", "Runtime", "process_alive", "runtime_path", "wait_for"]


def runtime_path() -> Path:
    """The runtime under test: `OCIRUN_RUNTIME`, or the one that this checkout builds."""
    return Path(os.environ.get("OCIRUN_RUNTIME") or REPOSITORY / "build" / "bin" / "ocirun")


@dataclass(frozen=True)
class Result(Output):
    """One finished call, with its log."""

    log_path: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        """The `--log` lines of this call: objects with `level`, `msg` and `time`."""
        if not self.log_path.exists():
            return []
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.strip()]

    @property
    def last_error(self) -> str:
        """The message of the last error line of the log, which is what engines show; empty without one."""
        messages = [str(line.get("msg", "")) for line in self.log if line.get("level") == "error"]
        return messages[-1] if messages else ""

    def details(self) -> str:
        """Output and log."""
        return f"{super().details()}\nlog: {self.log}"


class Runtime:
    """A runtime binary with a private `--root`; as a context manager it removes what is left in it.

    `scratch` receives the output and log files of the calls. `options` are global options that every call gets, such
    as `--systemd-cgroup`.
    """

    def __init__(
        self,
        path: Path,
        root: Path,
        scratch: Path,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self.path = path
        self.root = root
        self.scratch = scratch
        self.options = tuple(options)
        self.env = dict(os.environ if env is None else env)
        self.timeout = timeout
        self._count = itertools.count(1)
        scratch.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove_all()

    def call(
        self,
        *args: str,
        stdin: bytes = b"",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Result:
        """Run `RUNTIME --root … --log … ARGS` to its end; any exit code is returned, never raised."""
        stem = self.scratch / f"{next(self._count):04d}-{args[0] if args else 'none'}"
        log_path = stem.with_name(stem.name + ".log")
        head = [str(self.path), "--root", str(self.root), "--log", str(log_path), "--log-format", "json"]
        done = run_command(
            [*head, *self.options, *args],
            stem,
            stdin=stdin,
            cwd=cwd,
            env=self.env if env is None else env,
            timeout=self.timeout if timeout is None else timeout,
            pass_fds=pass_fds,
        )
        return Result(done.argv, done.code, done.out_path, done.err_path, done.seconds, log_path)

    def run(self, container: str, bundle: Path, *options: str, timeout: float | None = None) -> Result:
        """`run` in the foreground unless `options` name `--detach`."""
        return self.call("run", "--bundle", str(bundle), *options, container, timeout=timeout)

    def create(self, container: str, bundle: Path, *options: str, timeout: float | None = None) -> Result:
        """`create`; the container's own output appears in the files of this result."""
        return self.call("create", "--bundle", str(bundle), *options, container, timeout=timeout)

    def start(self, container: str) -> Result:
        """`start` a created container."""
        return self.call("start", container)

    def exec(self, container: str, *command: str, options: Sequence[str] = (), stdin: bytes = b"") -> Result:
        """`exec` a command; `options` precede the id."""
        return self.call("exec", *options, container, *command, stdin=stdin)

    def exec_process(self, container: str, process: Mapping[str, Any], *options: str) -> Result:
        """`exec --process FILE` with the spec's `process` object, which is what engines do."""
        file = self.scratch / f"process-{next(self._count)}.json"
        file.write_text(json.dumps(process))
        return self.call("exec", "--process", str(file), *options, container)

    def state(self, container: str) -> dict[str, Any]:
        """The state document; AssertionError when the container is not known."""
        document: dict[str, Any] = json.loads(self.call("state", container).ok().out)
        return document

    def status(self, container: str) -> str:
        """The spec's status word: creating, created, running or stopped."""
        return str(self.state(container)["status"])

    def kill(self, container: str, signal_name: str | int = "KILL") -> Result:
        """`kill` with a signal name or number."""
        return self.call("kill", container, str(signal_name))

    def delete(self, container: str, force: bool = False) -> Result:
        """`delete`, with `--force` when asked."""
        return self.call("delete", *(["--force"] if force else []), container)

    def list(self) -> list[dict[str, Any]]:
        """`list --format json`; a `null` for an empty list counts as one."""
        return json.loads(self.call("list", "--format", "json").ok().out) or []

    def wait_status(self, container: str, status: str, deadline: float = 10.0) -> None:
        """Poll `state` until it says `status`."""
        wait_for(lambda: self.status(container) == status, deadline, f"{container} becoming {status}")

    def kill_and_delete(self, container: str) -> None:
        """KILL, wait until the init process is gone, `delete` without force; every step must succeed."""
        pid = int(self.state(container)["pid"])
        self.kill(container, signal.SIGKILL).ok()
        wait_for(lambda: not process_alive(pid), what=f"the end of process {pid}")
        self.delete(container).ok()

    def remove_all(self) -> None:
        """`delete --force` whatever has a directory below the root; never raises for a container that resists."""
        if not self.root.is_dir():
            return
        for entry in sorted(self.root.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                self.delete(entry.name, force=True)
