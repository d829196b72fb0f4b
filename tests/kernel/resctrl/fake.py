"""A folder that behaves like resctrl as far as a runtime can tell (Documentation/filesystems/resctrl.rst).

Rules: mkdir makes a group with its files, rmdir removes one with all that is in it, a write is taken at once or refused
with a sentence in info/last_cmd_status. Everything outside of the folder goes to the real calls.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

DEFAULT = "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n"
REFUSED = "XX:"


class Host:
    """What the steps see of the parent."""

    def __init__(self) -> None:
        self.pid = 4242
        self.record: dict[str, Any] = {}
        self.saved: list[dict[str, Any]] = []

    def save(self) -> None:
        self.saved.append(json.loads(json.dumps(self.record)))


class Resctrl:
    """The folder, and in `calls` what was done to it: ("mkdir", path), ("rmdir", path), (path, data written).

    A folder that is there already is taken over from another process, as it is.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.calls: list[tuple[str, str]] = []
        self.room = 2
        self._mkdir, self._rmdir, self._write = os.mkdir, os.rmdir, os.write
        if not root.exists():
            (root / "info" / "MB").mkdir(parents=True)
            (root / "info" / "MB" / "bandwidth_gran").write_text("10\n")
            (root / "info" / "last_cmd_status").write_text("ok\n")
            self._fill(root, True)
        monkeypatch.setattr(os, "mkdir", self.mkdir)
        monkeypatch.setattr(os, "rmdir", self.rmdir)
        monkeypatch.setattr(os, "write", self.write)

    def _fill(self, group: Path, control: bool) -> None:
        (group / "tasks").write_text("")
        if control:
            (group / "schemata").write_text(DEFAULT)
            self._mkdir(group / "mon_groups")

    def _name(self, path: str | bytes | Path) -> str:
        found = Path(os.fsdecode(path))
        return str(found.relative_to(self.root)) if found.is_relative_to(self.root) else ""

    def _refuse(self, number: int, words: str) -> OSError:
        (self.root / "info" / "last_cmd_status").write_text(words + "\n")
        return OSError(number, os.strerror(number))

    def mkdir(self, path: str, *rest: Any, **words: Any) -> None:
        name = self._name(path)
        if not name:
            self._mkdir(path, *rest, **words)
            return
        self.calls.append(("mkdir", name))
        if Path(path).exists():
            raise FileExistsError(errno.EEXIST, "there")
        if not self.room:
            raise self._refuse(errno.ENOSPC, "Out of CLOSIDs")
        self._mkdir(path)
        self.room -= 1
        self._fill(Path(path), "mon_groups" not in name)

    def rmdir(self, path: str, *rest: Any, **words: Any) -> None:
        name = self._name(path)
        if not name:
            self._rmdir(path, *rest, **words)
            return
        self.calls.append(("rmdir", name))
        if not Path(path).exists():
            raise FileNotFoundError(errno.ENOENT, "gone")
        self._remove(Path(path))

    def _remove(self, path: Path) -> None:
        for child in path.iterdir():
            if child.is_dir():
                self._remove(child)
            else:
                child.unlink()
        self._rmdir(path)

    def write(self, fd: int, data: bytes) -> int:
        try:
            name = self._name(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            name = ""
        if not name or name.startswith("info"):
            return self._write(fd, data)
        text = data.decode()
        self.calls.append((name, text))
        if text.startswith(REFUSED):
            raise self._refuse(errno.EINVAL, "Unknown or unsupported resource name 'XX'")
        with (self.root / name).open("a") as file:
            self._write(file.fileno(), data)
        return len(data)

    def groups(self) -> set[str]:
        """The directories of classes and monitoring groups, relative to the root."""
        found = {self._name(path.parent) for path in self.root.rglob("tasks")}
        return found - {"."}
