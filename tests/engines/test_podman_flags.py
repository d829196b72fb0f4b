"""Each option of `podman run` that reaches the runtime, by what the container's program sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from process.mounting import mounted
from support import facility
from support.command import run_command
from support.engines import PODMAN_IMAGE as IMAGE
from support.engines import Podman
from support.facility import need, requires

pytestmark = pytest.mark.engines

MIB = 1 << 20


class Seen(NamedTuple):
    """Options, a script, and the words that it prints with them; `parts` is true where it prints more."""

    name: str
    options: str
    script: str
    words: str
    parts: bool = False


STATUS = "/proc/self/status"
KEYS = "grep -q . /proc/keys && echo shown"
PLAIN = [
    Seen("cap-add", "--cap-drop all --cap-add net_raw", f"grep CapBnd {STATUS}", f"CapBnd: {0x2000:016x}"),
    Seen("cap-drop", "--cap-drop all", f"sed -n 's/^Cap[BEP].*://p' {STATUS}", " ".join(["0" * 16] * 3)),
    Seen("cgroupns", "--cgroupns private", "sed -n s/.*:pids:/pids:/p /proc/self/cgroup", "pids:/"),
    Seen("device", "--device /dev/fuse:/dev/other", "stat -c %t:%T /dev/other", "a:e5"),
    Seen("env", "--env ONE=1 --env TWO --env-host=false", "echo $ONE ${TWO-unset}", "1 unset"),
    Seen("group-add", "--user 7 --group-add 5 --group-add 999", "id -u; id -g; id -G", "7 0 0 5 999"),
    Seen("hostname", "--hostname named", "hostname", "named"),
    Seen("init", "--init", "cat /proc/1/comm; echo $PPID", "podman-init 1"),
    Seen("ipc-host", "--ipc host", "readlink /proc/self/ns/ipc", os.readlink("/proc/self/ns/ipc")),
    Seen("mask", "--security-opt mask=/etc/passwd:/srv", "wc -c </etc/passwd; touch /srv/x || echo kept", "0 kept"),
    Seen("no-new-privileges", "--security-opt no-new-privileges", f"grep NoNewPrivs {STATUS}", "1", True),
    Seen("new-privileges", "", f"grep NoNewPrivs {STATUS}", "0", True),
    Seen("nofile", "--ulimit nofile=100:200", "ulimit -n; ulimit -Hn", "100 200"),
    Seen("oom-score-adj", "--oom-score-adj 300", "cat /proc/self/oom_score_adj", "300"),
    Seen("pid-host", "--pid host", "readlink /proc/self/ns/pid", os.readlink("/proc/self/ns/pid")),
    Seen("privileged", "--privileged", f"grep Seccomp: {STATUS}; stat -c %T /dev/kmsg; {KEYS}", "Seccomp: 0 b shown"),
    Seen("proc-opts", "--security-opt proc-opts=hidepid=2", "grep ' /proc ' /proc/mounts", "hidepid=invisible", True),
    Seen("read-only", "--read-only", "touch /x 2>&1 || touch /tmp/x && echo made", "Read-only made", True),
    Seen("seccomp", "", f"grep Seccomp: {STATUS}", "Seccomp: 2"),
    Seen("seccomp-none", "--security-opt seccomp=unconfined", f"grep Seccomp: {STATUS}", "Seccomp: 0"),
    Seen("shm-size", "--shm-size 2m", "df -k /dev/shm | sed -n 's/^shm *//p'", "2048", True),
    Seen("sysctl", "--sysctl net.ipv4.ip_default_ttl=77", "sysctl -n net.ipv4.ip_default_ttl", "77"),
    Seen("tmpfs", "--tmpfs /srv:size=1m,noexec", "grep ' /srv ' /proc/mounts", "noexec size=1024k", True),
    Seen("umask", "--umask 0027", "umask", "0027"),
    Seen("unmask", "--security-opt unmask=/proc/keys", KEYS, "shown"),
    Seen("user", "--user nobody", "id -un; touch /x 2>/dev/null || echo kept", "nobody kept"),
    Seen("uts-host", "--uts host", "readlink /proc/self/ns/uts", os.readlink("/proc/self/ns/uts")),
    Seen("workdir", "--workdir /usr", "pwd", "/usr"),
]  # fmt: skip

LIMITS = "--memory 64m --memory-reservation 32m --memory-swap 80m --cpu-shares 300 --cpu-period 50000 --cpu-quota 20000"
LIMITS += " --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 77"
LIMITED = {
    "memory/memory.limit_in_bytes": 64 * MIB,
    "memory/memory.soft_limit_in_bytes": 32 * MIB,
    "memory/memory.memsw.limit_in_bytes": 80 * MIB,
    "cpu/cpu.shares": 300,
    "cpu/cpu.cfs_period_us": 50000,
    "cpu/cpu.cfs_quota_us": 20000,
    "cpuset/cpuset.cpus": 0,
    "cpuset/cpuset.mems": 0,
    "pids/pids.max": 77,
}
SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
}


def shell(podman: Podman, options: str | list[str], script: str) -> str:
    """Standard output of a script in a container with these options."""
    words = options.split() if isinstance(options, str) else options
    return podman.run("--rm", "--network", "none", *words, IMAGE, "sh", "-c", script).ok().out


@pytest.mark.parametrize("seen", PLAIN, ids=lambda seen: seen.name)
def test_option(podman: Podman, seen: Seen) -> None:
    need(*([catatonit] if seen.name == "init" else []))
    out = shell(podman, seen.options, seen.script)
    if seen.parts:
        assert set(seen.words.split()) <= set(out.replace(",", " ").split())
    else:
        assert out.split() == seen.words.split()


def catatonit() -> str:
    """The program that --init puts before the container's."""
    return "" if Path("/usr/libexec/podman/catatonit").exists() else "catatonit is not installed"


@requires(facility.cgroup_v1)
def test_limits(podman: Podman) -> None:
    """As the container sees its own cgroup, whose files are the host's."""
    script = f"cd /sys/fs/cgroup; cat {' '.join(LIMITED)}"
    assert shell(podman, LIMITS, script).split() == [str(value) for value in LIMITED.values()]
    assert shell(podman, "--cpus 0.5", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us") == "50000\n"


@requires(facility.cgroup_v1)
def test_device_rules(podman: Podman) -> None:
    """What a device may be used for is the rules', also for root."""
    script = "(: < /dev/one; : > /dev/one) 2>&1; mknod /dev/two c 10 229; (: < /dev/two) 2>&1; ls /dev/one /dev/two"
    options = ["--device", "/dev/kmsg:/dev/one:r", "--device-cgroup-rule", "c 10:229 m", "--cap-add", "mknod"]
    denied = [line for line in shell(podman, options, script).splitlines() if "Operation not permitted" in line]
    assert [line.partition("/dev/")[2].partition(":")[0] for line in denied] == ["one", "two"]


def test_seccomp_profile(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "profile").write_text(json.dumps(SECCOMP))
    out = shell(podman, f"--security-opt seccomp={tmp_path}/profile", "mkdir /x 2>&1; test -e /x || echo none")
    assert "No space left on device" in out
    assert out.endswith("none\n")


@pytest.mark.parametrize("kind", ["ipc", "pid", "uts", "network", "cgroupns"])
def test_namespace_of_another_container(podman: Podman, kind: str) -> None:
    podman.run("--detach", "--name", "other", "--network", "none", "--cgroupns", "private", IMAGE, "sleep", "1000").ok()
    name = {"network": "net", "cgroupns": "cgroup"}.get(kind, kind)
    # Without a word on it Podman makes a bridge on the host, and lets the host forward.
    network = [] if kind == "network" else ["--network", "none"]
    done = podman.run("--rm", *network, f"--{kind}", "container:other", IMAGE, "readlink", f"/proc/self/ns/{name}").ok()
    pid = podman.inspect("other", "{{.State.Pid}}")
    assert done.out.strip() == os.readlink(f"/proc/{pid}/ns/{name}")


def test_volume_becomes_the_users(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert shell(podman, f"--user 77:78 --volume {tmp_path}:/data:U", "stat -c %u:%g /data/file") == "77:78\n"


def test_user_namespace(podman: Podman, tmp_path: Path) -> None:
    """With a volume as it is, and the image's files as the container's."""
    script = "cat /proc/self/uid_map /proc/self/gid_map; stat -c %u /data /etc/passwd; id -u"
    options = f"--uidmap 0:100000:500 --gidmap 0:200000:600 --volume {tmp_path}:/data"
    assert shell(podman, options, script).split() == ["0", "100000", "500", "0", "200000", "600", "65534", "0", "0"]


@pytest.mark.not_with("runc", "1.1 ignores the option idmap without a word")
def test_idmapped_volume(podman: Podman, tmp_path: Path) -> None:
    os.chown(tmp_path, 5, 6)
    options = f"--uidmap 0:100000:500 --gidmap 0:200000:600 --volume {tmp_path}:/data:idmap"
    assert shell(podman, options, "stat -c %u:%g /data; touch /data/new").split() == ["5:6"]
    status = os.stat(tmp_path / "new")
    assert (status.st_uid, status.st_gid) == (0, 0)


@pytest.mark.parametrize(
    ("option", "reaches"), [("rslave", (True, False)), ("rshared", (True, True)), ("rprivate", (False, False))]
)
def test_mount_propagation(podman: Podman, tmp_path: Path, option: str, reaches: tuple[bool, bool]) -> None:
    """Whether a mount of the host reaches the container, and one of the container the host."""
    with mounted(tmp_path / "shared", "-t", "tmpfs", "shared") as top:
        subprocess.run(["mount", "--make-shared", str(top)], check=True, timeout=60)
        for name in ("in", "out"):
            (top / name).mkdir()
        words = [
            "--detach",
            "--name",
            "spread",
            "--network",
            "none",
            "--privileged",
            "--volume",
            f"{top}:/data:{option}",
        ]
        podman.run(*words, IMAGE, "sleep", "1000").ok()
        with mounted(top / "in", "-t", "tmpfs", "inner"):
            script = "grep -c ' /data/in ' /proc/mounts; mount -t tmpfs inner /data/out"
            out = podman.call("exec", "spread", "sh", "-c", script).ok().out
        found = f" {top}/out " in Path("/proc/mounts").read_text()
        podman.remove_containers()
        assert (out == "1\n", found) == reaches


def test_rootfs(podman: Podman, rootfs: Path, tmp_path: Path) -> None:
    """A directory in place of an image."""
    root = shutil.copytree(rootfs, tmp_path / "root", symlinks=True)
    podman.run("--rm", "--network", "none", "--rootfs", str(root), "sh", "-c", "echo x > /made").ok()
    assert (root / "made").read_text() == "x\n"


@requires(facility.cgroup_v1)
def test_systemd_mode(podman: Podman) -> None:
    """What systemd asks of a container: places to write to, and its hierarchy writable."""
    script = "cat /proc/mounts; touch /run/x /run/lock/x && cd /sys/fs/cgroup/systemd && mkdir x && rmdir x && env"
    lines = [line.split() for line in shell(podman, "--systemd always --cgroupns private", script).splitlines()]
    places = {"/run", "/run/lock", "/tmp", "/var/log/journal"}
    assert {line[1] for line in lines if line[0] == "tmpfs"} >= places
    assert ["container=podman"] in lines


def test_preserved_descriptors(podman: Podman, tmp_path: Path) -> None:
    """The shell opens them as 3 and 4; of the engine's own nothing is there."""
    words = [
        "--rm",
        "--network",
        "none",
        "--preserve-fds",
        "2",
        IMAGE,
        "sh",
        "-c",
        "cat <&3; cat <&4; ls /proc/self/fd",
    ]
    (tmp_path / "one").write_text("one\n")
    (tmp_path / "two").write_text("two\n")
    line = ["sh", "-c", f'exec "$@" 3<{tmp_path}/one 4<{tmp_path}/two', "sh", *podman.run_argv(*words)]
    out = run_command(line, tmp_path / "call", env=podman.env, timeout=60.0).ok().out
    assert out.split()[:2] == ["one", "two"]
    # ls has one more of its own.
    assert {int(word) for word in out.split()[2:]} <= {0, 1, 2, 3, 4, 5}


def test_hooks_of_a_directory(podman: Podman, tmp_path: Path) -> None:
    hook = {
        "version": "1.0.0",
        "hook": {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/state"]},
        "when": {"always": True},
        "stages": ["createRuntime"],
    }
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "one.json").write_text(json.dumps(hook))
    words = ["--hooks-dir", str(tmp_path / "hooks")]
    argv = podman.run_argv("--rm", "--network", "none", IMAGE, "true")
    run_command([argv[0], *words, *argv[1:]], tmp_path / "call", env=podman.env, timeout=60.0).ok()
    assert json.loads((tmp_path / "state").read_text())["status"] in ("creating", "created")
