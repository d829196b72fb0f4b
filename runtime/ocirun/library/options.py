"""Keyword arguments that are options of the command line, by their names there with ``_`` for ``-``.

They become words of a command line, so that the program checks them, in one place and with one sentence.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    Path = str | os.PathLike[str]
    Stream = int | IO[Any] | None


class Streams(TypedDict, total=False):
    """The standard streams: a descriptor, a file, a constant of `subprocess`, or None for the caller's own.

    Without a word stdin is empty, and the others are the caller's.
    """

    stdin: Stream
    stdout: Stream
    stderr: Stream


PIPES: Final[Streams] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
NOTHING: Final[Streams] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class SandboxOptions(TypedDict, total=False):
    """The options of `ocirun do` (docs/do.md). memory: bytes, or text such as ``64M``; timeout: seconds."""

    rootfs: Path
    bind: Sequence[str]
    ro_bind: Sequence[str]
    tmpfs: Sequence[str]
    network: Literal["none", "host"]
    memory: int | str
    pids: int
    cpus: float
    seccomp: Path
    user: str
    cwd: str
    env: Mapping[str, str]
    hostname: str
    timeout: float


class ExecOptions(TypedDict, total=False):
    """The options of `ocirun exec`. user: ``UID[:GID]``; cap: capabilities to add."""

    cwd: str
    env: Mapping[str, str]
    user: str
    additional_gids: Sequence[int]
    cap: Sequence[str]
    no_new_privs: bool
    apparmor: str
    process_label: str
    cgroup: Sequence[str]
    ignore_paused: bool


class Limits(TypedDict, total=False):
    """The options of `ocirun update`. Sizes are bytes, or text such as ``64M``; -1 is no limit."""

    memory: int | str
    memory_reservation: int | str
    memory_swap: int | str
    pids_limit: int
    blkio_weight: int
    cpu_period: int
    cpu_quota: int
    cpu_burst: int
    cpu_share: int
    cpu_rt_period: int
    cpu_rt_runtime: int
    cpu_idle: int
    cpuset_cpus: str
    cpuset_mems: str
    l3_cache_schema: str
    mem_bw_schema: str


def words(options: Mapping[str, object]) -> list[str]:
    """The options: one for each item of a list or mapping, none for None."""
    found = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            found += [f"{option}={key}={each}" for key, each in value.items()]
        elif isinstance(value, list | tuple):
            found += [f"{option}={each}" for each in value]
        elif isinstance(value, bool):
            found += [option] if value else []
        elif isinstance(value, float):
            found.append(f"{option}={value:f}")
        elif value is not None:
            found.append(f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return found
