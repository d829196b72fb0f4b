"""What the program finds, compared with the config: names, users, rights, limits, devices, protected paths."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, status_lines
from support.bundle import default_config, with_args, with_mount, with_shell

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

CAP_SYS_ADMIN = 21
CAP_NUMBERS = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10}


def bits(*names: str) -> int:
    return sum(1 << CAP_NUMBERS[name] for name in names)


def test_names(box: Box) -> None:
    config = default_config()
    config["hostname"], config["domainname"] = "inner", "example.org"
    assert box.shell("hostname; cat /proc/sys/kernel/domainname", config) == "inner\nexample.org\n"
    assert os.uname().nodename != "inner"


def test_user_and_groups(box: Box) -> None:
    config = default_config()
    config["process"]["user"] = {"uid": 12, "gid": 34, "additionalGids": [5, 600, 4294967294], "umask": 0o77}
    status = status_lines(box.shell("cat /proc/self/status", config))
    assert status["Uid"].split() == ["12"] * 4
    assert status["Gid"].split() == ["34"] * 4
    assert status["Groups"].split() == ["5", "600", "4294967294"]
    assert status["Umask"] == "0077"


def test_no_groups_of_the_caller(box: Box) -> None:
    assert status_lines(box.shell("cat /proc/self/status"))["Groups"] == ""


def test_an_unset_umask_is_the_callers(box: Box) -> None:
    box.write(default_config("sh", "-c", "umask"))
    before = os.umask(0o123)
    try:
        result = box.runtime.run(box.ident, box.bundle).ok()
    finally:
        os.umask(before)
    assert result.out == "0123\n"


@pytest.mark.parametrize(
    ("env", "uid", "home"),
    [([], 0, "/root"), ([], 65534, "/"), ([], 77, "/"), (["HOME=/here"], 0, "/here"), (["HOME="], 0, "/root")],
)
def test_home(box: Box, env: list[str], uid: int, home: str) -> None:
    config = changed(default_config(), "/process/user/uid", uid)
    config["process"]["env"] += env
    assert box.shell("echo $HOME", config) == f"{home}\n"


def test_args_and_env_are_bytes(box: Box) -> None:
    config = default_config("sh", "-c", 'printf "%s|" "$@" "$X" "$Y"', "sh", "", "a b", "ä\n", "$HOME", "'")
    config["process"]["env"] += ["X=1=2", "Y=old", "Y=ne w"]
    assert box.run(config).ok().out == "|a b|ä\n|$HOME|'|1=2|ne w|"


def test_cwd_is_made(box: Box) -> None:
    config = changed(default_config(), "/process/cwd", "/made/deep")
    assert box.shell("pwd", config) == "/made/deep\n"


SETS = {
    "CapBnd": "bounding",
    "CapPrm": "permitted",
    "CapEff": "effective",
    "CapInh": "inheritable",
    "CapAmb": "ambient",
}
CAPABILITIES: list[tuple[dict[str, list[str]], int, dict[str, int]]] = [
    ({}, 0, {}),
    ({"bounding": ["CAP_KILL"]}, 0, {"CapBnd": bits("CAP_KILL")}),
    (
        {kind: ["CAP_KILL", "CAP_CHOWN"] for kind in SETS.values()},
        0,
        dict.fromkeys(SETS, bits("CAP_KILL", "CAP_CHOWN")),
    ),
    (
        {kind: ["CAP_NET_BIND_SERVICE"] for kind in SETS.values()},
        1000,
        dict.fromkeys(SETS, bits("CAP_NET_BIND_SERVICE")),
    ),
    (
        {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]},
        1000,
        {"CapBnd": bits("CAP_KILL")},
    ),
]


@pytest.mark.parametrize(("sets", "uid", "expected"), CAPABILITIES)
def test_capabilities(box: Box, sets: dict[str, list[str]], uid: int, expected: dict[str, int]) -> None:
    """As the program has them after execve(2), which follows capabilities(7)."""
    config = changed(default_config("cat", "/proc/self/status"), "/process/capabilities", sets)
    config["process"]["user"]["uid"] = uid
    status = status_lines(box.run(config).ok().out)
    assert {name: int(status[name], 16) for name in SETS} == {name: expected.get(name, 0) for name in SETS}


def test_an_unknown_capability_is_a_warning(box: Box) -> None:
    config = changed(default_config(), "/process/capabilities/bounding", ["CAP_KILL", "CAP_MAGIC"])
    result = box.run(with_args(config, "grep", "CapBnd", "/proc/self/status")).ok()
    assert int(result.out.split()[1], 16) == bits("CAP_KILL")
    warnings = [line["msg"] for line in result.log if line["level"] == "warning"]
    assert any("CAP_MAGIC" in text and "/process/capabilities" in text for text in warnings)


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privileges(box: Box, value: bool) -> None:
    config = changed(default_config(), "/process/noNewPrivileges", value)
    assert status_lines(box.shell("cat /proc/self/status", config))["NoNewPrivs"] == str(int(value))


def test_rlimits(box: Box) -> None:
    limits = {
        "RLIMIT_NOFILE": (64, 128),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_CPU": (3600, 7200),
        "RLIMIT_AS": (1 << 40, 1 << 41),
    }
    config = default_config("cat", "/proc/self/limits")
    config["process"]["rlimits"] = [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in limits.items()]
    out = box.run(config).ok().out
    titles = {"RLIMIT_NOFILE": "Max open files", "RLIMIT_CORE": "Max core file size", "RLIMIT_CPU": "Max cpu time"}
    for name, title in (titles | {"RLIMIT_AS": "Max address space"}).items():
        line = next(line for line in out.splitlines() if line.startswith(title))
        assert line.removeprefix(title).split()[:2] == [str(value) for value in limits[name]]


def test_oom_score(box: Box) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    config = changed(default_config("cat", "/proc/self/oom_score_adj"), "/process/oomScoreAdj", own + 7)
    assert box.run(config).ok().out == f"{own + 7}\n"
    del config["process"]["oomScoreAdj"]
    assert box.run(config).ok().out == f"{own}\n"


def test_sysctls(box: Box) -> None:
    config = default_config()
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel/shmmni": "123"}
    config["linux"]["sysctl"]["net.ipv4.ping_group_range"] = "0 5"
    out = box.shell("cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni net/ipv4/ping_group_range", config)
    assert out.split() == ["1", "123", "0", "5"]


def test_loopback_is_up(box: Box) -> None:
    assert "UP" in box.shell("ip link show lo").split("<")[1].split(">")[0].split(",")


def test_default_devices(box: Box) -> None:
    lines = box.shell("cd /dev; stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty").splitlines()
    numbers = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    assert lines == [f"{name} character special file {number} 666 0:0" for name, number in numbers.items()]
    links = box.shell("cd /dev; for n in fd stdin stdout stderr ptmx; do readlink $n; done").split()
    assert links == ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"]
    assert "console" not in box.shell("ls /dev").split()


def device(path: str, kind: str, **members: Any) -> dict[str, Any]:
    return {"path": path, "type": kind, **members}


def test_configured_devices(box: Box) -> None:
    config = default_config()
    config["linux"]["devices"] = [
        device("/dev/mine", "c", major=1, minor=5, fileMode=0o640, uid=7, gid=8),
        device("/dev/deep/block", "b", major=7, minor=99, fileMode=0o600),
        device("/dev/pipe", "p", fileMode=0o622),
        device("/dev/null", "c", major=1, minor=3, fileMode=0o606),
        device("/tmp/unbuffered", "u", major=1, minor=3),
    ]
    config["process"]["user"]["umask"] = 0o77
    names = "/dev/mine /dev/deep/block /dev/pipe /dev/null /tmp/unbuffered"
    assert box.shell(f"stat -c '%n %F %t:%T %a %u:%g' {names}", config).splitlines() == [
        "/dev/mine character special file 1:5 640 7:8",
        "/dev/deep/block block special file 7:63 600 0:0",
        "/dev/pipe fifo 0:0 622 0:0",
        "/dev/null character special file 1:3 606 0:0",
        "/tmp/unbuffered character special file 1:3 666 0:0",
    ]


def test_a_device_that_is_there_already_is_kept(box: Box) -> None:
    os.mknod(box.rootfs / "dev" / "mine", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    config = default_config()
    config["mounts"] = [one for one in config["mounts"] if not one["destination"].startswith("/dev")]
    config["linux"]["devices"] = [device("/dev/mine", "c", major=1, minor=3)]
    assert box.shell("stat -c %t:%T /dev/mine", config) == "1:3\n"


def test_masked_paths(box: Box) -> None:
    config = default_config()
    config["linux"]["maskedPaths"] = ["/proc/kcore", "/etc/passwd", "/srv", "/no/such", "/proc/acpi", "/var"]
    (box.rootfs / "srv" / "secret").write_text("x")
    (box.rootfs / "var" / "secret").write_text("x")
    script = "cat /etc/passwd /proc/kcore; ls -A /srv /var; touch /srv/x /var/x 2>/dev/null || echo refused"
    out = box.shell(script, config)
    assert out.split() == ["/srv:", "/var:", "refused"]


def test_readonly_paths(box: Box) -> None:
    config = default_config()
    config["linux"]["readonlyPaths"] = ["/etc", "/proc/sys", "/no/such", "/etc/passwd"]
    places = "/etc/x /etc/passwd /proc/sys/kernel/shmmni /tmp/x"
    assert box.shell(f"for f in {places}; do (echo 1 >> $f) 2>/dev/null && echo $f; done; true", config) == "/tmp/x\n"


def test_a_readonly_root(box: Box) -> None:
    config = with_mount(default_config(), "/tmp", "tmpfs", "tmpfs")
    config["root"]["readonly"] = True
    assert (
        box.shell("for d in / /etc /tmp /dev/shm; do touch $d/x 2>/dev/null && echo $d; done; true", config)
        == "/tmp\n/dev/shm\n"
    )


@pytest.mark.parametrize("options", [[], ["--no-pivot"], ["--no-new-keyring"]])
def test_the_root_is_the_containers(box: Box, options: list[str]) -> None:
    script = f"test ! -e {box.directory} && cd / && cd ../.. && pwd && ls"
    result = box.run(with_shell(default_config(), script), *options).ok()
    assert result.out.split() == ["/", *sorted(path.name for path in box.rootfs.iterdir())]


SECCOMP = [
    ("SCMP_ACT_ERRNO", None, "mkdir /tmp/x 2>&1", "mkdir: can't create directory '/tmp/x': Operation not permitted\n"),
    ("SCMP_ACT_ERRNO", 28, "mkdir /tmp/x 2>&1", "mkdir: can't create directory '/tmp/x': No space left on device\n"),
    ("SCMP_ACT_KILL_PROCESS", None, "mkdir /tmp/x; echo $?", "159\n"),
]


@pytest.mark.parametrize("no_new_privs", [True, False])
@pytest.mark.parametrize(("action", "errno", "script", "out"), SECCOMP)
def test_seccomp(box: Box, action: str, errno: int | None, script: str, out: str, no_new_privs: bool) -> None:
    config = changed(default_config(), "/process/noNewPrivileges", no_new_privs)
    rule: dict[str, Any] = {"names": ["mkdir", "mkdirat"], "action": action}
    if errno is not None:
        rule["errnoRet"] = errno
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    lines = box.shell(f"{script}; cat /proc/self/status", config)
    status = status_lines(lines)
    assert (lines.startswith(out), status["Seccomp"], status["NoNewPrivs"]) == (True, "2", str(int(no_new_privs)))
    assert not int(status["CapEff"], 16) >> CAP_SYS_ADMIN & 1, "it is only there to load the filter"


def test_the_program_begins_a_session_and_nothing_is_left_open(box: Box) -> None:
    out = box.run(default_config("sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat; exec ls /proc/self/fd")).ok().out.split()
    assert out[:3] == ["1", "1", "1"]
    assert out[3:] == ["0", "1", "2", "3"], "the last one is the folder that ls has opened"
