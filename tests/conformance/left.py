"""What the suite could leave behind when it ends, or is ended."""

from __future__ import annotations

import os
from pathlib import Path

from ocirun_conformance import host


def nothing_is_left(folder: Path) -> None:
    """No folder of the suite, no mount and no process in it."""
    assert list(folder.glob("ocirun-conformance-*")) == []
    assert host.mounts_below(folder) == []
    assert in_bundles(folder) == []


def in_bundles(folder: Path) -> list[int]:
    """The processes whose root is below a folder, or whose words name it."""
    pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and int(each.name) != os.getpid()]
    return [pid for pid in pids if host.is_in_bundle(pid, folder) or str(folder / "ocirun-conf") in words_of(pid)]


def words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
