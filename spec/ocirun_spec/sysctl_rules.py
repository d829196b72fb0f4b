"""Which kernel parameters belong to a container, and what file each one is. Hot.

A parameter may be set only if it belongs to a namespace that the container has; all others are the host's. Whether a
namespace that is joined happens to be the host's own cannot be seen in a config: the runtime compares.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

OF_THE_HOST = "belongs to no namespace, setting it would change the host"
# ipc/ipc_sysctl.c in the kernel: the tables that every ipc namespace has for itself.
IPC_PARAMETERS = frozenset(
    (
        "kernel/auto_msgmni",
        "kernel/msg_next_id",
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/sem_next_id",
        "kernel/shm_next_id",
        "kernel/shm_rmid_forced",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
    )
)


def sysctl_path(name: str) -> str:
    """The file below /proc/sys of a parameter written as in sysctl.d(5); "" if the name cannot be one.

    If a slash comes before any dot, slashes separate and dots are literal; otherwise dots separate, and a slash stands
    for a dot within a component. Components that would leave /proc/sys make the name invalid.
    """
    dot, slash = name.find("."), name.find("/")
    if slash < 0 or 0 <= dot < slash:
        name = name.translate({46: "/", 47: "."})
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        return ""
    return name


def sysctl_namespace(path: str) -> str:
    """The type of the namespace that has the parameter for itself; "" for parameters of the whole host."""
    if path.startswith("net/"):
        return "network"
    if path.startswith("fs/mqueue/") or path in IPC_PARAMETERS:
        return "ipc"
    if path in ("kernel/hostname", "kernel/domainname"):
        return "uts"
    return "user" if path.startswith("user/") else ""


def sysctl_keys(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The rule about /linux/sysctl."""
    linux = config.get("linux", {})
    present = {entry["type"] for entry in linux.get("namespaces", ())}
    for name in linux.get("sysctl", ()):
        message = _objection(name, present, config)
        if message:
            yield "/linux/sysctl/" + name.replace("~", "~0").replace("/", "~1"), message


def _objection(name: str, present: set[str], config: dict[str, Any]) -> str:
    path = sysctl_path(name)
    if not path:
        return f'"{name}" is not the name of a kernel parameter'
    namespace = sysctl_namespace(path)
    if not namespace:
        return f"{name} {OF_THE_HOST}"
    if namespace not in present:
        return f"{name} would change the host because there is no {namespace} namespace"
    field = path.removeprefix("kernel/")
    if namespace == "uts" and config.get(field):
        return f"{name} and /{field} both set the {field}"
    return ""
