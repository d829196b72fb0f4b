"""Security contexts of Kubernetes, seen from inside of a container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cri import CriError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.pods import Pods

pytestmark = pytest.mark.engines

CAP_CHOWN = 1 << 0
CAP_NET_RAW = 1 << 13
CAP_SYS_ADMIN = 1 << 21
SECCOMP_MODE_FILTER = "2"


def inside(pods: Pods, security: Mapping[str, object], script: str, **config: object) -> str:
    """What a script prints in a container of a pod of its own."""
    return pods.output(pods.pod(), "sh", "-c", script, security=dict(security), **config)


def proc_status(pods: Pods, security: Mapping[str, object], field: str) -> str:
    """One field of /proc/self/status (proc_pid_status(5)) of the container's program."""
    text = inside(pods, security, f"grep ^{field}: /proc/self/status")
    return text.partition(":")[2].strip()


def capabilities(pods: Pods, security: Mapping[str, object], field: str = "CapEff") -> int:
    """A set of capabilities as a mask."""
    return int(proc_status(pods, security, field), 16)


def test_run_as_user_and_groups(pods: Pods) -> None:
    security = {"run_as_user": {"value": 1000}, "run_as_group": {"value": 1001}, "supplemental_groups": [2000, 2001]}
    assert inside(pods, security, "id -u; id -g; id -G") == "1000\n1001\n1001 2000 2001\n"


def test_run_as_username(pods: Pods) -> None:
    assert inside(pods, {"run_as_username": "nobody"}, "id -u; id -g") == "65534\n65534\n"


def test_ordinary_user_has_no_capabilities(pods: Pods) -> None:
    assert capabilities(pods, {"run_as_user": {"value": 1000}}) == 0


def test_default_capabilities(pods: Pods) -> None:
    found = capabilities(pods, {})
    assert found & (CAP_CHOWN | CAP_NET_RAW | CAP_SYS_ADMIN) == CAP_CHOWN | CAP_NET_RAW


def test_capability_is_added_and_another_dropped(pods: Pods) -> None:
    security: dict[str, object] = {
        "capabilities": {"add_capabilities": ["SYS_ADMIN"], "drop_capabilities": ["NET_RAW"]}
    }
    for field in ("CapEff", "CapPrm", "CapBnd"):
        found = capabilities(pods, security, field)
        assert found & (CAP_CHOWN | CAP_NET_RAW | CAP_SYS_ADMIN) == CAP_CHOWN | CAP_SYS_ADMIN


def test_all_capabilities_dropped(pods: Pods) -> None:
    security: dict[str, object] = {"capabilities": {"drop_capabilities": ["ALL"]}}
    assert capabilities(pods, security, "CapBnd") == 0
    assert "not permitted" in inside(pods, security, "chown 1000 /srv 2>&1")


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privs(pods: Pods, wanted: bool) -> None:
    assert proc_status(pods, {"no_new_privs": wanted}, "NoNewPrivs") == str(int(wanted))


@pytest.mark.parametrize("readonly", [True, False])
def test_root_filesystem(pods: Pods, readonly: bool) -> None:
    said = inside(
        pods, {"readonly_rootfs": readonly}, "touch /file 2>&1 && echo written; touch /dev/shm/file && echo x"
    )
    assert said.endswith("x\n")
    assert ("Read-only file system" in said, "written" in said) == (readonly, not readonly)


def test_seccomp_runtime_default(pods: Pods) -> None:
    security: dict[str, object] = {"seccomp": {"profile_type": "RuntimeDefault"}}
    assert proc_status(pods, security, "Seccomp") == SECCOMP_MODE_FILTER
    assert "not permitted" in inside(pods, security, "unshare -U true 2>&1 || mount -t tmpfs none /mnt 2>&1")


def test_seccomp_unconfined(pods: Pods) -> None:
    assert proc_status(pods, {"seccomp": {"profile_type": "Unconfined"}}, "Seccomp") == "0"


def test_seccomp_of_a_file(pods: Pods, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    security: dict[str, object] = {"seccomp": {"profile_type": "Localhost", "localhost_ref": str(profile)}}
    assert "not supported" in inside(pods, security, "mkdir /made 2>&1; true")
    assert inside(pods, {}, "mkdir /made && echo made") == "made\n"


def test_missing_seccomp_profile_is_refused(pods: Pods, tmp_path: Path) -> None:
    security = {"seccomp": {"profile_type": "Localhost", "localhost_ref": str(tmp_path / "absent.json")}}
    with pytest.raises(CriError, match=r"absent\.json"):
        pods.create(pods.pod(), "true", security=security)


def test_seccomp_of_the_pod_itself(pods: Pods) -> None:
    for kind, mode in (("RuntimeDefault", SECCOMP_MODE_FILTER), ("Unconfined", "0")):
        pid = pods.pid(pods.pod(security={"seccomp": {"profile_type": kind}}))
        assert f"Seccomp:\t{mode}\n" in Path(f"/proc/{pid}/status").read_text()


def test_masked_and_readonly_paths(pods: Pods) -> None:
    security: dict[str, object] = {"masked_paths": ["/proc/meminfo", "/proc/acpi"], "readonly_paths": ["/proc/sys"]}
    script = "wc -c </proc/meminfo; wc -c </proc/uptime; echo x >/proc/sys/kernel/domainname"
    said = inside(pods, security, f"({script}) 2>&1").split("\n")
    assert said[0] == "0"
    assert int(said[1]) > 0
    assert "Read-only file system" in said[2]


def test_no_masked_paths(pods: Pods) -> None:
    """`procMount: Unmasked` of Kubernetes: both lists are empty."""
    said = inside(pods, {"masked_paths": [], "readonly_paths": []}, "grep -c ' /proc/' /proc/self/mountinfo; true")
    assert said == "0\n"


def test_privileged(pods: Pods) -> None:
    """All capabilities and devices of the host, no filter, a writable /sys, nothing masked."""
    script = """
grep -e ^CapEff: -e ^Seccomp: /proc/self/status
grep -c ' /proc/' /proc/self/mountinfo
grep ' /sys ' /proc/self/mounts | cut -d ' ' -f 4 | cut -d , -f 1
ls /dev/kmsg
mount -t tmpfs none /mnt && echo mounted
"""
    privileged = {"privileged": True}
    pod = pods.pod(security=privileged)
    lines = pods.output(pod, "sh", "-c", script, security=privileged).split("\n")
    assert int(lines[0].split()[1], 16) & CAP_SYS_ADMIN
    assert lines[1].split() == ["Seccomp:", "0"]
    assert lines[2:6] == ["0", "rw", "/dev/kmsg", "mounted"]


def test_privileged_container_needs_a_privileged_pod(pods: Pods) -> None:
    with pytest.raises(CriError, match="no privileged container allowed"):
        pods.create(pods.pod(), "true", security={"privileged": True})


def test_device_of_the_host(pods: Pods) -> None:
    """The rules of the device cgroup allow what was asked for, and no more."""
    device = {"host_path": "/dev/kmsg", "container_path": "/dev/unit", "permissions": "r"}
    # Without CAP_SYSLOG, kernel.dmesg_restrict would forbid it.
    security = {"capabilities": {"add_capabilities": ["SYSLOG"]}}
    said = inside(pods, security, "(true </dev/unit && echo read; true >/dev/unit) 2>&1", devices=[device]).split("\n")
    assert said[0] == "read"
    assert "not permitted" in said[1]


def test_user_of_the_pod(pods: Pods) -> None:
    security = {"run_as_user": {"value": 1000}, "run_as_group": {"value": 1001}, "supplemental_groups": [7]}
    pid = pods.pid(pods.pod(security=security))
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t1000\t1000\t1000\t1000\n" in status
    assert "Gid:\t1001\t1001\t1001\t1001\n" in status
