"""Mounts of the host that a case makes for itself, below its own folder, and the kernel's tables of mounts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from . import facility
from .case import NotRun
from .probe import Facts, Report

if TYPE_CHECKING:
    from .trial import Trial


def _run(*command: str) -> str:
    """A command of the host; subprocess.SubprocessError when it fails."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def change(place: Path, *words: str) -> None:
    """mount(8) with these words for this place; NotRun when it cannot."""
    try:
        _run("mount", *words, str(place))
    except subprocess.CalledProcessError as problem:
        raise NotRun(f"mount {' '.join(words)} fails on this host: {problem.stderr.strip()}") from None


def mount(trial: Trial, place: Path, *words: str) -> Path:
    """Mount there until the case has ended; `place` is made if it is missing. NotRun when it cannot be."""
    place.mkdir(parents=True, exist_ok=True)
    change(place, *words)
    trial.defer(lambda: _run("umount", "-l", str(place)))
    return place


def tree(trial: Trial, *words: str) -> Path:
    """A tmpfs with another one, `sub`, in it. words: of mount(8), for both; private unless they say otherwise."""
    top = trial.path / "tree"
    for place in (top, top / "sub"):
        mount(trial, place, "-t", "tmpfs", "--make-private", *words, "tree")
        place.chmod(0o755)
    return top


def image(trial: Trial, *words: str) -> str:
    """The block device of a new ext4 in a file. words: of losetup(8)."""
    file = trial.new_file("ext4")
    with file.open("wb") as opened:
        opened.truncate(8 << 20)
    _run("mkfs.ext4", "-q", str(file))
    device = _run("losetup", "--find", "--show", *words, str(file))
    trial.defer(lambda: _run("losetup", "--detach", device))
    return device


def mappable(trial: Trial) -> Path:
    """A filesystem with another one, `sub`, in it, which this kernel can id-map: tmpfs, or else ext4.

    In each is a file, `file`, of the owner 3 and the group 4. NotRun when neither can be mapped.
    """
    places = [trial.path / "mappable", trial.path / "mappable" / "sub"]
    for place in places:
        mount(trial, place, "-t", "tmpfs", "--make-private", "tree")
    if refusal := _idmap(trial, places[0]):
        if facility.ext4.missing():
            raise NotRun(f"this kernel cannot id-map a tmpfs ({refusal}), and there is no ext4 to try")
        for place in places:
            mount(trial, place, "-t", "ext4", "--make-private", image(trial))
        if refusal := _idmap(trial, places[0]):
            raise NotRun(f"this kernel can id-map neither tmpfs nor ext4 ({refusal})")
    for place in places:
        place.chmod(0o777)
        (place / "file").write_text("content\n")
        os.chown(place / "file", 3, 4)
    return places[0]


def _idmap(trial: Trial, place: Path) -> str:
    """Which error the kernel has when a mount shall be id-mapped, as the probe finds out here on the host."""
    return str(json.loads(_run(str(trial.program), "idmap", str(place)))["error"] or "")


def tmpfs_is_mappable(trial: Trial) -> None:
    """NotRun when this kernel cannot id-map a tmpfs, as before Linux 6.3."""
    if refusal := _idmap(trial, mount(trial, trial.path / "mappable", "-t", "tmpfs", "--make-private", "tree")):
        raise NotRun(f"this kernel cannot id-map a tmpfs ({refusal})")


def mounts_of(pid: int | str = "self") -> dict[str, Facts]:
    """The mounts that a process of the host sees, in the form of `Report.mounts`."""
    return Report([{"action": "report", "mountinfo": Path(f"/proc/{pid}/mountinfo").read_text()}]).mounts
