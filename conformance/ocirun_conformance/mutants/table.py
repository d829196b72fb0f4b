"""All mutants, made from the property table and from lists of what else a runtime can do wrong."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ocirun_spec.mount_options import OPTIONS
from ocirun_spec.names import NAMESPACES
from ocirun_spec.properties import CONFIG, STATE, by_pointer

from .documents import HOOKS
from .duties import DUTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun_spec.properties import Property


@dataclass(frozen=True)
class Mutant:
    """name: its words, which the wrapper obeys; first: the duties whose cases are tried before all others."""

    name: str
    first: tuple[str, ...] = ()


EXEMPT = {
    "/process/execCPUAffinity": "for exec only, which runtime.md does not have",
}
"""Properties without a mutant, by the beginning of their pointer, and why."""

DOUBLED = ("/linux/resources/memory/", "/linux/resources/cpu/", "/linux/resources/blockIO/", "/rate", "/pids/limit")
LESS = ("/soft", "/hard", "/size", "/priority", "/hugepageLimits/*/limit")
ORDERED = ("/process/args", "mounts", "options", *HOOKS, "/linux/resources/devices")
UNSEEN = ("defaults", "silent", "loud", "iversion", "noiversion", "mand", "nomand", "norelatime", "rnorelatime")
"""Mount options that a right runtime only keeps from the filesystem: to drop them is no mistake."""
UNSPECIFIED = ("rnodev",)
"""Mount options that the specification has in an example of `features` alone."""
SWAPS = {
    "/ociVersion": "9.0.0 1.0.2",
    "/process/cwd": "/tmp /",
    "/mounts/*/type": "tmpfs ramfs",
    "/linux/namespaces/*/path": "/proc/self/ns/uts /proc/self/ns/net",
    "/linux/resources/hugepageLimits/*/pageSize": "2MB 1GB",
    "/linux/resources/devices/*/access": "r w",
    "/linux/resources/cpu/idle": "0 1",
    "/process/rlimits/*/type": "RLIMIT_NOFILE RLIMIT_CORE",
}
REPLACED = {"/linux/seccomp/architectures/*": "SCMP_ARCH_X86_64", "/timeout": "60"}
"""The one value that shows, by the end of the pointer: another order, or a second more, does not."""


def applied(rows: tuple[Property, ...] = CONFIG) -> Iterator[Property]:
    """The leaves that a Linux runtime applies and that have mutants."""
    for row in rows:
        leaf = row.kind not in ("object", "array", "opaque")
        if leaf and row.status == "applied" and not row.pointer.startswith(tuple(EXEMPT)):
            yield row


def _counting(row: Property) -> str:
    if row.pointer.endswith(LESS):
        return f"less {row.pointer}"
    large = any(each in row.pointer for each in DOUBLED) and row.high != 65535
    return (
        f"double {row.pointer}" if large and not row.pointer.endswith(("/major", "/minor")) else f"more {row.pointer}"
    )


def altering(row: Property) -> str:
    """The edit that gives a property another value which is as plausible."""
    pointer = row.pointer
    if pointer in SWAPS:
        return f"swap {pointer} {SWAPS[pointer]}"
    for end, value in REPLACED.items():
        if pointer.endswith(end):
            return f"replace {pointer} {value}"
    if row.choices:
        return f"swap {pointer} {row.choices[0]} {row.choices[1]}"
    if "/capabilities/" in pointer:
        return f"swap {pointer} CAP_CHOWN CAP_SYS_CHROOT"
    if row.kind == "boolean":
        return f"negate {pointer}"
    if row.kind == "map":
        return f"empty {pointer}"
    if row.kind == "integer":
        return _counting(row)
    return f"other {pointer[:-1]}-1" if row.kind == "string" and pointer.endswith("args/*") else f"other {pointer}"


def _edits() -> Iterator[str]:
    rows = by_pointer()
    for row in applied():
        parent, _, name = row.pointer.rpartition("/")
        if name != "*" and name not in rows[parent].required:
            yield f"drop {row.pointer}"
        yield altering(row)
    for row in CONFIG:
        if row.kind == "array" and row.status == "applied" and not row.pointer.startswith(tuple(EXEMPT)):
            yield f"drop {row.pointer}"
            yield f"cut {row.pointer}"
            if row.pointer.endswith(ORDERED):
                yield f"reverse {row.pointer}"
                yield f"behead {row.pointer}"


def _more_edits() -> Iterator[str]:
    for word in (each for each in OPTIONS if each not in UNSPECIFIED):
        yield f"option {'foreign' if word in UNSEEN else 'without'} {word}"
    yield from (f"option without {word}" for word in ("size=", "mode=", "user"))
    for name in NAMESPACES:
        yield f"without /linux/namespaces {name}"
        yield f"unshare {name}"
    yield from (f"without /process/rlimits RLIMIT_{name}" for name in ("NOFILE", "CORE", "NPROC", "STACK", "AS"))
    yield "set /process/oomScoreAdj 500"
    yield "set /process/user/umask 63"
    yield "set /root/readonly true"
    yield "grow /process/env MUTANT=yes"
    yield "grow /process/args mutant"
    for name in ("bounding", "effective", "permitted"):
        yield f"grow /process/capabilities/{name} CAP_SYS_CHROOT"
    for source, target in pairwise(HOOKS):
        yield f"move /hooks/{source} {target}"
        yield f"move /hooks/{target} {source}"
    for name in HOOKS:
        yield from (f"hook {mode} {name}" for mode in ("silent", "forgiving", "twice", "late", "elsewhere", "lying"))


LENIENT = (
    "distinct /process/rlimits", "drop /process/rlimits", "distinct /linux/namespaces", "drop /linux/namespaces/*/path",
    "drop /mounts/*/uidMappings /mounts/*/gidMappings", "option without idmap", "option without ridmap",
    "drop /linux/netDevices", "drop /linux/devices", "drop /linux/cgroupsPath", "drop /linux/intelRdt",
    "drop /linux/resources",
    "drop /linux/resources/unified", "drop /linux/seccomp", "drop /linux/seccomp/defaultErrnoRet", "drop /linux/sysctl",
    "drop /linux/seccomp/syscalls/*/errnoRet", "drop /hooks", "drop /process/scheduler", "drop /process/ioPriority",
    "drop /linux/memoryPolicy", "drop /linux/personality", "drop /process/apparmorProfile", "drop /linux/timeOffsets",
    "drop /process/selinuxLabel", "drop /linux/mountLabel", "drop /linux/rootfsPropagation", "drop /mounts",
)  # fmt: skip

STATES = ("text /pid", "replace /bundle bundle", "other /bundle", "replace /status paused", "replace /pid 0")

CLAIMS = (
    "hooks bogus", "mountOptions bogus", "mountOptions size=64k", "linux/namespaces bogus",
    "linux/capabilities CAP_BOGUS", "linux/seccomp/actions SCMP_ACT_BOGUS", "linux/seccomp/operators SCMP_CMP_BOGUS",
    "linux/seccomp/archs SCMP_ARCH_BOGUS", "linux/seccomp/knownFlags SECCOMP_FILTER_FLAG_BOGUS",
    "linux/seccomp/supportedFlags SECCOMP_FILTER_FLAG_BOGUS", "linux/memoryPolicy/modes MPOL_BOGUS",
    "linux/memoryPolicy/flags MPOL_F_BOGUS",
)  # fmt: skip

FEATURES = (
    "drop /ociVersionMin", "drop /ociVersionMax", "replace /ociVersionMin 0.1.0", "replace /ociVersionMax 9.9.9",
    "replace /ociVersionMin 2.0.0", "replace /ociVersionMax 1.1.0", "text /linux/mountExtensions/idmap/enabled",
    "text /annotations",
)  # fmt: skip


def _names() -> Iterator[str]:
    yield from (f"config {edit}" for edit in (*_edits(), *_more_edits()))
    yield from (f"lenient {edit}" for edit in LENIENT)
    for row in applied(STATE):
        yield f"state drop {row.pointer}"
        yield f"state {altering(row)}"
    yield from (f"state {edit}" for edit in STATES)
    yield from (f"features grow /{claim}" for claim in CLAIMS)
    yield from (f"features {edit}" for edit in FEATURES)
    yield from DUTIES


def mutants() -> dict[str, Mutant]:
    """Every mutant by its name."""
    return {name: Mutant(name, tuple(DUTIES.get(name, "").split())) for name in _names()}
