"""Bundles and root filesystems for tests.

Rules: a config is a plain dict that the caller may change freely, because every call makes a fresh one; the small
`with_*` helpers change the dict in place and return it, so that they can be chained; nothing is downloaded except by
`debian_rootfs`, once per checkout.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Config = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / "build" / "cache"
BUSYBOX = Path("/bin/busybox")
DEBIAN_SUITE = "bookworm"
DEBIAN_PACKAGES = ("bash", "python3-minimal")
SYSTEMD = ("dbus", "systemd")
"""What `debian_rootfs` adds for a tree that boots."""

APPLET_NAMES = (
    "[ ash awk basename cat chgrp chmod chown clear cp cut date dd df dirname dmesg echo egrep env expr false find "
    "free grep head hexdump hostname id ifconfig ionice ip kill less ln ls md5sum mkdir mkfifo mknod mktemp mount "
    "mv nc nproc od pidof ping printf ps pwd readlink realpath reset rm rmdir sed seq setsid sh sha256sum "
    "sleep sort stat stty sync sysctl tail tar taskset tee test time timeout top touch tr true truncate tty umount "
    "uname uniq unlink unshare usleep vi wc which who whoami xargs yes"
)

ROOTFS_DIRECTORIES = ("bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var")

DEFAULT_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETUID",
)

MASKED_PATHS = ("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/sched_debug", "/proc/timer_list", "/sys/firmware")
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def make_rootfs(directory: Path) -> Path:
    """Fill `directory` with a root filesystem made of the static busybox; returns `directory`.

    Applets are relative symbolic links beside `/bin/busybox`, so that the tree may be moved or archived. `/etc` knows
    the users root (0) and nobody (65534), and group 5 is tty as on every distribution.
    """
    for name in ROOTFS_DIRECTORIES:
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, directory / "bin" / "busybox")
    for applet in APPLET_NAMES.split():
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    )
    (directory / "etc" / "group").write_text("root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")
    return directory


def mount(destination: str, kind: str, source: str, *options: str) -> Config:
    """One entry of `mounts` (runtime-spec config.md, Mounts)."""
    entry: Config = {"destination": destination, "type": kind, "source": source}
    if options:
        entry["options"] = list(options)
    return entry


def default_mounts() -> list[Config]:
    """The mounts that the spec's Linux filesystem list asks for, plus mqueue and the cgroup view."""
    return [
        mount("/proc", "proc", "proc"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ]


def default_config(*args: str) -> Config:
    """A complete config that runs `args` (default: `true`) without a terminal, in new namespaces except user and time.

    No rlimits and no oomScoreAdj: raising a hard limit or lowering the score needs CAP_SYS_RESOURCE, which a container
    or a small virtual machine that runs these tests may lack.
    """
    capabilities = list(DEFAULT_CAPABILITIES)
    return {
        "ociVersion": "1.0.2",
        "hostname": "unit",
        "root": {"path": "rootfs", "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(args) if args else ["true"],
            "env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin", "TERM=xterm"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {kind: list(capabilities) for kind in ("bounding", "effective", "permitted")},
        },
        "mounts": default_mounts(),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
        },
    }


def with_args(config: Config, *args: str) -> Config:
    """Set the program and its arguments."""
    config["process"]["args"] = list(args)
    return config


def with_shell(config: Config, script: str) -> Config:
    """Run `script` through the container's `sh -c`."""
    return with_args(config, "sh", "-c", script)


def with_terminal(config: Config, height: int = 0, width: int = 0) -> Config:
    """Ask for a terminal, with `consoleSize` when a size is given (character cells)."""
    config["process"]["terminal"] = True
    if height and width:
        config["process"]["consoleSize"] = {"height": height, "width": width}
    return config


def with_env(config: Config, *assignments: str) -> Config:
    """Append `NAME=value` strings to the environment; a later one wins."""
    config["process"]["env"].extend(assignments)
    return config


def with_mount(config: Config, destination: str, kind: str, source: str, *options: str) -> Config:
    """Append a mount."""
    config["mounts"].append(mount(destination, kind, source, *options))
    return config


def with_bind(config: Config, source: Path, destination: str, *options: str) -> Config:
    """Append a bind mount (`rbind` unless `options` name `bind` themselves)."""
    kind = () if "bind" in options or "rbind" in options else ("rbind",)
    return with_mount(config, destination, "bind", str(source), *kind, *options)


def with_hook(config: Config, stage: str, path: str, *args: str, timeout: int | None = None) -> Config:
    """Append a hook; `args` excludes argv[0], which is `path`."""
    hook: Config = {"path": path, "args": [path, *args]}
    if timeout is not None:
        hook["timeout"] = timeout
    config.setdefault("hooks", {}).setdefault(stage, []).append(hook)
    return config


def with_cgroup(config: Config, path: str, resources: Mapping[str, Any] | None = None) -> Config:
    """Set `cgroupsPath` and merge `resources` into the ones that are there."""
    config["linux"]["cgroupsPath"] = path
    config["linux"].setdefault("resources", {}).update(resources or {})
    return config


def with_namespace(config: Config, kind: str, path: str | None = None) -> Config:
    """Add the namespace `kind`, or replace it when it is there; `path` makes the container join an existing one."""
    entry: Config = {"type": kind} if path is None else {"type": kind, "path": path}
    namespaces = config["linux"]["namespaces"]
    namespaces[:] = [known for known in namespaces if known["type"] != kind] + [entry]
    return config


def without_namespace(config: Config, *kinds: str) -> Config:
    """Remove namespaces: the container shares the runtime's own."""
    namespaces = config["linux"]["namespaces"]
    namespaces[:] = [known for known in namespaces if known["type"] not in kinds]
    return config


def with_user_namespace(config: Config, host_id: int = 100000, size: int = 65536) -> Config:
    """Add a user namespace that maps container ids 0..size to the host ids that start at `host_id`."""
    with_namespace(config, "user")
    for field in ("uidMappings", "gidMappings"):
        config["linux"][field] = [{"containerID": 0, "hostID": host_id, "size": size}]
    return config


def with_capabilities(config: Config, names: Sequence[str]) -> Config:
    """Use `names` for the bounding, effective and permitted sets; the others are left empty."""
    config["process"]["capabilities"] = {kind: list(names) for kind in ("bounding", "effective", "permitted")}
    return config


def write_bundle(directory: Path, config: Config, rootfs: bool = True) -> Path:
    """Write `config.json` (and, when wanted and absent, a busybox `rootfs/`) below `directory`; returns `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    if rootfs and not (directory / "rootfs").exists():
        make_rootfs(directory / "rootfs")
    return directory


def debian_rootfs(*packages: str) -> Path:
    """A minimal Debian with bash and python3, or with these packages instead; needs root and a mirror.

    Built by debootstrap at most once per checkout.

    Parallel callers wait for the first one. The tree is shared: mount it read-only or put an overlay on it.
    """
    target = CACHE / "-".join(["debian", DEBIAN_SUITE, *packages])
    if target.exists():  # before the lock: an emulated machine cannot write here
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".debian.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = target.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages or DEBIAN_PACKAGES)}"]
            path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
            subprocess.run(
                [*command, DEBIAN_SUITE, str(partial)],
                check=True,
                timeout=900,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={**os.environ, "PATH": path},
            )
            # Renamed only when complete, so that an interrupted build is never taken for a root filesystem.
            partial.rename(target)
    return target
