"""The Python library, as `ocirun` offers it: docs/library.md is for users, docs/design/library.md says what is where.

Cold: nothing of the program imports it.
"""

from __future__ import annotations

from ocirun.errors import Failure, NotSupported
from ocirun.library.container import Container
from ocirun.library.process import Process
from ocirun.library.results import Completed, Event, State, Usage
from ocirun.library.runtime import Runtime
from ocirun.library.sandbox import Sandbox
from ocirun.state import Damaged, UnknownContainer

__all__ = [
    "Completed", "Container", "Damaged", "Event", "Failure", "NotSupported", "Process", "Runtime", "Sandbox", "State",
    "UnknownContainer", "Usage",
]  # fmt: skip
