"""What `install` writes into the configuration of engines, so that they know this runtime; all of this folder is cold.

Rules: a user's file keeps its text. Tables of TOML are added between marked lines, members of JSON where their object
ends, and what comes out is parsed: it has to differ from what was there by what was asked for and nothing else.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from ocirun.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    Values = Mapping[str, Any]

NAME = "ocirun"
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class Wish:
    """What an engine is to know: the runtime's name there, its path, whether it is the default, who manages cgroups.

    systemd: True, False, or None: as the file and the host have it.
    """

    __slots__ = ("default", "name", "path", "systemd")

    def __init__(self, name: str, path: str, default: bool, systemd: bool | None) -> None:
        if not name or not _LETTERS.issuperset(name):
            raise Failure(f"--name takes letters, digits, - and _, not {name!r}")
        self.name = name
        self.path = path
        self.default = default
        self.systemd = systemd


class Engine:
    """One engine's file and what is written into it.

    program: what there is of it in PATH when it is installed. reload: the command after which it knows the change.
    """

    program: ClassVar[str]
    reload: ClassVar[str] = ""

    def place(self, name: str) -> str:
        """The file where the engine looks for it, for root or for this user."""
        raise NotImplementedError

    def check(self, text: str, path: str) -> None:
        """A `Failure` with line and column for a text that the engine could not read."""
        raise NotImplementedError

    def add(self, text: str, wish: Wish, path: str) -> str:
        """The text with the runtime in it; `path` is its file's, for the errors."""
        raise NotImplementedError

    def strip(self, text: str, name: str, before: str | None, after: str | None) -> str:
        """The text without what was added under this name, when `before` became `after` (None: nobody knows)."""
        raise NotImplementedError

    def default(self, text: str) -> object:
        """The name of the default runtime in a text."""
        raise NotImplementedError

    def attempt(self, wish: Wish) -> str:
        """A command that runs a container with the runtime."""
        raise NotImplementedError


def engine(word: str) -> Engine:
    """The engine of this name."""
    from ocirun.installing.containerd import Containerd
    from ocirun.installing.docker import Docker
    from ocirun.installing.podman import Podman

    engines: dict[str, type[Engine]] = {"docker": Docker, "containerd": Containerd, "podman": Podman}
    if word not in engines:
        raise Failure(f"there is a way for {', '.join(engines)}, not for {word!r}")
    return engines[word]()


def of_user(*parts: str) -> str:
    """A path below the user's folder of configuration."""
    home = os.environ.get("HOME") or "/"
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), *parts)


def own_path() -> str:
    """The absolute path by which this very program can be called again."""
    try:
        from _ocirun import executable
    except ImportError:
        executable = os.path.abspath(sys.argv[0])
    if not os.path.isfile(executable) or not os.access(executable, os.X_OK) or not executable.isprintable():
        hint = "call the installed program by its path"
        raise Failure("find the path of this program, for engines to call it by", where=executable, hint=hint)
    return executable


def installed(program: str) -> bool:
    """Whether a daemon or tool can be found, also by a user whose PATH leaves the system's folders out."""
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"]
    return any(folder and os.access(os.path.join(folder, program), os.X_OK) for folder in folders)


def merged(document: Values, path: tuple[str, ...], values: Values) -> dict[str, Any]:
    """A copy of nested tables in which the one at `path` has these values too."""
    if not path:
        return {**document, **values}
    inner = document.get(path[0], {})
    return {**document, path[0]: merged(inner if isinstance(inner, dict) else {}, path[1:], values)}


def lookup(document: Any, *path: str) -> Any:
    """The value at a path, None where the way there ends."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def taken(name: str, path: str) -> Failure:
    """Another hand has written a runtime of this name."""
    hint = "--name NAME chooses another one"
    return Failure(f"there is a runtime {name!r} already, which `install` has not written", where=path, hint=hint)


def unfit(path: str, wanted: str) -> Failure:
    """The text is written in a way that nothing can be added to it mechanically."""
    hint = f"add this by hand:\n{wanted}"
    return Failure("the file is written in a way that this cannot be added to it", where=path, hint=hint)
