"""Every flag of `docker run` that reaches the runtime has its effect, seen inside the container.

Not here: flags that only Docker itself obeys (`--name`, `--publish`, `--log-driver`), and what `test_docker.py` shows.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import wait_for
from support.docker import DOCKER_IMAGE as IMAGE
from support.facility import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.command import Output
    from support.docker import Docker

pytestmark = pytest.mark.engines

MIB = 1 << 20
# Nobody drives this device (devices.txt: local use): open(2) says ENXIO where the cgroup allows it, EPERM where not.
LOCAL_USE = (120, 7)
ALLOWED = "No such device or address"
REFUSED = "Operation not permitted"
OPENS = "(: </dev/it) 2>&1 | sed 's/.*: //'; (: >/dev/it) 2>&1 | sed 's/.*: //'"
# The capabilities up to CAP_AUDIT_READ: Docker 20.10 has not heard of the later ones.
KNOWN = (1 << 38) - 1
NAMESPACES = ("cgroup", "ipc", "net", "pid", "uts")


def run(docker: Docker, *words: str) -> Output:
    """`docker run --rm` without a network: options, then the command after `IMAGE`."""
    return docker.run("--rm", "--network", "none", *words)


def shell(docker: Docker, options: str, script: str) -> str:
    """What a script says in a container with these options, separated by spaces."""
    return run(docker, *options.split(), IMAGE, "sh", "-c", script).ok().out


def start(docker: Docker, name: str, *options: str) -> int:
    """A container that waits; the pid of its init."""
    docker.run("--detach", "--network", "none", "--name", name, *options, IMAGE, "sleep", "600").ok()
    return int(docker.inspect(name, "{{.State.Pid}}"))


def status(field: str) -> str:
    """A script that prints one value of /proc/self/status."""
    return f"set -- $(grep '^{field}:' /proc/self/status); echo $2"


LIMITS = [
    ("--memory 64m", "memory/memory.limit_in_bytes", str(64 * MIB)),
    ("--memory 64m --memory-swap 96m", "memory/memory.memsw.limit_in_bytes", str(96 * MIB)),
    ("--memory 64m --memory-reservation 20m", "memory/memory.soft_limit_in_bytes", str(20 * MIB)),
    ("--memory-swappiness 10", "memory/memory.swappiness", "10"),
    ("--memory 64m --oom-kill-disable", "memory/memory.oom_control", "oom_kill_disable 1"),
    ("--cpus 0.5", "cpu/cpu.cfs_quota_us", "50000"),
    ("--cpu-period 50000 --cpu-quota 20000", "cpu/cpu.cfs_period_us", "50000"),
    ("--cpu-period 50000 --cpu-quota 20000", "cpu/cpu.cfs_quota_us", "20000"),
    ("--cpu-shares 300", "cpu/cpu.shares", "300"),
    ("--cpuset-cpus 0", "cpuset/cpuset.cpus", "0"),
    ("--cpuset-mems 0", "cpuset/cpuset.mems", "0"),
    ("--pids-limit 50", "pids/pids.max", "50"),
]


@requires(facility.cgroup_v1)
@pytest.mark.parametrize(("options", "file", "value"), LIMITS)
def test_limit(docker: Docker, options: str, file: str, value: str) -> None:
    assert shell(docker, options, f"cat /sys/fs/cgroup/{file}").splitlines()[0] == value


@requires(facility.cgroup_v1)
@pytest.mark.parametrize("what", ["read-bps", "write-bps", "read-iops", "write-iops"])
def test_limit_of_a_disk(docker: Docker, what: str) -> None:
    disk = next(f"/dev/{name}" for name in sorted(os.listdir("/sys/block")) if Path("/dev", name).exists())
    number = os.stat(disk).st_rdev
    file = f"/sys/fs/cgroup/blkio/blkio.throttle.{what.replace('-', '_')}_device"
    found = shell(docker, f"--device-{what} {disk}:{MIB}", f"cat {file}")
    assert found == f"{os.major(number)}:{os.minor(number)} {MIB}\n"


@requires(facility.cgroup_v1)
def test_blkio_weight_where_the_kernel_has_it(docker: Docker) -> None:
    """Docker looks for the file itself, and passes nothing on when there is none."""
    file = "/sys/fs/cgroup/blkio/blkio.weight"
    done = run(docker, "--blkio-weight", "300", IMAGE, "sh", "-c", f"test ! -e {file} || cat {file}").ok()
    assert (done.out, "Weight discarded" in done.err) == (("300\n", False) if Path(file).exists() else ("", True))


@requires(facility.cgroup_v1)
def test_cgroup_parent(docker: Docker) -> None:
    parent = f"/{docker.cgroup}/deeper"
    lines = shell(docker, f"--cgroup-parent {parent}", "cat /proc/self/cgroup").splitlines()
    assert {line.split(":", 2)[2].rpartition("/")[0] for line in lines if "pids" in line} == {parent}
    for path in Path("/sys/fs/cgroup").glob(f"*{parent}"):
        path.rmdir()


@pytest.mark.parametrize("kind", ["host", "private"])
def test_cgroup_namespace(docker: Docker, kind: str) -> None:
    own = shell(docker, f"--cgroupns {kind}", "readlink /proc/self/ns/cgroup").strip()
    assert (own == os.readlink("/proc/self/ns/cgroup")) is (kind == "host")


SMALL = [
    ("--cap-add SYS_TIME --cap-add NET_ADMIN", status("CapEff"), "00000000aa0435fb"),
    ("--cap-drop ALL --cap-add CHOWN", status("CapEff"), "0000000000000001"),
    ("--cap-drop MKNOD", status("CapBnd"), "00000000a00425fb"),
    ("--security-opt no-new-privileges", status("NoNewPrivs"), "1"),
    ("--ulimit nofile=100:200", "ulimit -Sn; ulimit -Hn", "100 200"),
    ("--ulimit core=0 --ulimit stack=1048576", "ulimit -c; ulimit -s", "0 1024"),
    ("--user nobody", "echo $(id -u):$(id -g)", "65534:65534"),
    ("--user 1000:1001", "echo $(id -u):$(id -g)", "1000:1001"),
    ("--user 1000:1001 --group-add 77 --group-add tty", "id -G", "1001 5 77"),
    ("--read-only --tmpfs /run", "touch /run/new && touch /new 2>/dev/null || echo refused", "refused"),
    ("--sysctl kernel.msgmax=9000", "cat /proc/sys/kernel/msgmax", "9000"),
    ("--sysctl net.ipv4.ip_default_ttl=77", "cat /proc/sys/net/ipv4/ip_default_ttl", "77"),
    ("--shm-size 3m", "df -k /dev/shm | tail -n 1 | awk '{print $2}'", "3072"),
    ("--hostname somewhere", "hostname", "somewhere"),
    ("--domainname example.test", "cat /proc/sys/kernel/domainname", "example.test"),
    ("--add-host there:10.1.2.3", "grep there /etc/hosts", "10.1.2.3 there"),
    ("--workdir /not/there/before", "pwd", "/not/there/before"),
    ("--env A=1 --env B=two", "echo $A $B", "1 two"),
    ("--oom-score-adj 500", "cat /proc/self/oom_score_adj", "500"),
    ("--init", "cat /proc/1/comm", "docker-init"),
    ("--ipc none", "test -d /dev/shm || echo none", "none"),
    (
        "--mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=750",
        "stat -c %a /t; df -k /t | awk 'END{print $2}'",
        "750 1024",
    ),
    ("--volume kept:/v", "touch /v/file && ls /v", "file"),
]


@pytest.mark.parametrize(("options", "script", "said"), SMALL, ids=[row[0] for row in SMALL])
def test_flag(docker: Docker, options: str, script: str, said: str) -> None:
    assert shell(docker, options, script).split() == said.split()
    docker.call("volume", "prune", "--force").ok()


def test_entry_point(docker: Docker) -> None:
    assert run(docker, "--entrypoint", "echo", IMAGE, "the", "words").ok().out == "the words\n"


def test_tmpfs_has_its_options(docker: Docker) -> None:
    script = "grep ' /scratch ' /proc/mounts; stat -c %a /scratch; cp /bin/busybox /scratch/true; /scratch/true"
    done = run(docker, "--tmpfs", "/scratch:size=4m,mode=1770,noexec,uid=1000", IMAGE, "sh", "-c", script).expect(126)
    mount, mode = done.out.splitlines()
    assert {"rw", "nosuid", "nodev", "noexec", "size=4096k", "uid=1000"} <= set(mount.split()[3].split(","))
    assert mode == "1770"


def test_seccomp_profile_of_a_file(docker: Docker, tmp_path: Path) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    script = f"{status('Seccomp')}; mkdir /new 2>/dev/null || echo refused; touch /file && echo made"
    assert shell(docker, f"--security-opt seccomp={profile}", script).split() == ["2", "refused", "made"]


def test_system_paths_unconfined(docker: Docker) -> None:
    """Otherwise there is a mount on each of Docker's masked and read-only paths."""
    script = "awk '$2 ~ \"^/proc/\" {print $2}' /proc/mounts"
    assert {"/proc/sys", "/proc/timer_list"} <= set(shell(docker, "", script).split())
    assert shell(docker, "--security-opt systempaths=unconfined", script) == ""


def test_privileged(docker: Docker) -> None:
    """All capabilities that Docker knows and the daemon has, no filter, no masks, the host's devices, a writable sysfs.

    runc fails where the daemon lacks one of them, as on a machine without CAP_SYS_RESOURCE.
    """
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd:"))
    script = f"{status('CapEff')}; {status('Seccomp')}; grep -c ' /proc/sys ' /proc/mounts; "
    script += "awk '$2 == \"/sys\" {print substr($4, 1, 2)}' /proc/mounts; ls /dev"
    capabilities, seccomp, masked, sysfs, *devices = shell(docker, "--privileged", script).split()
    assert int(capabilities, 16) & KNOWN == int(own.split()[1], 16) & KNOWN
    assert (seccomp, masked, sysfs) == ("0", "0", "rw")
    hosts = {path.name for path in Path("/dev").iterdir() if stat.S_ISBLK(path.stat().st_mode)}
    assert hosts <= set(devices)


@requires(facility.cgroup_v1)
def test_privileged_may_use_every_device(docker: Docker) -> None:
    """runc: as above."""
    assert shell(docker, "--privileged", "cat /sys/fs/cgroup/devices/devices.list") == "a *:* rwm\n"


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device node that no container gets by default."""
    os.mknod(tmp_path / "node", stat.S_IFCHR | 0o666, os.makedev(*LOCAL_USE))
    return tmp_path / "node"


@pytest.mark.parametrize(
    ("access", "reading", "writing"),
    [("", ALLOWED, ALLOWED), (":rwm", ALLOWED, ALLOWED), (":r", ALLOWED, REFUSED), (":w", REFUSED, ALLOWED)],
    ids=["default", "rwm", "r", "w"],
)
def test_device(docker: Docker, device: Path, access: str, reading: str, writing: str) -> None:
    assert shell(docker, f"--device {device}:/dev/it{access}", OPENS).splitlines() == [reading, writing]


@pytest.mark.parametrize(
    ("rule", "said"), [("c 120:* rwm", ALLOWED), ("c 120:7 r", ALLOWED), ("c 120:8 rwm", REFUSED), ("", REFUSED)]
)
def test_device_cgroup_rule(docker: Docker, rule: str, said: str) -> None:
    major, minor = LOCAL_USE
    script = f"mknod /dev/it c {major} {minor}; {OPENS}"
    options = ["--device-cgroup-rule", rule] if rule else []
    assert run(docker, *options, IMAGE, "sh", "-c", script).ok().out.splitlines()[0] == said


@pytest.mark.parametrize("kind", ["ipc", "pid", "uts"])
def test_namespace_of_the_host(docker: Docker, kind: str) -> None:
    script = f"readlink /proc/self/ns/{kind}"
    assert shell(docker, f"--{kind} host", script).strip() == os.readlink(f"/proc/self/ns/{kind}")
    assert shell(docker, "", script).strip() != os.readlink(f"/proc/self/ns/{kind}")


@pytest.mark.parametrize(("kind", "namespace"), [("ipc", "ipc"), ("pid", "pid"), ("network", "net")])
def test_namespace_of_another_container(docker: Docker, kind: str, namespace: str) -> None:
    pid = start(docker, "owner", "--ipc", "shareable")
    script = "for each in cgroup ipc net pid uts; do readlink /proc/self/ns/$each; done"
    found = docker.run("--rm", f"--{kind}", "container:owner", IMAGE, "sh", "-c", script).ok().out.split()
    owners = [os.readlink(f"/proc/{pid}/ns/{each}") for each in NAMESPACES]
    # The cgroup namespace is the host's where Docker's default for cgroup v1 holds.
    shared = {each for each, own, other in zip(NAMESPACES, found, owners, strict=True) if own == other}
    assert shared - {"cgroup"} == {namespace}


def test_shared_memory_of_another_container(docker: Docker) -> None:
    start(docker, "owner", "--ipc", "shareable")
    docker.call("exec", "owner", "sh", "-c", "echo seen > /dev/shm/file").ok()
    assert shell(docker, "--ipc container:owner", "cat /dev/shm/file") == "seen\n"


def test_volumes_of_another_container(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")
    start(docker, "owner", "--volume", f"{tmp_path}:/data")
    assert shell(docker, "--volumes-from owner:ro", "cat /data/file; touch /data/new || true") == "content\n"
    assert not (tmp_path / "new").exists()


@contextmanager
def mounted(*argv: str) -> Iterator[None]:
    """A mount of the host; the last word is where it is."""
    subprocess.run(["mount", *argv], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", argv[-1]], check=True, timeout=20)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a shared mount, with a folder in it."""
    folder = tmp_path / "shared"
    (folder / "sub").mkdir(parents=True)
    with mounted("--bind", str(folder), str(folder)):
        subprocess.run(["mount", "--make-shared", str(folder)], check=True, timeout=20)
        yield folder


@pytest.mark.parametrize(
    ("options", "inwards", "outwards"),
    [
        ("--volume {}:/data:rshared", True, True),
        ("--volume {}:/data:rslave", True, False),
        ("--volume {}:/data:rprivate", False, False),
        ("--volume {}:/data", False, False),
        ("--mount type=bind,source={},target=/data,bind-propagation=shared", True, True),
        ("--mount type=bind,source={},target=/data,bind-propagation=slave", True, False),
        ("--mount type=bind,source={},target=/data,bind-propagation=private", False, False),
    ],
)
def test_propagation(docker: Docker, shared: Path, options: str, inwards: bool, outwards: bool) -> None:
    start(docker, "mounts", "--cap-add", "SYS_ADMIN", *options.format(shared).split())
    sub = shared / "sub"
    with mounted("-t", "tmpfs", "tmpfs", str(sub)):
        (sub / "of-host").touch()
        assert docker.call("exec", "mounts", "ls", "/data/sub").ok().out == ("of-host\n" if inwards else "")
    # Docker's own filter and capabilities allow mount(2) with CAP_SYS_ADMIN.
    docker.call("exec", "mounts", "sh", "-c", "mount -t tmpfs tmpfs /data/sub && touch /data/sub/of-container").ok()
    assert os.listdir(sub) == (["of-container"] if outwards else [])
    docker.call("exec", "mounts", "umount", "/data/sub").ok()
    docker.call("rm", "--force", "mounts").ok()
    wait_for(lambda: not os.path.ismount(sub), what="nothing being mounted")


@pytest.mark.parametrize(
    ("option", "said"), [("", "below\n"), (",bind-nonrecursive=true", ""), (",readonly", "below\n")]
)
def test_bind_takes_what_is_mounted_below(docker: Docker, shared: Path, option: str, said: str) -> None:
    with mounted("-t", "tmpfs", "tmpfs", str(shared / "sub")):
        (shared / "sub" / "below").touch()
        mount = f"--mount type=bind,source={shared},target=/data{option}"
        assert shell(docker, mount, "ls /data/sub; touch /data/new 2>/dev/null; true") == said
    assert (shared / "new").exists() is (option != ",readonly")


def test_another_runtime(docker: Docker) -> None:
    """`runc` is the name that Docker always knows, whatever the default is."""
    start(docker, "other", "--runtime", "runc")
    assert docker.inspect("other", "{{.HostConfig.Runtime}}") == "runc"
    failed = docker.run("--rm", "--runtime", "unheard-of", IMAGE, "true").expect(125)
    assert "unheard-of" in failed.err


def test_stop_signal_and_stop_timeout(docker: Docker) -> None:
    script = "trap 'exit 9' USR1; trap '' TERM; echo ready; while :; do usleep 20000; done"
    words = ("--detach", "--network", "none", "--stop-signal", "USR1", "--stop-timeout", "60", "--name", "asked")
    docker.run(*words, IMAGE, "sh", "-c", script).ok()
    wait_for(lambda: "ready" in docker.call("logs", "asked").ok().out, what="the trap being set")
    docker.call("stop", "asked").ok()
    assert docker.inspect("asked", "{{.State.ExitCode}}") == "9"
