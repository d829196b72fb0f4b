"""The two bundles that are measured.

`minimal` is the smallest useful container. `engine` has the shape of what a container engine writes for a service:
an allow-list seccomp profile of several hundred calls with argument filters, 25 mounts, masked and read-only paths,
two extra devices with their rules, capabilities, sysctls, and memory, cpu and pids limits.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from support.bundle import BUSYBOX, Config, default_config, mount, with_args, with_bind, with_mount, write_bundle

SYSCALL_NAMES = Path(__file__).with_name("data") / "allowed_syscalls.txt"
BUNDLES = ("minimal", "engine")

ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}

ENGINE_CAPABILITIES = (
    "CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_MKNOD CAP_NET_BIND_SERVICE "
    "CAP_NET_RAW CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT"
)

ENGINE_MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug "
    "/proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware"
)

VOLUMES = 12
CLONE_NEW_ANY = 0x7E020000
ENOSYS = 38
MEBIBYTE = 1 << 20


def _rule(name: str, **argument: Any) -> dict[str, Any]:
    """Allow one call when its first argument compares as given."""
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, **argument}]}


def seccomp_profile() -> dict[str, Any]:
    """Deny by default; the allowed names come from the data file, a few calls only with certain arguments."""
    personalities = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ARCHITECTURES.get(platform.machine(), []),
        "syscalls": [
            {"names": SYSCALL_NAMES.read_text().split(), "action": "SCMP_ACT_ALLOW"},
            *(_rule("personality", value=value, op="SCMP_CMP_EQ") for value in personalities),
            # Every socket family except AF_ALG (38) and AF_VSOCK (40).
            _rule("socket", value=38, op="SCMP_CMP_LT"),
            _rule("socket", value=39, op="SCMP_CMP_EQ"),
            _rule("socket", value=40, op="SCMP_CMP_GT"),
            # clone without any new namespace; clone3 hides its flags in memory and looks absent instead.
            _rule("clone", value=CLONE_NEW_ANY, valueTwo=0, op="SCMP_CMP_MASKED_EQ"),
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
        ],
    }


def _device(path: str, major: int, minor: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A character device and the cgroup rule that allows it."""
    node = {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0}
    return node, {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}


def _engine_mounts(config: Config, directory: Path) -> None:
    """Bring the default seven mounts to 25, with sources below `directory`."""
    for name in ("resolv.conf", "hostname", "hosts"):
        source = directory / "files" / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("127.0.0.1 localhost\n")
        with_bind(config, source, f"/etc/{name}", "rbind", "rprivate")
    for number in range(VOLUMES):
        source = directory / "volumes" / f"{number:02d}"
        source.mkdir(parents=True, exist_ok=True)
        access = ("ro", "nosuid", "nodev") if number % 2 else ("rw",)
        with_bind(config, source, f"/srv/volume{number:02d}", "rbind", "rprivate", *access)
    for path in ("/run", "/tmp", "/var/cache"):
        with_mount(config, path, "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777", "size=16m")


def _engine_resources(config: Config, name: str) -> None:
    """Limits as an engine sets them, in a cgroup of our own name directly below the hierarchy's root."""
    nodes = [_device("/dev/fuse", 10, 229), _device("/dev/net/tun", 10, 200)]
    config["linux"]["devices"] = [node for node, _ in nodes]
    config["linux"]["cgroupsPath"] = f"/{name}"
    config["linux"]["resources"] = {
        "devices": [{"allow": False, "access": "rwm"}, *(rule for _, rule in nodes)],
        "memory": {"limit": 512 * MEBIBYTE, "reservation": 256 * MEBIBYTE},
        "cpu": {"shares": 512, "quota": 150000, "period": 100000},
        "pids": {"limit": 256},
    }


def engine_config(directory: Path, name: str) -> Config:
    """The engine-shaped config; bind sources are made below `directory`, `name` becomes the cgroup."""
    config = default_config()
    process, linux = config["process"], config["linux"]
    process["noNewPrivileges"] = False
    process["capabilities"] = {kind: ENGINE_CAPABILITIES.split() for kind in ("bounding", "effective", "permitted")}
    # Our own value: a lower one would need CAP_SYS_RESOURCE.
    process["oomScoreAdj"] = int(Path("/proc/self/oom_score_adj").read_text())
    _engine_mounts(config, directory)
    _engine_resources(config, name)
    linux["maskedPaths"] = ENGINE_MASKED.split()
    linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    linux["seccomp"] = seccomp_profile()
    return config


def minimal_config() -> Config:
    """As little as a static program needs: five namespaces and /proc."""
    config = default_config()
    config["mounts"] = [mount("/proc", "proc", "proc")]
    config["linux"] = {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]}
    return config


def write_bundles(directory: Path, name: str, limits: bool) -> dict[str, dict[str, Path]]:
    """Write each bundle twice below `directory`: `short` runs /bin/true, `long` sleeps until it is killed.

    Without `limits` the cgroup limits and device rules are left out.
    """
    made: dict[str, dict[str, Path]] = {}
    for kind in BUNDLES:
        made[kind] = {}
        for length, args in (("short", ("/bin/true",)), ("long", ("/bin/sleep", "600"))):
            target = directory / kind / length
            config = minimal_config() if kind == "minimal" else engine_config(target, name)
            if not limits:
                config["linux"]["resources"] = {}
            made[kind][length] = write_bundle(target, with_args(config, *args))
    return made


def usable() -> str:
    """Why bundles cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if BUSYBOX.exists() else f"needs {BUSYBOX} (busybox-static)"
