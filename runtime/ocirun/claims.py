"""What `features` claims, taken from the tables that the program itself works with. Cold.

Rules: nothing is written down here that another module knows. Whether a property is implemented says its row in
`ocirun_spec.properties`, which the tests hold against the planners; names come from the tables in which planners look
them up. The kernel decides on one member only, seccomp.supportedFlags, as features-linux.md has it. libseccomp counts
as a part of the program: its version is among the annotations, and of seccomp is claimed what it compiles.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any, Final

from ocirun import VERSION
from ocirun.kernel import raw
from ocirun.linux import seccomp
from ocirun.linux.seccomp import names
from ocirun.linux.seccomp.compile import load_library
from ocirun_spec import mount_options, version
from ocirun_spec.names import CAPABILITIES, NAMESPACES
from ocirun_spec.properties import CONFIG, by_pointer

HONOURED: Final[tuple[str, ...]] = (
    "org.opencontainers.image.stopSignal",
    "org.systemd.property.",
    "run.oci.hooks.stderr",
    "run.oci.hooks.stdout",
    "run.oci.keep_original_groups",
    "run.oci.pidfd_receiver",
)
"""Annotations of config.json that change what the program does; one that ends with a dot stands for all below it."""

_ROWS: Final = by_pointer(CONFIG)
_EFAULT: Final = 14


def document() -> dict[str, Any]:
    """The features structure."""
    library = _library()
    annotations = {"org.ocirun.version": VERSION}
    if library is not None:
        annotations["io.github.seccomp.libseccomp.version"] = library_version()
    return {
        "ociVersionMin": version.OCI_VERSION_MIN,
        "ociVersionMax": version.OCI_VERSION_MAX,
        "hooks": [name for name in _members("/hooks") if applied(f"/hooks/{name}")],
        "mountOptions": sorted(mount_options.OPTIONS),
        "linux": _linux(library),
        "annotations": annotations,
        "potentiallyUnsafeConfigAnnotations": list(HONOURED),
    }


def applied(pointer: str) -> bool:
    """Whether the program does what this property of config.json asks for."""
    return _ROWS[pointer].status == "applied"


def _room(module: str) -> bool:
    """Whether the program has this module."""
    return module in sys.modules or importlib.util.find_spec(module) is not None


def _members(pointer: str) -> list[str]:
    """The names of an object's members, in the order of the table."""
    below = (path.removeprefix(pointer + "/") for path in _ROWS if path.startswith(pointer + "/"))
    return [name for name in below if "/" not in name]


def _choices(pointer: str) -> list[str]:
    """The values that a property may have, none when it is refused altogether."""
    return sorted(_ROWS[pointer].choices) if applied(pointer) else []


def _linux(library: Any) -> dict[str, Any]:
    return {
        "namespaces": sorted(NAMESPACES),
        "capabilities": known_capabilities(),
        "cgroup": {
            "v1": _room("ocirun.linux.cgroup.v1"),
            "v2": _room("ocirun.linux.cgroup.v2"),
            "systemd": _room("ocirun.linux.cgroup.systemd"),
            "systemdUser": _room("ocirun.linux.cgroup.systemd"),
            "rdma": applied("/linux/resources/rdma"),
        },
        "seccomp": _seccomp(library),
        "apparmor": {"enabled": applied("/process/apparmorProfile")},
        "selinux": {"enabled": applied("/process/selinuxLabel")},
        "memoryPolicy": {
            "modes": _choices("/linux/memoryPolicy/mode"),
            "flags": _choices("/linux/memoryPolicy/flags/*"),
        },
        "intelRdt": {
            "enabled": applied("/linux/intelRdt"),
            "schemata": applied("/linux/intelRdt/schemata"),
            "monitoring": applied("/linux/intelRdt/enableMonitoring"),
        },
        "mountExtensions": {"idmap": {"enabled": applied("/mounts/*/uidMappings")}},
        "netDevices": {"enabled": applied("/linux/netDevices")},
    }


def known_capabilities() -> list[str]:
    """By number, whatever this kernel has (features.md)."""
    return sorted(CAPABILITIES, key=CAPABILITIES.__getitem__)


def _seccomp(library: Any) -> dict[str, Any]:
    """What compiles here; nothing when there is no libseccomp to compile with."""
    if library is None:
        return {"enabled": False}
    return {
        "enabled": applied("/linux/seccomp"),
        "actions": sorted(name for name, value in names.ACTIONS.items() if _takes_action(library, name, value)),
        "operators": sorted(names.OPERATORS),
        "archs": sorted(name for name, value in names.ARCHITECTURES.items() if _takes_architecture(library, value)),
        "knownFlags": sorted(seccomp.FLAGS),
        "supportedFlags": sorted(name for name, flags in seccomp.FLAGS.items() if takes_flags(flags)),
    }


def _library() -> Any:
    """pyseccomp with libseccomp behind it, or None."""
    try:
        return load_library()
    except (ImportError, OSError, RuntimeError):
        return None


def library_version() -> str:
    """libseccomp's own version (seccomp_version(3)), e.g. ``2.5.4``."""
    import ctypes

    ask = ctypes.CDLL("libseccomp.so.2").seccomp_version
    ask.restype = ctypes.POINTER(ctypes.c_uint * 3)
    return ".".join(str(number) for number in ask().contents)


def _takes_action(library: Any, name: str, value: int) -> bool:
    """Whether a rule with this action can be added; one that says what the default action says never is."""
    allow = names.ACTIONS["SCMP_ACT_ALLOW"]
    number = 1 if name in names.WITH_NUMBER else 0
    default = names.SCMP_ACT_KILL if value == allow else allow
    try:
        library.SyscallFilter(default).add_rule(value | number, "getpid")
    except OSError:
        return False
    return True


def _takes_architecture(library: Any, value: int) -> bool:
    """Whether a filter of this machine can have the architecture too: libseccomp does not mix byte orders."""
    try:
        library.SyscallFilter(names.ACTIONS["SCMP_ACT_ALLOW"]).add_arch(value)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def takes_flags(flags: int) -> bool:
    """Whether this kernel has them.

    seccomp(2) looks at the flags first: with ones that it knows it then fails to read a program at no address.
    """
    if flags & seccomp.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV:
        flags |= seccomp.SECCOMP_FILTER_FLAG_NEW_LISTENER
    return raw.syscall(raw.SECCOMP, seccomp.SECCOMP_SET_MODE_FILTER, flags, None) == -_EFAULT
