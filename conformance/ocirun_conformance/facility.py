"""What a case needs of the host: each need is a probe that answers with the reason why it is not met, or with ""."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CAP_SYS_RESOURCE = 24
_MOUNT_SETATTR = 442


@dataclass(frozen=True)
class Need:
    """One facility. missing(): the reason why this host lacks it, "" when it does not."""

    name: str
    missing: Callable[[], str]


def _need(name: str) -> Callable[[Callable[[], str]], Need]:
    return lambda probe: Need(name, cache(probe))


def effective_capabilities() -> int:
    """The suite's own effective capabilities, as a mask."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


@_need("root")
def root() -> str:
    """Being root of the host's user namespace."""
    whole = Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    return "" if os.geteuid() == 0 and whole else "needs root"


@_need("CAP_SYS_RESOURCE")
def sys_resource() -> str:
    """Raising hard limits, lowering oom_score_adj."""
    return "" if effective_capabilities() >> CAP_SYS_RESOURCE & 1 else "needs CAP_SYS_RESOURCE"


def cgroup_mounts() -> dict[str, Path]:
    """Where each cgroup v1 controller is mounted, and under the name "unified" the cgroup2."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fstype, _source, options = right.split(" ", 2)
        point = Path(left.split()[4])
        if fstype == "cgroup2":
            found.setdefault("unified", point)
        elif fstype == "cgroup":
            for option in options.split(","):
                found.setdefault(option, point)
    return found


def has_controller(name: str) -> bool:
    """Whether a cgroup controller of this name can be used, on v1 or on v2."""
    mounts = cgroup_mounts()
    if name in mounts:
        return True
    unified = mounts.get("unified")
    return unified is not None and name in (unified / "cgroup.controllers").read_text().split()


def controller(name: str) -> Need:
    """A cgroup controller, and root to use it."""
    return Need(
        f"controller {name}",
        lambda: root.missing() or ("" if has_controller(name) else f"no cgroup controller {name} here"),
    )


@_need("cgroup2 alone")
def cgroup2() -> str:
    """A host whose only cgroup hierarchy is cgroup2."""
    mounts = cgroup_mounts()
    if "unified" not in mounts or len(mounts) > 1:
        return "needs a host with cgroup2 alone"
    return root.missing()


@_need("cgroup1")
def cgroup1() -> str:
    """A host with cgroup v1 controllers."""
    return root.missing() or ("" if {"memory", "pids"} <= set(cgroup_mounts()) else "needs cgroup v1 controllers")


@_need("user namespaces")
def userns() -> str:
    """Making user namespaces."""
    try:
        most = int(Path("/proc/sys/user/max_user_namespaces").read_text())
    except OSError:
        return "needs user namespaces"
    return "" if most else "user.max_user_namespaces is 0"


@_need("ip")
def ip() -> str:
    """ip(8), which makes network devices, and root to do so."""
    return root.missing() or ("" if shutil.which("ip") else "needs ip(8) of iproute2")


@_need("unshare")
def unshare() -> str:
    """unshare(1) and nsenter(1) of util-linux, with root to make namespaces."""
    if root.missing():
        return root.missing()
    lacking = [name for name in ("unshare", "nsenter") if not shutil.which(name)]
    return f"needs {' and '.join(lacking)} of util-linux" if lacking else ""


def namespace(file: str) -> Need:
    """A type of namespace that this kernel has, by its name in /proc/PID/ns."""
    there = Path("/proc/self/ns", file)
    return Need(f"namespace {file}", lambda: "" if there.exists() else f"this kernel has no {file} namespaces")


@_need("veth")
def veth() -> str:
    """ip(8) can make a pair of virtual network devices."""
    if ip.missing() or unshare.missing():
        return ip.missing() or unshare.missing()
    words = ["unshare", "--net", "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"no veth devices: {done.stderr.strip()}" if done.returncode else ""


def resctrl_mount() -> Path | None:
    """Where resctrl is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split(" ")[0] == "resctrl":
            return Path(left.split(" ")[4])
    return None


@_need("resctrl")
def resctrl() -> str:
    """A mounted resctrl."""
    return root.missing() or ("" if resctrl_mount() else "needs a mounted resctrl (Intel RDT, AMD PQoS)")


@_need("mount(8)")
def mounting() -> str:
    """mount(8) and umount(8), and root to use them."""
    return root.missing() or ("" if shutil.which("mount") and shutil.which("umount") else "needs mount(8)")


@_need("mount_setattr(2)")
def mount_setattr() -> str:
    """Linux 5.12, which changes mounts with all that is below them."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(_MOUNT_SETATTR, -1, b"", 0, None, 0)
    lacks = "needs mount_setattr(2) of Linux 5.12" if ctypes.get_errno() == errno.ENOSYS else ""
    return mounting.missing() or lacks


@_need("an ext4 in a file")
def ext4() -> str:
    """mkfs.ext4(8), losetup(8) and a kernel with ext4, and root to mount it."""
    if not (shutil.which("mkfs.ext4") and shutil.which("losetup")):
        return "needs mkfs.ext4(8) and losetup(8)"
    known = Path("/proc/filesystems").read_text().split()
    return mounting.missing() or ("" if "ext4" in known else "needs a kernel with ext4")


def release() -> tuple[int, ...]:
    """The kernel's version, such as (6, 1)."""
    return tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])


@_need("messages of the kernel")
def kernel_messages() -> str:
    """What seccomp logs comes into /dev/kmsg, because no audit daemon takes it."""
    if root.missing():
        return root.missing()
    if not Path("/proc/self/loginuid").exists():
        return "needs a kernel with CONFIG_AUDIT"
    if any(_name(process) == "auditd" for process in Path("/proc").glob("[0-9]*")):
        return "needs the messages of the kernel, which auditd takes"
    return "" if os.access("/dev/kmsg", os.R_OK) else "needs to read /dev/kmsg"


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""  # it has ended
