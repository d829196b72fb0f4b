"""What the kernel has: system calls, namespaces, filesystems, parameters, limits that the caller may set."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ocirun.checks.sources import near
from ocirun.checks.subject import Finding, planned, text_of
from ocirun.kernel import mount, raw
from ocirun.kernel import scheduling as kernel
from ocirun.linux import namespaces
from ocirun.linux import netdevices as network
from ocirun.linux.mounts.wish import Wish
from ocirun.linux.sysctl import path_of, pointer_of
from ocirun_spec.mount_options import OPTIONS, find
from ocirun_spec.names import NAMESPACES, RLIMITS
from ocirun_spec.problem import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks.subject import Subject
    from ocirun_spec.problem import Severity

_EINVAL, _ENOSYS = 22, 38
_CAP_SYS_RESOURCE = 24
_CALLS: tuple[tuple[str, int, tuple[int | bytes | None, ...]], ...] = (
    ("clone3", raw.CLONE3, (None, 0)),
    ("fsopen", raw.FSOPEN, (None, -1)),
    ("mount_setattr", raw.MOUNT_SETATTR, (-1, b"", 0, None, 0)),
    ("move_mount", raw.MOVE_MOUNT, (-1, b"", -1, b"", -1)),
    ("open_tree", raw.OPEN_TREE, (-1, b"", -1)),
    ("openat2", raw.OPENAT2, (-1, b"", None, 0)),
    ("pidfd_open", raw.PIDFD_OPEN, (-1, 0)),
)
"""What every container needs, with arguments that the kernel refuses without doing anything."""


def calls(_subject: Subject) -> Iterator[Finding]:
    """The system calls of Linux 5.12."""
    missing = [name for name, number, words in _CALLS if raw.syscall(number, *words) == -_ENOSYS]
    if missing:
        hint = "ocirun needs Linux 5.12 or newer, and a sandbox around it may hide system calls"
        yield Finding("", f"this kernel does not have {', '.join(missing)}", hint)


def spaces(subject: Subject) -> Iterator[Finding]:
    """Namespaces of these types can be made, and what is joined is one of its type."""
    for at, entry in enumerate(subject.linux.get("namespaces") or ()):
        kind = entry["type"]
        if not os.path.exists(f"/proc/self/ns/{NAMESPACES[kind][1]}"):
            message = f"this kernel has no {kind} namespaces"
            yield Finding(f"/linux/namespaces/{at}/type", message, "leave it out: the host's is shared then")
    for step in namespaces.Namespaces(subject.config).opened.values():
        for each in planned(partial(namespaces.open_path, step)):
            hint = each.hint or near(step.args[1]) or "make it before the container; without a path it gets a new one"
            yield replace(each, hint=hint)
        if step.fd >= 0:
            os.close(step.fd)
    if subject.linux.get("netDevices"):
        private = subject.namespace("network") is not None
        yield from planned(lambda: network.plan(subject.config, private, None, subject.facts))


def filesystems(subject: Subject) -> Iterator[Finding]:
    """Types of mounts are registered, or are modules; the registered ones take their options."""
    known = [line.split()[-1] for line in text_of("/proc/filesystems").splitlines() if line.strip()]
    modules = text_of(f"/lib/modules/{os.uname().release}/modules.alias")
    for at, entry in enumerate(subject.mounts):
        wish, kind = Wish(entry), entry.get("type") or "none"
        name = kind.partition(".")[0]
        if wish.bind or wish.remount or kind in ("cgroup", "none") or not known:
            continue
        if name in known:
            yield from _options(entry, kind, f"/mounts/{at}/options") if subject.facts.may_mount else ()
        elif f"alias fs-{name} " not in modules:
            hint = did_you_mean(name, known) or "/proc/filesystems lists those that this kernel has"
            severity: Severity = "error" if modules else "warning"
            yield Finding(f"/mounts/{at}/type", f"no filesystem of this kernel is called {kind}", hint, severity)


def _options(entry: dict[str, Any], kind: str, pointer: str) -> Iterator[Finding]:
    """Ask a context that never becomes a filesystem (fsopen(2)): only some filesystems answer before that."""
    try:
        context = mount.fsopen(os.fsencode(kind))
    except raw.KernelError:
        return
    try:
        for at, option in enumerate(entry.get("options") or ()):
            key, equals, value = os.fsencode(option).partition(b"=")
            if find(option):
                continue
            try:
                if equals:
                    mount.fsconfig_string(context, key, value)
                else:
                    mount.fsconfig_flag(context, key)
            except raw.KernelError as problem:
                if problem.errno == _EINVAL:
                    said = problem.detail.partition("; ")[2]
                    message = f"{kind} does not take the option {option}" + (f" ({said})" if said else "")
                    yield Finding(f"{pointer}/{at}", message, did_you_mean(option, OPTIONS))
    finally:
        os.close(context)


def parameters(subject: Subject) -> Iterator[Finding]:
    """Kernel parameters exist. A warning, for a namespace may have others than the host's own, such as of devices."""
    for name in subject.linux.get("sysctl") or ():
        path = f"/proc/sys/{path_of(name)}"
        if os.path.exists(path):
            continue
        head, tail = os.path.split(path)
        near = did_you_mean(tail, os.listdir(head)) if os.path.isdir(head) else ""
        yield Finding(pointer_of(name), f"{path}: no such file or directory", near, "warning")


def limits(subject: Subject) -> Iterator[Finding]:
    """Hard limits and the OOM score that only CAP_SYS_RESOURCE may set."""
    most = text_of("/proc/sys/fs/nr_open").strip()
    free = bool(subject.facts.effective >> _CAP_SYS_RESOURCE & 1)
    for at, limit in enumerate(subject.process.get("rlimits") or ()):
        name, hard, pointer = limit["type"], limit["hard"], f"/process/rlimits/{at}/hard"
        own = _own_limit(RLIMITS[name])
        if not free and hard > own:
            hint = f"the caller's own is {own}, and he lacks CAP_SYS_RESOURCE"
            yield Finding(pointer, f"the hard limit {hard} of {name}: operation not permitted", hint)
        elif name == "RLIMIT_NOFILE" and most and hard > int(most):
            hint = f"/proc/sys/fs/nr_open allows {most}"
            yield Finding(pointer, f"the hard limit {hard} of {name}: operation not permitted", hint)
    score, own = subject.process.get("oomScoreAdj"), int(text_of("/proc/self/oom_score_adj") or "0")
    if score is not None and not free and score < own:
        hint = f"the caller's own is {own}, and he lacks CAP_SYS_RESOURCE"
        yield Finding("/process/oomScoreAdj", f"the score {score}: permission denied", hint)


def _own_limit(number: int) -> int:
    now = bytearray(16)
    raw.call("prlimit64", raw.PRLIMIT64, 0, number, None, now)
    return int.from_bytes(now[8:], "little")


def _bits(text: str, kind: str) -> int:
    return int.from_bytes(kernel.list_mask(text, kind), "little")


def processors(subject: Subject) -> Iterator[Finding]:
    """Processors and memory nodes of a cpuset are online."""
    cpu: dict[str, Any] = (subject.linux.get("resources") or {}).get("cpu") or {}
    for member, kind, path in (
        ("cpus", "CPU", "/sys/devices/system/cpu/online"),
        ("mems", "memory node", "/sys/devices/system/node/online"),
    ):
        there = text_of(path).strip()
        try:
            wanted, online = (_bits(text, kind) for text in (cpu.get(member) or "", there))
        except ValueError as problem:
            yield Finding(f"/linux/resources/cpu/{member}", str(problem), "write a list such as 0-3,7")
            continue
        if there and wanted & ~online:
            message = f"{cpu[member]} names a {kind} that this host does not have"
            yield Finding(f"/linux/resources/cpu/{member}", message, f"online are {there}")
