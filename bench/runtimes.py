"""Finds the runtimes that take part."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

SEARCH_PATH = "/usr/sbin:/usr/bin"
KNOWN = ("runc", "crun")
OWN = "ocirun"
VERSION_TIMEOUT = 10.0


@dataclass(frozen=True)
class Candidate:
    """A runtime by its command line; `version` is what it says of itself."""

    name: str
    path: Path
    version: str


def _version(path: Path) -> str:
    """The first version-like word of `--version`, the whole first line without one; empty when the call fails."""
    try:
        done = subprocess.run(
            [str(path), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode != 0 or not done.stdout.strip():
        return ""
    first = done.stdout.splitlines()[0]
    found = re.search(r"\d+\.\d+\S*", first)
    return found.group() if found else first


def find_runtimes(extra: Mapping[str, Path]) -> tuple[list[Candidate], list[str]]:
    """The runtimes that answer `--version`, ours first, and a line for each one that is missing or does not.

    Ours is `OCIRUN_RUNTIME` or the one in `build/bin`; `extra` adds runtimes or replaces found ones by name.
    """
    own = os.environ.get("OCIRUN_RUNTIME") or REPOSITORY / "build" / "bin" / OWN
    paths: dict[str, Path] = {OWN: Path(own)}
    for name in KNOWN:
        found = shutil.which(name) or shutil.which(name, path=SEARCH_PATH)
        if found:
            paths[name] = Path(found)
    paths.update(extra)
    candidates, remarks = [], []
    for name, path in paths.items():
        version = _version(path)
        if version:
            candidates.append(Candidate(name, path, version))
        else:
            remarks.append(f"{name}: {path} {'does not answer --version' if path.exists() else 'does not exist'}")
    return candidates, remarks
