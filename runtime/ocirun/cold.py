"""The way to the libraries: what validation, compiling and explanations may import, and hot commands may not.

Inside the launcher only the standard library and ocirun's own modules can be found; the other packages lie in the
private library folder of the installation. `enable` puts that on the search path, once somebody needs it. Outside the
launcher the interpreter's own search path decides.
"""

from __future__ import annotations

import os
import stat
import sys

from ocirun.errors import Failure, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LIBRARY: Final = "../lib/ocirun"
_PACKAGES: Final = "site-packages"


def enable() -> None:
    """Make cold modules importable; calling it again changes nothing. A `Failure` for a folder not to be trusted."""
    try:
        from _ocirun import executable
    except ImportError:
        return
    library = os.path.normpath(os.path.join(os.path.dirname(executable), _LIBRARY))
    packages = os.path.join(library, _PACKAGES)
    if packages in sys.path:
        return  # an import may have been made since, and has taken sys._stdlib_dir away
    owners = (0, os.geteuid(), _look(executable).st_uid)
    for folder in (library, packages):
        check(folder, owners)
    stdlib = getattr(sys, "_stdlib_dir", "")
    for folder in (stdlib, os.path.join(stdlib, "lib-dynload"), library, packages):
        if folder not in sys.path:
            sys.path.append(folder)


def begin_again(*words: str) -> None:
    """In the launcher, which is linked statically: go on as its companion, which can load libraries.

    With these words as the command line, or, before anything is done, with the same. Returns wherever a library can be
    loaded.
    """
    try:
        from _ocirun import begin_again
    except ImportError:
        return
    begin_again(*words)


def check(folder: str, owners: tuple[int, ...]) -> None:
    """Refuse a folder that others can write to, or that belongs to none of `owners` (uids).

    SECURITY: code from this folder runs with the runtime's privileges. The owner of the executable may own it too: in a
    user namespace in which the host's root has no id, both carry the overflow uid, and who owns the executable decides
    what runs anyway.
    """
    found = _look(folder)
    if found.st_uid not in owners:
        raise Failure(f"refuse to import from a folder that belongs to uid {found.st_uid}", where=folder)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Failure("refuse to import from a folder others can write to", where=folder, hint=f"chmod go-w {folder}")


def _look(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as problem:
        raise failure("look for the installation's libraries", problem, where=path) from None
