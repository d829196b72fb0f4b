"""How to take back what a command has done so far: for what has to happen as a whole or not at all."""

from __future__ import annotations

import os

from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Journal:
    """The ways back, newest last. `close` it when it is not needed any more."""

    __slots__ = ("_kept", "_ways")

    def __init__(self) -> None:
        self._ways: list[tuple[str, Callable[..., object], tuple[object, ...]]] = []
        self._kept: list[int] = []

    def add(self, doing: str, way: Callable[..., object], *arguments: object) -> None:
        """`way(*arguments)` takes back what is done now, and may raise OSError or Failure; `doing` says it in words."""
        self._ways.append((doing, way, arguments))

    def keep(self, fd: int) -> None:
        """A descriptor that a way back needs; `close` closes it."""
        self._kept.append(fd)

    def take_back(self) -> list[str]:
        """Go all ways, the newest first; returns sentences about those that could not be gone.

        What is refused is tried again after the others, as long as that helps: limits that bound each other come back
        in the order that the kernel takes them.
        """
        left = self._ways[::-1]
        self._ways = []
        while left:
            refused = []
            said = []
            for doing, way, arguments in left:
                try:
                    way(*arguments)
                except (Failure, OSError) as problem:
                    refused.append((doing, way, arguments))
                    said.append(f"{doing}: {problem}")
            if len(refused) == len(left):
                return said
            left = refused
        return []

    def close(self) -> None:
        """Forget everything."""
        self._ways = []
        while self._kept:
            os.close(self._kept.pop())
