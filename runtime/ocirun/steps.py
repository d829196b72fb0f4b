"""The step: one deed of the plan, decided before anything is done.

A subsystem's planners are pure: they read the config and the facts and return steps. A step carries the function that
does it, the JSON pointer it came from and what it does in words, so that `explain` prints it, `--debug` times it and an
error names it, all from the same object. Steps that open something before the clone leave the descriptor in `fd`; the
container side inherits both the step and the descriptor.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirun.parent import Host
    from ocirun.scene import Scene


class Step:
    """One deed. `args` are final: strings encoded, host paths resolved, numbers computed."""

    __slots__ = ("args", "do", "fd", "pointer", "text")

    def __init__(self, do: Callable[..., None], pointer: str, text: str, *args: Any) -> None:
        self.do = do
        self.pointer = pointer
        self.text = text
        self.args = args
        self.fd = -1

    @property
    def room(self) -> str:
        """The subsystem that does it: the last part of its module's name, or its folder's under `linux`."""
        parts = self.do.__module__.split(".")
        return parts[2] if len(parts) > 2 and parts[1] == "linux" else parts[-1]

    @property
    def deed(self) -> str:
        """The function's name."""
        return self.do.__name__


class OutsideStep(Step):
    """Done by the parent, in the host's namespaces: ``do(step, host)``."""

    __slots__ = ()
    if TYPE_CHECKING:
        do: Callable[[OutsideStep, Host], None]


class InsideStep(Step):
    """Done by the container's first process: ``do(step, scene)``; kernel calls only, no import, no codec."""

    __slots__ = ()
    if TYPE_CHECKING:
        do: Callable[[InsideStep, Scene], None]
