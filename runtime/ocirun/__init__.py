"""The runtime: what reads a bundle and becomes a container.

``import ocirun`` is also the Python library (docs/library.md). Its names are looked up when they are used first, so
that the import costs nothing, and not at all in the launcher, which is the program alone.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.errors import Failure, NotSupported
    from ocirun.library import Completed, Container, Event, Process, Runtime, Sandbox, State, Usage
    from ocirun.state import Damaged, UnknownContainer
elif "_ocirun" not in sys.builtin_module_names:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'ocirun' has no attribute {name!r}")
        from ocirun import library

        return getattr(library, name)


__all__ = [
    "Completed", "Container", "Damaged", "Event", "Failure", "NotSupported", "Process", "Runtime", "Sandbox", "State",
    "UnknownContainer", "Usage",
]  # fmt: skip

VERSION: Final = "0.1.0"
"""This program's version."""
SPEC_VERSION: Final = "1.3.0"
"""The newest runtime-spec that it implements; also the `ociVersion` of its state."""
