"""What a case may have left on the host, and its removal."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from .facility import cgroup_mounts


def mounts_below(path: Path) -> list[str]:
    """The mount points below a folder in this mount namespace, innermost last."""
    found = (line.split(" ")[4].replace("\\040", " ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in found if point == str(path) or point.startswith(f"{path}/")]


def unmount_below(path: Path) -> list[str]:
    """Detach what is mounted below a folder; what could not be."""
    problems = []
    for point in reversed(mounts_below(path)):
        done = subprocess.run(["umount", "-l", point], capture_output=True, text=True, check=False)
        if done.returncode:
            problems.append(done.stderr.strip())
    return problems


def cgroup_folders(path: str) -> list[Path]:
    """The folders of a cgroupsPath that exist, in every hierarchy."""
    places = {point / path.lstrip("/") for point in cgroup_mounts().values()}
    return sorted(place for place in places if place.is_dir())


def remove_cgroups(path: str) -> list[str]:
    """Kill what is in these cgroups and remove them; what could not be."""
    problems = []
    for place in cgroup_folders(path):
        for folder, _names, _files in os.walk(place, topdown=False):
            problem = _remove_cgroup(Path(folder))
            if problem:
                problems.append(problem)
    return problems


def _remove_cgroup(folder: Path) -> str:
    """A process that was killed stays in it for a moment."""
    end = time.monotonic() + 5
    while True:
        try:
            for word in (folder / "cgroup.procs").read_text().split():
                os.kill(int(word), signal.SIGKILL)
            folder.rmdir()
        except FileNotFoundError:
            return ""
        except OSError as problem:
            if time.monotonic() > end:
                return f"{folder}: {problem.strerror}"
            time.sleep(0.005)
        else:
            return ""


def is_in_bundle(pid: int, bundle: Path) -> bool:
    """Whether a process has its root below a bundle's folder: only such a one is a case's to kill."""
    # A path of mountinfo begins at the filesystem's own root, which may be a mount at /tmp.
    folder = "/".join(bundle.parts[-3:])
    try:
        mountinfo = Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return False
    return any(line.split(" ")[4] == "/" and f"{folder}/" in line.split(" ")[3] for line in mountinfo.splitlines())
