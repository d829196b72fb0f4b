"""Probes for what a test needs of the machine, by trying it.

Rules: a probe returns an empty string when the facility is there and the reason otherwise; it changes nothing that
outlives it (mounts are tried in a private namespace of a child); answers are remembered for the process.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from .bundle import BUSYBOX
from .command import SLOWNESS

Function = TypeVar("Function", bound=Callable[..., object])
Probe = Callable[[], str]

# By path: another client may come before that of the package.
DOCKER = "/usr/bin/docker"
DOCKERD = "/usr/sbin/dockerd"
COMPOSE = "/usr/bin/docker-compose"
V1_CONTROLLERS = ("memory", "cpu", "pids", "devices", "freezer")
CAP_SYS_RESOURCE = 24
ADMIN_PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def find_program(name: str) -> str | None:
    """The path of a program, looked for in the administrator's directories too."""
    return shutil.which(name, path=ADMIN_PATH)


def _tried(*argv: str, timeout: float = 20.0) -> str:
    """Empty when the command succeeds, its last line otherwise."""
    program = find_program(argv[0])
    if program is None:
        return f"{argv[0]} is not installed"
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout * SLOWNESS,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]}: {error}"
    if done.returncode == 0:
        return ""
    return (done.stdout.strip().splitlines() or [f"{argv[0]} failed with exit code {done.returncode}"])[-1]


@functools.cache
def root() -> str:
    """Effective uid 0 with the right to make a mount namespace."""
    if os.geteuid() != 0:
        return "needs root"
    return _tried("unshare", "-m", "--propagation", "private", "true")


@functools.cache
def sys_resource() -> str:
    """CAP_SYS_RESOURCE: needed to raise hard rlimits and to lower oom_score_adj (capabilities(7))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1:
            return ""
    return "needs CAP_SYS_RESOURCE"


@functools.cache
def cgroup_v1() -> str:
    """The v1 controllers that container limits use, mounted at /sys/fs/cgroup."""
    missing = [name for name in V1_CONTROLLERS if not Path("/sys/fs/cgroup", name, "cgroup.procs").exists()]
    return f"needs the cgroup v1 controllers {', '.join(missing)}" if missing else ""


@functools.cache
def cgroup_v2() -> str:
    """/sys/fs/cgroup itself is a cgroup2 mount."""
    return "" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "needs a unified cgroup hierarchy"


@functools.cache
def cgroup_v2_private() -> str:
    """cgroup2 can be mounted on /sys/fs/cgroup in a private mount namespace, or is there anyway."""
    script = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && test -e /sys/fs/cgroup/cgroup.controllers"
    if not cgroup_v2():
        return root()
    return root() or _tried("unshare", "-m", "--propagation", "private", "sh", "-c", script)


@functools.cache
def user_namespace() -> str:
    """A user namespace can be made."""
    return _tried("unshare", "--user", "--map-root-user", "true")


@functools.cache
def time_namespace() -> str:
    """A time namespace can be made."""
    return _tried("unshare", "--time", "--fork", "true")


@functools.cache
def overlayfs() -> str:
    """overlayfs can be mounted on the filesystem that holds temporary files."""
    if root():
        return root()
    with tempfile.TemporaryDirectory() as base:
        for name in ("lower", "upper", "work", "merged"):
            Path(base, name).mkdir()
        options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
        command = ("mount", "-t", "overlay", "overlay", "-o", options, f"{base}/merged")
        return _tried("unshare", "-m", "--propagation", "private", *command)


@functools.cache
def busybox() -> str:
    """A statically linked busybox at /bin/busybox (its ELF file names no interpreter)."""
    if not BUSYBOX.exists():
        return f"needs {BUSYBOX} (busybox-static)"
    return "" if b"/ld-linux" not in BUSYBOX.read_bytes()[:4096] else f"needs a statically linked {BUSYBOX}"


@functools.cache
def podman() -> str:
    """podman is installed and can read its configuration with private directories."""
    with tempfile.TemporaryDirectory() as base:
        options = ["--root", f"{base}/root", "--runroot", f"{base}/run", "--tmpdir", f"{base}/tmp"]
        options += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
        return root() or _tried("podman", *options, "images", "--quiet")


@functools.cache
def containerd() -> str:
    """containerd, its shim and ctr are installed."""
    return (
        root()
        or _tried("containerd", "--version")
        or _tried("ctr", "--version")
        or _installed("containerd-shim-runc-v2")
    )


@functools.cache
def docker() -> str:
    """Docker's daemon and client of the machine's packages, and what the daemon needs of containerd."""
    return containerd() or _installed(DOCKERD) or _installed(DOCKER)


@functools.cache
def docker_compose() -> str:
    """docker-compose of the machine's packages, which is Python."""
    return docker() or _installed(COMPOSE)


def _installed(name: str) -> str:
    return "" if find_program(name) else f"{name} is not installed"


@functools.cache
def debootstrap() -> str:
    """debootstrap is installed; whether a mirror answers is found out by using it."""
    return root() or _installed("debootstrap")


@functools.cache
def strace() -> str:
    """strace is installed and may trace a child."""
    return _tried("strace", "-o", "/dev/null", "true")


def requires(*probes: Probe) -> Callable[[Function], Function]:
    """A decorator that skips a test, naming the reason, unless every probe is satisfied.

    Probes run when the test is about to run, not at collection, so that collecting stays quick and needs no root.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def wrapper(*args: object, **keywords: object) -> object:
            need(*probes)
            return function(*args, **keywords)

        return wrapper  # type: ignore[return-value]

    return decorate


def need(*probes: Probe) -> None:
    """Skip the current test, or the tests of the current fixture, unless every probe is satisfied."""
    for probe in probes:
        reason = probe()
        if reason:
            pytest.skip(reason)
