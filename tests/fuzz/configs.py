"""Configurations by the property table: values for each place, and what they do to a valid configuration.

A closed configuration is one that is acted on, in a box. SECURITY: what names something of the host there comes from
`CLOSED`, and stays inside that box.
"""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from ocirun_spec import properties
from ocirun_spec.tree import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DrawFn, SearchStrategy

    from ocirun_spec.tree import Node

Config = dict[str, Any]

TREE = build(properties.CONFIG)
_NUMBERS = (-1, 0, 1, 2, 64, 1000, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)
_TEXTS = (
    "", ".", "..", "/", "a", "0", "-1", "x" * 300, "x" * 5000, "a b", "a\nb", "\x1b[31m", "ü", "\U0001f600", "%s",
    "../..", "a/../b", "a\\b", "a,b=c", "1" * 30, "\u202e", "=", "a=", " ",
)  # fmt: skip
_JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    1e300,
    1 << 63,
    -(1 << 63),
    "",
    "x",
    [],
    [None],
    [[]],
    {},
    {"": 0},
    {"a/~": {}},
)
"""What JSON has, and hardly a place takes."""

_PATHS = (
    "/", "/proc", "/dev", "/dev/pts", "/sys", "/tmp", "/etc/passwd", "/mnt", "/mnt/a/b", "/tmp/../mnt", "/bin/busybox",
    "/proc/self", "/dev/null", "/nö", "/x\ny", "relative", "/" + "d" * 300, "/a" * 600, "//tmp//x", "/run",
)  # fmt: skip
_INSIDE = ("rootfs", "./rootfs", "other", "shared", "config.json", "missing", "rootfs/tmp")
"""Relative paths of the bundle: what a closed configuration may name of the host."""
_OPTIONS = (
    "ro", "rw", "nosuid", "nodev", "noexec", "relatime", "strictatime", "bind", "rbind", "private", "rshared", "slave",
    "rslave", "unbindable", "size=4k", "size=lots", "mode=755", "mode=9", "gid=5", "idmap", "ridmap", "copy-up",
    "tmpcopyup", "rro", "rnosuid", "newinstance", "ptmxmode=0666", "lowerdir=shared", "nr_inodes=10", "nosuch", "", "=",
    "symfollow", "nosymfollow", "dirsync", "data=x",
)  # fmt: skip
_FILESYSTEMS = ("tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup", "bind", "none", "overlay", "nosuchfs", "")
_SYSCTLS = (
    "net.ipv4.ip_forward",
    "net/ipv4/ping_group_range",
    "kernel.msgmax",
    "fs.mqueue.msg_max",
    "net.no.such",
    "x",
    "",
)
_SYSCALLS = ("read", "write", "openat", "mount", "clone3", "execve", "ptrace", "nosuchcall", "")
_LIMITS = ("RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_AS", "RLIMIT_STACK", "RLIMIT_NPROC", "RLIMIT_X", "")
_CAPABILITIES = ("CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_SETPCAP", "CAP_NOSUCH", "chown", "")
_FILES = ("memory.high", "pids.max", "cpu.weight", "cgroup.procs", "cgroup.kill", "a/b", "no.such", "..", "")

_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
_POOLS: dict[str, tuple[str, ...]] = {
    "/ociVersion": ("1.0.0", "1.2.1", "1.3.0", "1.99.0", "2.0.0", "1", "1.0.0-rc5+dev", ""),
    "/process/args/*": ("true", "/bin/true", "nosuch", "/etc", "", "-x", "/bin/busybox"),
    "/process/cwd": _PATHS,
    "/process/env/*": ("PATH=/bin", "A=", "=x", "", "A", "HOME=/x", "A=ü\n"),
    "/process/rlimits/*/type": _LIMITS,
    **dict.fromkeys((f"/process/capabilities/{each}/*" for each in _SETS), _CAPABILITIES),
    "/process/execCPUAffinity/initial": ("0", "0-1", "0,1", "9999", "1-0", ""),
    "/process/execCPUAffinity/final": ("0", "0-1", "0,1", "9999", "1-0", ""),
    "/mounts/*/destination": _PATHS,
    "/linux/devices/*/path": (
        "/dev/x",
        "/dev/null",
        "/dev/a/b",
        "/x",
        "/etc/passwd",
        "/dev",
        "dev/x",
        "/dev/pts/9",
        "",
    ),
    "/linux/devices/*/type": ("c", "b", "p", "u"),
    "/linux/sysctl/*": ("0", "1", "0 0", "yes", "", "a\nb"),
    "/linux/maskedPaths/*": _PATHS,
    "/linux/readonlyPaths/*": _PATHS,
    "/linux/resources/unified": _FILES,
    "/linux/resources/unified/*": ("0", "1", "max", "1\n2", "", "x"),
    "/linux/resources/cpu/cpus": ("0", "0-1", "9999", "a", ""),
    "/linux/resources/cpu/mems": ("0", "9", "a", ""),
    "/linux/resources/hugepageLimits/*/pageSize": ("2MB", "1GB", "3KB", "MB", ""),
    "/linux/seccomp/syscalls/*/names/*": _SYSCALLS,
    "/linux/timeOffsets": ("monotonic", "boottime", "realtime"),
    "/linux/memoryPolicy/nodes": ("0", "0-3", "a", ""),
    "/hostname": ("box", "x" * 64, "x" * 65, "a b", "ü", ""),
}
"""Strings that a place, or a map's keys, may be given."""

_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
CLOSED: dict[str, tuple[str, ...]] = {
    "/root/path": _INSIDE,
    "/annotations": (
        "a",
        "",
        "org.opencontainers.image.stopSignal",
        "run.oci.keep_original_groups",
    ),
    "/linux/namespaces/*/path": ("/proc/self/ns/nosuch", "/etc/passwd", "/nowhere", "relative", ""),
    "/mounts/*/type": _FILESYSTEMS,
    "/mounts/*/options/*": _OPTIONS,
    "/mounts/*/source": (*_INSIDE, "tmpfs", "proc", ""),
    "/linux/sysctl": _SYSCTLS,
    "/linux/cgroupsPath": ("/box-a", "box-a/b", "/box-a/../box-b", "a:b:c", "/box-\n", "/box-" + "x" * 300, "/", ""),
    "/linux/seccomp/listenerPath": ("missing", "config.json", ""),
    "/linux/netDevices": ("nosuch", "lo", ""),
    "/linux/netDevices/*/name": ("eth0", "x" * 20, "a/b", ""),
    "/linux/intelRdt/closID": ("a", "", "a/b"),
    "/linux/resources/network/priorities/*/name": ("lo", "nosuch"),
    "/linux/resources/rdma": ("mlx5_0", ""),
    **dict.fromkeys((f"/hooks/{each}/*/path" for each in _HOOKS), ("/bin/true", "/bin/false", "/nowhere", "true", "")),
    **dict.fromkeys((f"/hooks/{each}/*/args/*" for each in _HOOKS), ("true", "")),
}
"""The places where a free text would name something of the host."""


def _nodes(node: Node) -> Iterator[tuple[str, Node]]:
    yield node.row.pointer, node
    for inner in [*node.members.values(), *([node.item] if node.item else [])]:
        yield from _nodes(inner)


_NODES = dict(_nodes(TREE))
_PLACES = st.sampled_from([pointer for pointer in _NODES if pointer])


@functools.cache
def value(pointer: str, closed: bool) -> SearchStrategy[Any]:
    """What this place may be given: mostly what it accepts, at its bounds and a little outside."""
    node = _NODES[pointer]
    row = node.row
    if row.kind in ("object", "opaque"):
        members = {name: value(member.row.pointer, closed) for name, member in node.members.items()}
        required = {name: members.pop(name) for name in row.required}
        return st.fixed_dictionaries(required, optional=members)
    if row.kind == "map":
        assert node.item is not None
        return st.dictionaries(_text(row.pointer, closed), value(node.item.row.pointer, closed), max_size=3)
    if row.kind == "array":
        assert node.item is not None
        return st.lists(value(node.item.row.pointer, closed), min_size=row.min_items, max_size=3)
    if row.kind == "boolean":
        return st.booleans()
    if row.kind == "number":
        return st.sampled_from((0, 1.5, -1))
    if row.kind == "integer":
        assert row.low is not None
        assert row.high is not None
        return st.sampled_from((*_NUMBERS, row.low, row.high, row.low - 1, row.high + 1))
    return st.sampled_from(row.choices) if row.choices else _text(row.pointer, closed)


def _text(pointer: str, closed: bool) -> SearchStrategy[str]:
    pool = st.sampled_from(CLOSED.get(pointer) or _POOLS.get(pointer) or _TEXTS)
    if closed and pointer in CLOSED:
        return pool
    return pool | st.sampled_from(_TEXTS) | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=9)


@st.composite
def changed(draw: DrawFn, bases: list[Config], closed: bool = False) -> Config:
    """A valid configuration with values of their kind at some places, and now and then junk at one."""
    config: Config = copy.deepcopy(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(1, 4))):
        names = draw(_PLACES).split("/")[1:]
        _graft(draw, config, names[: draw(st.integers(1, len(names)))], closed)
    return config


def _graft(draw: DrawFn, holder: Any, names: list[str], closed: bool) -> None:
    """Give the place that `names` lead to another value; what is missing on the way is made."""
    node = TREE
    for at, name in enumerate(names):
        following = node.item if name == "*" else node.members[name]
        assert following is not None
        node = following
        key = _key(draw, holder, name, node, closed)
        last = at == len(names) - 1
        fitting = isinstance(holder[key], list if node.row.kind == "array" else dict)
        if last or not fitting:
            chosen = value(node.row.pointer, closed) if draw(st.integers(0, 9)) else st.sampled_from(_JUNK)
            holder[key] = copy.deepcopy(draw(chosen))
            if draw(st.integers(0, 9)) == 0:
                del holder[key]
            return
        holder = holder[key]


def _key(draw: DrawFn, holder: Any, name: str, node: Node, closed: bool) -> Any:
    """The member or item of `holder`, which has it afterwards."""
    if isinstance(holder, list):
        at = draw(st.integers(0, len(holder)))
        holder[at:] = holder[at:] or [None]
        return at
    key = draw(_text(node.row.pointer.rpartition("/")[0], closed)) if name == "*" else name
    holder.setdefault(key, None)
    return key
