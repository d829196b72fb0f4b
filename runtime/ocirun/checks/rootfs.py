"""Paths as the container would see them, looked up in the image without ever leaving it.

The walk goes name by name, so that it notices where a mount of the config lies: what is behind one is not in the image,
and nothing is said about it. SECURITY: each step is one openat2(2) inside the root that follows no link; the links'
texts are followed here, from the root. What is read is opened through the descriptor of what was looked at.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from ocirun.kernel import files, raw

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_LINKS = 40
_ENOENT, _ENOTDIR, _ELOOP = 2, 20, 40
_RESOLVE = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_MAGICLINKS | files.RESOLVE_NO_SYMLINKS


class CoveredError(Exception):
    """A path leads to or through a mount of the config."""


@dataclass(slots=True)
class File:
    """What a path leads to. above: the directories on the way, by path, that have to be searchable."""

    path: str
    status: os.stat_result
    above: list[tuple[str, os.stat_result]] = field(default_factory=list)


class Root:
    """The image; as a context manager it closes what it has opened."""

    def __init__(self, path: str, destinations: Iterable[str]) -> None:
        """OSError when the directory cannot be opened. `destinations` are those of the config's mounts, in order."""
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._covered: set[str] = set()
        for destination in destinations:
            self._covered.add(self._target(files.clean(destination)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        os.close(self.fd)

    def _target(self, destination: str) -> str:
        """Where a destination leads; what is missing on the way is made when it is mounted."""
        try:
            return self._walk(destination, True)[-1][0]
        except (OSError, CoveredError):
            return destination

    def look(self, path: str) -> File:
        """Resolve a path that counts from the root; OSError with the part that fails, or `CoveredError`."""
        *above, (found, status) = self._walk(path, False)
        return File(found, status, above or [(found, status)])

    def _walk(self, path: str, makes: bool) -> list[tuple[str, os.stat_result]]:
        """The directories from the root on, and what they lead to; with `makes` the last may not exist."""
        waiting = [part for part in path.split("/") if part not in ("", ".")][::-1]
        found = [("/", os.fstat(self.fd))]
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                found = found[:-1] or found
                continue
            here = os.path.join(found[-1][0], part)
            try:
                status, target = self._step(here, found[-1])
            except FileNotFoundError:
                if not makes:
                    raise
                return [*found, (os.path.normpath("/".join([here, *waiting[::-1]])), found[-1][1])]
            if not target:
                found.append((here, status))
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(_ELOOP, os.strerror(_ELOOP), path)
            if target.startswith("/"):
                found = found[:1]
            waiting += [each for each in target.split("/") if each not in ("", ".")][::-1]
        return found

    def _step(self, path: str, parent: tuple[str, os.stat_result]) -> tuple[os.stat_result, str]:
        """(status, text of the link if it is one) of one more name; `path` has no links before it."""
        if not stat.S_ISDIR(parent[1].st_mode):
            raise OSError(_ENOTDIR, os.strerror(_ENOTDIR), parent[0])
        if path in self._covered:
            raise CoveredError(path)
        try:
            fd = self._open(path)
        except FileNotFoundError:
            if any(each.startswith(f"{path}/") for each in self._covered):
                raise CoveredError(path) from None  # it is made for what is mounted in it
            raise
        try:
            status = os.fstat(fd)
            return status, os.readlink("", dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
        finally:
            os.close(fd)

    def _open(self, path: str) -> int:
        try:
            return files.openat2(self.fd, os.fsencode(path), os.O_PATH | os.O_NOFOLLOW, _RESOLVE)
        except raw.KernelError as problem:
            raise OSError(problem.errno, problem.strerror, path) from None

    def names(self, path: str) -> list[str]:
        """What is in a directory, as far as that can be known."""
        try:
            where = self.look(path).path
            fd = files.openat2(self.fd, os.fsencode(where), os.O_RDONLY | os.O_DIRECTORY, _RESOLVE)
        except (OSError, CoveredError):
            return []
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def head(self, file: File, size: int, offset: int = 0) -> bytes | None:
        """The beginning of a regular file; None when it may not be read."""
        fd = self._open(file.path)
        try:
            # SECURITY: only what was seen to be a regular file is opened, whatever the name has come to mean since
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.pread(reading, size, offset)
            finally:
                os.close(reading)
        except OSError:
            return None
        finally:
            os.close(fd)

    def mounted_noexec(self, file: File) -> bool:
        """Whether the file lies on a mount of the host that nothing may be executed from."""
        fd = self._open(file.path)
        try:
            return bool(os.fstatvfs(fd).f_flag & os.ST_NOEXEC)
        finally:
            os.close(fd)

    def has_list(self, file: File) -> bool:
        """Whether an access control list decides, and not the mode alone."""
        fd = self._open(file.path)
        try:
            return bool(os.getxattr(f"/proc/self/fd/{fd}", "system.posix_acl_access"))
        except OSError:
            return False
        finally:
            os.close(fd)
