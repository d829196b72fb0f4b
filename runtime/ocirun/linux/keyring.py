"""The session keyring: a new one per container (keyctl(2)), unless --no-new-keyring.

A new keyring named ``_ses.<id>`` keeps the container from reaching the caller's keys. A kernel without keyrings, or one
that forbids the call, has nothing to protect.
"""

from __future__ import annotations

from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.scene import Scene

_ABSENT: Final = (1, 13, 38, 122)


def inside(ident: str) -> list[InsideStep]:
    """One step."""
    return [InsideStep(join, "", "join a new session keyring", b"_ses." + ident.encode())]


def join(step: InsideStep, _scene: Scene) -> None:
    """KEYCTL_JOIN_SESSION_KEYRING; EPERM, EACCES, ENOSYS and EDQUOT leave the inherited keyring in place."""
    result = raw.syscall(raw.KEYCTL, kernel.KEYCTL_JOIN_SESSION_KEYRING, step.args[0])
    if result < 0 and -result not in _ABSENT:
        raise raw.KernelError(-result, "keyctl", "KEYCTL_JOIN_SESSION_KEYRING")
