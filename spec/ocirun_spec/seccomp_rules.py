"""Rules inside /linux/seccomp (config-linux.md, Seccomp). Hot."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NOTIFY = "SCMP_ACT_NOTIFY"
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_DATA_MAX = 0xFFFF  # SECCOMP_RET_DATA of linux/seccomp.h
_MAX_ERRNO = 4095  # of linux/err.h; libseccomp takes what is below


def seccomp_actions(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """errnoRet stands only with an action that returns one, and fits into what the kernel returns."""
    seccomp = config.get("linux", {}).get("seccomp")
    if not seccomp:
        return
    yield from _errno(seccomp["defaultAction"], seccomp.get("defaultErrnoRet"), "/linux/seccomp/defaultErrnoRet")
    for index, entry in enumerate(seccomp.get("syscalls", ())):
        if "errnoRet" in entry:
            yield from _errno(entry["action"], entry["errnoRet"], f"/linux/seccomp/syscalls/{index}/errnoRet")


def _errno(action: str, value: int | None, place: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if action not in WITH_ERRNO:
        yield place, f"{action} returns no errno"
    elif value > _DATA_MAX:
        yield place, f"the errno {value} does not fit in 16 bits"
    elif action == WITH_ERRNO[0] and value >= _MAX_ERRNO:
        yield place, f"the errno {value} is not below {_MAX_ERRNO}"


def seccomp_notify(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A listener is needed where a call notifies it; its metadata make no sense without it.

    A listenerPath that no action uses is ignored, as the specification says.
    """
    seccomp = config.get("linux", {}).get("seccomp")
    if not seccomp or seccomp.get("listenerPath"):
        return
    if seccomp.get("listenerMetadata"):
        yield "/linux/seccomp/listenerMetadata", "listenerMetadata need a listenerPath"
    if seccomp["defaultAction"] == NOTIFY:
        yield "/linux/seccomp/defaultAction", f"{NOTIFY} needs a listenerPath"
    for index, entry in enumerate(seccomp.get("syscalls", ())):
        if entry["action"] == NOTIFY:
            yield f"/linux/seccomp/syscalls/{index}/action", f"{NOTIFY} needs a listenerPath"
            return
