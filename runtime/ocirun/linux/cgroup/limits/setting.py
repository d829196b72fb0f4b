"""One write to one cgroup file, and the pointers it came from."""

from __future__ import annotations

from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

POINTER: Final = "/linux/resources"
EMPTY: Final = "\n"
"""An empty value: a write(2) of no bytes would not reach the file."""


class Setting:
    """One write: `value` to `file` of `controller`, for `pointer`.

    controller: its name in the hierarchy that the file is in; empty for a file that every cgroup2 has.
    instead:    (file, value) to use when `file` does not exist.
    optional:   the value is the kernel's default, or another setting says the same, so a missing file does no harm.
    bounded:    its value is judged against that of other bounded ones, so it may have to wait for them.
    usage:      a file whose number must not be above the value (memory.checkBeforeUpdate on cgroup v2).
    kept:       read back what was written, since some kernels accept the value and drop it.
    parents:    the cgroups above it that this container made need the value first.
    unified:    the file is in the cgroup2 hierarchy.
    """

    __slots__ = (
        "bounded",
        "controller",
        "file",
        "instead",
        "kept",
        "optional",
        "parents",
        "pointer",
        "unified",
        "usage",
        "value",
    )

    def __init__(
        self,
        controller: str,
        file: str,
        value: int | str,
        pointer: str,
        instead: tuple[str, str] | None = None,
        optional: bool = False,
        bounded: bool = False,
        usage: str = "",
        kept: bool = False,
        parents: bool = False,
    ) -> None:
        self.controller = controller
        self.file = file
        self.value = str(value)
        self.pointer = f"{POINTER}/{pointer}"
        self.instead = instead
        self.optional = optional
        self.bounded = bounded
        self.usage = usage
        self.kept = kept
        self.parents = parents
        self.unified = False


def or_max(value: int) -> int | str:
    """A negative number is no limit."""
    return "max" if value < 0 else value


def no_v2_file(pointer: str, why: str) -> Failure:
    """The refusal of what the specification wants an error for: it has no counterpart on cgroup v2."""
    return Failure(f"it cannot be converted to cgroup v2: {why}", where=f"{POINTER}/{pointer}")
