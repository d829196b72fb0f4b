"""Runs one command to its end, bounded, with output in files.

Standard output and error go to files, never to pipes, because containers and daemons inherit them and would keep a
pipe open long after the command returned.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

SLOWNESS = 5.0 if os.environ.get("OCIRUN_LANE") else 1.0
"""What the seconds of every deadline are multiplied with: an emulated machine takes its time."""
DEFAULT_TIMEOUT = 30.0
POLL_INTERVAL = 0.005


class CommandTimeoutError(AssertionError):
    """A command did not end in time; it has been killed."""


@dataclass(frozen=True)
class Output:
    """A finished command. `code` is its exit status, or minus the signal that ended it."""

    argv: tuple[str, ...]
    code: int
    out_path: Path
    err_path: Path
    seconds: float

    @property
    def out(self) -> str:
        """Standard output so far: read anew each time, since a container may still be writing to it."""
        return self.out_path.read_text(errors="replace")

    @property
    def err(self) -> str:
        """Standard error so far, read anew each time."""
        return self.err_path.read_text(errors="replace")

    def details(self) -> str:
        """What a failing test needs to show."""
        return f"stdout: {self.out}\nstderr: {self.err}"

    def ok(self) -> Self:
        """This output, or AssertionError with all that is known when the code is not 0."""
        return self.expect(0)

    def expect(self, code: int) -> Self:
        """This output, or AssertionError with all that is known when the code is not `code`."""
        if self.code != code:
            raise AssertionError(f"{' '.join(self.argv)}: exit code {self.code}, expected {code}\n{self.details()}")
        return self


def run_command(
    argv: Sequence[str],
    files: Path,
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    pass_fds: Sequence[int] = (),
) -> Output:
    """Run `argv`; `files` is the stem of the `.in`, `.out` and `.err` files.

    Any exit code is returned, never raised; CommandTimeoutError after `timeout` seconds.
    """
    in_path, out_path, err_path = (files.with_name(files.name + end) for end in (".in", ".out", ".err"))
    in_path.write_bytes(stdin)
    began = time.monotonic()
    with in_path.open("rb") as in_file, out_path.open("wb") as out_file, err_path.open("wb") as err_file:
        process = subprocess.Popen(
            argv,
            stdin=in_file,
            stdout=out_file,
            stderr=err_file,
            cwd=cwd,
            env=dict(os.environ if env is None else env),
            pass_fds=pass_fds,
        )
        try:
            code = process.wait(timeout * SLOWNESS)
        except BaseException as error:
            process.kill()
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                said = err_path.read_text(errors="replace")
                raise CommandTimeoutError(f"{' '.join(argv)}: no end within {timeout} s: {said}") from None
            raise
    return Output(tuple(argv), code, out_path, err_path, time.monotonic() - began)


def wait_for(predicate: Callable[[], T], deadline: float = 10.0, what: str = "the expected condition") -> T:
    """Poll until `predicate` gives something true and return that; AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline * SLOWNESS
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {deadline} s (last value {value!r})")
        time.sleep(POLL_INTERVAL)


def process_alive(pid: int) -> bool:
    """Whether `pid` exists and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def parent_of(pid: int) -> int:
    """The parent's pid; FileNotFoundError when `pid` is gone."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
