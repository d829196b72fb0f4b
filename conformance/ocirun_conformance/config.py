"""Configurations to begin with, and what is often changed in them. All are plain dicts in the form of config.md."""

from __future__ import annotations

import copy
import os
from typing import Any

Config = dict[str, Any]

USUAL_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

_MOUNTS: list[Config] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
]


def minimal(version: str, argv: list[str], cgroup: str = "", *, rootless: bool = False) -> Config:
    """A root container's configuration: new pid, mount, ipc and uts namespaces; rootless: and a user namespace.

    cgroup: the cgroupsPath, if there shall be one.
    """
    linux: Config = {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts")]}
    if cgroup:
        linux["cgroupsPath"] = cgroup
    if rootless:
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.getuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getgid(), "size": 1}]
    sets = ("bounding", "effective", "permitted")
    return {
        "ociVersion": version,
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": argv,
            "env": ["PATH=/bin", "PROBE=yes"],
            "cwd": "/",
            "capabilities": {name: list(USUAL_CAPABILITIES) for name in sets},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "conformance",
        "mounts": copy.deepcopy(_MOUNTS),
        "linux": linux,
    }


def add_namespace(config: Config, kind: str, path: str = "") -> None:
    """Add a namespace, or set the path of the one that is there."""
    listed = config["linux"]["namespaces"]
    listed[:] = [each for each in listed if each["type"] != kind]
    listed.append({"type": kind, "path": path} if path else {"type": kind})


def drop_namespace(config: Config, kind: str) -> None:
    """Take a namespace out."""
    listed = config["linux"]["namespaces"]
    listed[:] = [each for each in listed if each["type"] != kind]


def add_capabilities(
    config: Config, *names: str, sets: tuple[str, ...] = ("bounding", "effective", "permitted")
) -> None:
    """Add capabilities to these sets."""
    for each in sets:
        listed = config["process"]["capabilities"].setdefault(each, [])
        listed += [name for name in names if name not in listed]


def add_mount(config: Config, destination: str, kind: str, source: str, *options: str, **members: Any) -> None:
    """Append a mount."""
    mount = {"destination": destination, "type": kind, "source": source, "options": list(options), **members}
    config["mounts"].append(mount)
