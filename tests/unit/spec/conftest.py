"""The published documents beside the checkout, and configs to start from.

The specification and the configs that engines wrote are no part of this repository. They are looked for in `../shared`
next to it, or where the environment variable OCIRUN_SHARED points; tests that need them are skipped without them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_SHARED = Path(os.environ.get("OCIRUN_SHARED", Path(__file__).parents[4] / "shared"))

Config = dict[str, Any]


@pytest.fixture(scope="session")
def published() -> Path:
    """The directory of the runtime-spec's text and schemas."""
    return _there("runtime-spec")


@pytest.fixture(scope="session")
def engine_configs() -> dict[str, Config]:
    """Configs written by real engines, by file name."""
    paths = sorted(_there("engine-configs").glob("*.json"))
    assert paths
    return {path.name: json.loads(path.read_bytes()) for path in paths}


@pytest.fixture
def config() -> Config:
    """A small config that satisfies the schema and every rule, free to be changed."""
    changeable: Config = json.loads(json.dumps(_CONFIG))
    return changeable


def _there(name: str) -> Path:
    path = _SHARED / name
    if not path.is_dir():
        pytest.skip(f"{path} is not there (OCIRUN_SHARED can name another place)")
    return path


_IDS = [{"containerID": 0, "hostID": 100000, "size": 1000}]

_CONFIG: Config = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "box",
    "process": {
        "args": ["sh", "-c", "true"],
        "cwd": "/",
        "env": ["PATH=/bin", "EMPTY="],
        "terminal": True,
        "consoleSize": {"height": 25, "width": 80},
        "user": {"uid": 0, "gid": 0, "additionalGids": [1, 2]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2048}],
        "capabilities": {"bounding": ["CAP_KILL"]},
    },
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/data",
            "source": "/srv",
            "options": ["rbind", "idmap"],
            "uidMappings": _IDS,
            "gidMappings": _IDS,
        },
    ],
    "hooks": {"createRuntime": [{"path": "/bin/true", "timeout": 5}]},
    "annotations": {"com.example.key": ""},
    "linux": {
        "namespaces": [{"type": name} for name in ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]],
        "uidMappings": _IDS,
        "gidMappings": _IDS,
        "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}, {"path": "/run/p", "type": "p"}],
        "sysctl": {"net.ipv4.ip_forward": "1", "kernel/shmmax": "1000"},
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "cgroupsPath": "/pod/box",
        "timeOffsets": {"monotonic": {"secs": 5}},
        "netDevices": {"eth0": {"name": "eth1"}},
        "resources": {
            "memory": {"limit": 1 << 30, "swappiness": 60},
            "cpu": {"quota": 1000, "burst": 500, "period": 2000},
            "unified": {"memory.high": "1000000"},
            "rdma": {"mlx5_1": {"hcaHandles": 3}},
            "blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 500}]},
        },
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "listenerPath": "/run/agent.sock",
            "listenerMetadata": "x",
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"},
                {
                    "names": ["ptrace"],
                    "action": "SCMP_ACT_TRACE",
                    "errnoRet": 1,
                    "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
                },
            ],
        },
    },
}
