"""A folder of the host that a container shall not reach: what an attack is aimed at."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from . import host
from .case import expect_equal

if TYPE_CHECKING:
    from .trial import Trial

UP = "../" * 24
SECRET = "of the host"


Look = list[tuple[str, str, int, int, int]]


class Sentinel:
    """Files and folders at `path`; the image has a folder of the same name, so that it can be reached inside too."""

    def __init__(self, trial: Trial, name: str = "host") -> None:
        self.path = trial.path / name
        self.path.mkdir()
        (self.path / "secret").write_text(SECRET)
        (self.path / "ptmx").write_text(SECRET)
        (self.path / "inner").mkdir()
        self._before = self._look()

    def reached_by(self, link: Path, *, relative: bool = False, below: str = "") -> None:
        """Put a link to it, or to what is below, where there is nothing, a file or an empty folder."""
        if link.is_dir() and not link.is_symlink():
            link.rmdir()
        link.unlink(missing_ok=True)
        target = str(self.path / below if below else self.path)
        link.symlink_to(f"{UP}{target.lstrip('/')}" if relative else target)

    def inside(self, rootfs: Path) -> Path:
        """Make its name a folder of the image."""
        place = rootfs / str(self.path).lstrip("/")
        place.mkdir(parents=True)
        return place

    def untouched(self) -> None:
        """Fail the case when anything has changed, or when something is mounted on it."""
        expect_equal(host.mounts_below(self.path), [], "what is mounted on a folder of the host")
        expect_equal(*_different(self._look(), self._before), "a folder of the host")

    def _look(self) -> Look:
        """Name, content or kind, mode, owner and group of all that is there."""
        found = []
        for folder, folders, files in os.walk(self.path):
            for name in (".", *folders, *files):
                path = Path(folder, name)
                status = path.lstat()
                content = path.read_text() if stat.S_ISREG(status.st_mode) else stat.filemode(status.st_mode)[0]
                found.append((str(path), content, status.st_mode, status.st_uid, status.st_gid))
        return sorted(found)


def _different(one: Look, other: Look) -> tuple[Look, Look]:
    """Both without what they share."""
    return [each for each in one if each not in other], [each for each in other if each not in one]
