"""The file that is changed, and beside it the record by which a change is taken back exactly.

A record is `FILE.before-NAME`: the whole text before and after, since it may be as secret as the file with the file's
mode and owner. Files are replaced by rename(2), where a link leads to, and keep mode and owner.
"""

from __future__ import annotations

import os
import stat

from ocirun import bundle
from ocirun.errors import Failure, failure
from ocirun_spec import jsontext

_WHAT = "the engine's configuration"
_RECORD = "the record of what `install` has written"
_LARGEST_MODE = 0o7777


class File:
    """A text file that may not be there; `text` is None then."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self.text: str | None = None
        self._like: os.stat_result | None = None
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except FileNotFoundError:
            return
        except OSError as problem:
            raise failure(f"read {_WHAT}", problem, where=path) from None
        try:
            self._like = os.fstat(fd)
            if not stat.S_ISREG(self._like.st_mode):
                raise Failure(f"read {_WHAT}: it is no regular file", where=path)
            data = bundle.read_open(fd, self.path, _WHAT)
        finally:
            os.close(fd)
        try:
            self.text = jsontext.decode(data)
        except jsontext.JSONError as problem:
            where = f"{self.path}:{problem.line}:{problem.column}"
            raise Failure(f"read {_WHAT}: {problem.message}", where=where) from None

    def replace(self, text: str | None) -> None:
        """Give the file this text, or remove it."""
        try:
            if text is None:
                os.unlink(self.path)
            else:
                _write(self.path, text, self._like)
        except OSError as problem:
            raise failure(f"write {_WHAT}", problem, where=self.path) from None
        self.text = text


class Record:
    """What a change of a file was; `before` and `after` are None without one."""

    def __init__(self, file: File, name: str) -> None:
        self.path = f"{file.path}.before-{name}"
        self.before: str | None = None
        self.after: str | None = None
        self.made: list[str] = []
        self._file = file
        if not os.path.lexists(self.path):
            return
        _text, found = bundle.read_json(self.path, _RECORD)
        try:
            self.before, self.after, self.made = found["before"], found["after"], found["made"]
        except (KeyError, TypeError):
            raise Failure(
                f"{_RECORD} is damaged", where=self.path, hint="remove it, and change the file by hand"
            ) from None

    def save(self, before: str | None, after: str) -> None:
        """Write it down, before the file is changed; makes the folders that are missing."""
        folder = os.path.dirname(self.path)
        try:
            while not os.path.isdir(folder):
                self.made.append(folder)
                folder = os.path.dirname(folder)
            for each in reversed(self.made):
                if not os.path.isdir(each):
                    os.mkdir(each, 0o755)
            text = jsontext.dumps({"before": before, "after": after, "made": self.made}) + "\n"
            _write(self.path, text, self._file._like)
        except OSError as problem:
            raise failure("write down what is changed", problem, where=self.path) from None
        self.before, self.after = before, after

    def remove(self) -> None:
        """Forget it, and the folders that were made for it where nothing else is in them."""
        try:
            os.unlink(self.path)
            for folder in self.made:
                os.rmdir(folder)
        except OSError:
            return


def _write(path: str, text: str, like: os.stat_result | None) -> None:
    """Put a whole file in place by rename(2). SECURITY: the new file is never more open than the old one."""
    new = f"{path}.{os.urandom(4).hex()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            data = text.encode()
            while data:
                data = data[os.write(fd, data) :]
            if like:
                os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, like.st_mode & _LARGEST_MODE if like else 0o644)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise
