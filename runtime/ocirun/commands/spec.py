"""`spec`: writes a config.json that works as it is, for a person to change."""

from __future__ import annotations

import os

from ocirun import SPEC_VERSION
from ocirun.errors import Failure, failure
from ocirun.facts import Facts
from ocirun.linux.cgroup.hierarchy import UNIFIED
from ocirun.request import absolute
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.cli import Arguments

_CAPABILITIES: Final = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_MASKED: Final = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/scsi",
    "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
]  # fmt: skip
_READONLY: Final = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def run(arguments: Arguments, _general: Arguments) -> int:
    """Writes config.json into the bundle's directory; refuses to replace one."""
    path = os.path.join(absolute(arguments.text("bundle") or "."), "config.json")
    config = default(Facts().cgroups.mode == UNIFIED)
    if arguments.flag("rootless"):
        config = rootless(config)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Failure("write a new config.json: there is one already", where=path) from None
    except OSError as problem:
        raise failure("write a new config.json", problem, where=path) from None
    os.write(fd, (jsontext.pretty(config) + "\n").encode())
    os.close(fd)
    return 0


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def default(unified: bool) -> dict[str, Any]:
    """A shell in namespaces of its own, with few capabilities, a read-only root and no new privileges.

    unified: whether cgroup2 is all there is; only there a cgroup namespace is what engines give, too.
    """
    guarded = ("nosuid", "noexec", "nodev")
    namespaces = ["pid", "network", "ipc", "uts", "mount", *(["cgroup"] if unified else [])]
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: list(_CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "ocirun",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount(
                "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
            ),
            _mount("/dev/shm", "tmpfs", "shm", *guarded, "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", *guarded),
            _mount("/sys", "sysfs", "sysfs", *guarded, "ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", *guarded, "relatime", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in namespaces],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READONLY),
        },
    }


def rootless(config: dict[str, Any]) -> dict[str, Any]:
    """The same for a plain user: a user namespace that maps the caller to root, and nothing that needs more than one
    id.

    /sys is bound, because a sysfs may only be mounted by the owner of the network namespace, which is the host's here.
    """
    linux = config["linux"]
    linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] != "network"] + [{"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    del linux["resources"]
    mounts = []
    bound = _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
    for mount in config["mounts"]:
        each = bound if mount["destination"] == "/sys" else mount
        each["options"] = [option for option in each["options"] if option != "gid=5"]
        if each["destination"] != "/sys/fs/cgroup":
            mounts.append(each)
    config["mounts"] = mounts
    return config
