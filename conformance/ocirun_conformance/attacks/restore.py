"""Names that mean something to CRIU, which makes a checkpoint's mounts again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance.case import NotRun, each, expect_equal, row
from ocirun_conformance.facility import Need, root
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Container, Trial

criu = Need("criu", lambda: root.missing() or ("" if shutil.which("criu") else "needs criu"))


def _container(trial: Trial, destination: str) -> Container:
    """With a read-only volume at this place."""
    source = trial.path / "source"
    source.mkdir(exist_ok=True)
    config = trial.config(["wait"])
    configs.add_mount(config, destination, "none", str(source), "bind", "ro")
    return trial.started(config)


def _mounts(made: Container) -> set[tuple[str, str]]:
    """Mount point and options of all mounts."""
    lines = Path(f"/proc/{made.pid}/mountinfo").read_text().splitlines()
    return {(line.split(" ")[4], line.split(" ")[5]) for line in lines}


@each(
    *(
        row(name, "CVE-2026-115520 CVE-2026-119101", destination)
        for name, destination in (("bracket", "/mnt]:/"), ("key", "/mnt[root]"), ("comma", "/mnt,ro:/proc"))
    ),
    needs=[criu],
)
def a_key_as_a_name(trial: Trial, destination: str) -> None:
    """a container with a read-only volume at {0} is refused, or comes back with the same mounts"""
    images = trial.path / "images"
    images.mkdir()
    plain = _container(trial, "/mnt/plain")
    done = plain.checkpoint(images)
    if done.code != 0:
        raise NotRun(f"no checkpoint of a plain container: {done.err.strip()[-300:]}")
    plain.force()
    shutil.rmtree(images)
    images.mkdir()
    made = _container(trial, destination)
    before = _mounts(made)
    if made.checkpoint(images).code != 0:
        return
    made.force()
    if made.restore(images).code == 0:
        expect_equal(_mounts(made), before, "the mounts of the restored container")
        ok(made.query(), "state")
