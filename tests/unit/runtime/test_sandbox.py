"""The configuration of a sandbox, from options and surroundings that nobody has looked at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import bundle, cli, foreground, options, sandbox
from ocirun.errors import Failure
from ocirun.linux.seccomp.compile import compile_profile
from ocirun_spec import jsontext, problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.cli import Arguments

Config = dict[str, Any]

FILES = {"/etc/passwd": "file", "/srv/data": "directory", "/srv/file": "file"}
DIRECTORIES = ("/", "/tmp", "/run", "/var", "/var/tmp", "/home", "/home/me", "/mnt", "/proc", "/dev", "/sys", "/srv")


def kind(path: str) -> str:
    return "directory" if path in DIRECTORIES else FILES.get(path, "")


def read(*words: str) -> Arguments:
    command = next(each for each in options.COMMANDS if each.name == "do")
    return cli._read_command(command, list(words))


@pytest.fixture
def around() -> sandbox.Surroundings:
    """A plain user at home, on a host with a few mounts."""
    known = sandbox.Surroundings()
    known.root, known.state, known.cwd = "/", "/srv/state", "/home/me"
    known.uid, known.gid = 1000, 1001
    known.privileged = known.limited = known.terminal = False
    known.userns = True
    known.environ = {"LANG": "de_DE.UTF-8", "SECRET": "x"}
    known.mounted = ["/", "/proc", "/proc/sys/x", "/dev", "/dev/pts", "/run", "/home", "/mnt/a/b", "/mnt/c", "/gone"]
    known.seccomp = None
    known.inside = known.outside = kind
    known.reachable = known.enters = lambda _path, _uid, _gid: True
    return known


@pytest.fixture
def compose(around: sandbox.Surroundings) -> Callable[..., Config]:
    """``compose(*words, **changed)``: what `do` composes, after the checks of each configuration."""

    def make(*words: str, **changed: Any) -> Config:
        for name, value in changed.items():
            setattr(around, name, value)
        config = sandbox.compose(read(*words), around)
        text = jsontext.pretty(config)
        assert problems.explain(text, "config.json") == []
        return bundle.checked("/", text, jsontext.loads(text), "config.json").config

    return make


def mounts(config: Config) -> dict[str, tuple[str, str, list[str]]]:
    return {each["destination"]: (each["type"], each["source"], each["options"]) for each in config["mounts"]}


CLOSED = ["rbind", "rro", "rnosuid", "rnodev"]


def test_a_plain_user(compose: Callable[..., Config]) -> None:
    config = compose("true", "-h", "--user")
    process = config["process"]
    assert process["args"] == ["true", "-h", "--user"]
    assert process["user"] == {"uid": 1000, "gid": 1001}
    assert process["cwd"] == "/home/me"
    assert sorted(process["env"]) == [
        "HOME=/tmp", "LANG=de_DE.UTF-8", f"PATH={sandbox.SEARCHED}", "TERM=dumb",
    ]  # fmt: skip
    assert set(map(str, process["capabilities"].values())) == {"[]"}
    assert process["noNewPrivileges"] is True
    assert config["root"] == {"path": "/", "readonly": True}
    linux = config["linux"]
    assert linux["uidMappings"] == [{"containerID": 1000, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 1001, "hostID": 1001, "size": 1}]
    assert {each["type"] for each in linux["namespaces"]} == {
        "user", "pid", "network", "ipc", "uts", "mount", "cgroup",
    }  # fmt: skip
    assert "memory" not in linux["resources"]
    assert {"/srv/state", "/sys/fs/cgroup", "/proc/kcore"} <= set(linux["maskedPaths"])
    asked: list[tuple[str, int, int]] = []
    compose("--user", "0", "true", reachable=lambda *words: asked.append(words))
    assert {each[1:] for each in asked} == {(1000, 1001)}, "who he is on the host"
    assert compose("true", reachable=lambda *_: False)["linux"]["maskedPaths"][-1] != "/srv/state"


def test_root(compose: Callable[..., Config]) -> None:
    root = {"privileged": True, "limited": True, "uid": 0, "gid": 0}
    config = compose("true", **root)
    assert config["process"]["user"] == {"uid": 65534, "gid": 65534}
    assert config["linux"]["uidMappings"] == [{"containerID": 65534, "hostID": 65534, "size": 1}]
    assert config["linux"]["resources"]["memory"] == {"limit": 512 << 20}
    assert config["linux"]["resources"]["pids"] == {"limit": 256}
    without = compose("true", userns=False)
    assert "user" not in {each["type"] for each in without["linux"]["namespaces"]}
    assert "uidMappings" not in without["linux"]


@pytest.mark.parametrize(
    ("privileged", "words", "expected"),
    [
        (False, "0", ((0, 1000), (0, 1001))),
        (False, "7", ((7, 1000), (1001, 1001))),
        (False, "7:8", ((7, 1000), (8, 1001))),
        (True, "7", ((7, 7), (7, 7))),
        (True, "0:8", ((0, 0), (8, 8))),
    ],
)
def test_user(compose: Callable[..., Config], privileged: bool, words: str, expected: Any) -> None:
    """(inside, on the host) of uid and gid: only root chooses who he is on the host."""
    linux = compose("--user", words, "true", privileged=privileged)["linux"]
    maps = [linux[f"{name}Mappings"][0] for name in ("uid", "gid")]
    assert tuple((each["containerID"], each["hostID"]) for each in maps) == expected


def test_what_is_mounted_in_the_root_is_read_only(compose: Callable[..., Config]) -> None:
    config = compose("true")
    found = mounts(config)
    assert [path for path, each in found.items() if each[2] == CLOSED] == ["/home", "/mnt"]
    assert list(found)[:2] == ["/home", "/mnt"], "before what is mounted below them"
    assert config["linux"]["rootfsPropagation"] == "rprivate"
    image = compose("true", root="/srv/image", mounted=["/", "/srv/image", "/srv/image/mnt/x", "/srv/image2/home"])
    assert mounts(image)["/mnt"] == ("bind", "/srv/image/mnt", CLOSED)
    assert "/home" not in mounts(image)


def test_what_is_put_in(compose: Callable[..., Config]) -> None:
    words = ("--bind", "/srv/data:/tmp/a/b", "--ro-bind", "/srv/file:/etc/passwd", "--ro-bind", "/srv/data:/mnt")
    found = mounts(compose(*words, "--tmpfs", "/home/me/", "--bind", "/srv/data:/run", "--memory", "1m", "true"))
    assert found["/tmp/a/b"] == ("bind", "/srv/data", ["rbind", "rnosuid", "rnodev"])
    assert found["/etc/passwd"] == ("bind", "/srv/file", CLOSED)
    assert found["/mnt"] == ("bind", "/srv/data", CLOSED)
    assert found["/home/me"] == ("tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777", f"size={1 << 20}"])
    assert found["/run"][0] == "bind"
    order = list(found)
    assert order.index("/home") < order.index("/home/me")
    assert order.index("/tmp") < order.index("/tmp/a/b")
    assert "size" not in str(mounts(compose("--memory=-1", "true"))["/tmp"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "/home/me"),
        (("--tmpfs", "/home"), "/"),
        (("--cwd", "/srv"), "/srv"),
        (("--cwd", "/tmp/new"), "/tmp/new"),
        (("--cwd", "/"), "/"),
    ],
)
def test_cwd(compose: Callable[..., Config], words: tuple[str, ...], expected: str) -> None:
    assert compose(*words, "true")["process"]["cwd"] == expected


def test_cwd_where_the_caller_may_not_be(compose: Callable[..., Config]) -> None:
    for changed in ({"cwd": "/proc/self"}, {"cwd": "/gone"}, {"cwd": ""}, {"reachable": lambda *_: False}):
        assert compose("true", **{"cwd": "/home/me", **changed})["process"]["cwd"] == "/"


def test_network_and_limits(compose: Callable[..., Config]) -> None:
    config = compose("--network", "host", "--pids=-1", "--cpus", "0.25", "--hostname", "x", "--tty", "true")
    assert "network" not in {each["type"] for each in config["linux"]["namespaces"]}
    assert mounts(config)["/sys"] == ("bind", "/sys", [*CLOSED, "rnoexec"])
    assert config["linux"]["resources"]["pids"] == {"limit": -1}
    assert config["linux"]["resources"]["cpu"] == {"quota": 25000, "period": 100000}
    assert config["hostname"] == "x"
    assert config["process"]["terminal"] is True
    assert compose("--tty=false", "true", terminal=True)["process"]["terminal"] is False
    own = {"defaultAction": "SCMP_ACT_ALLOW"}
    assert compose("true", seccomp=own)["linux"]["seccomp"] == own


def test_the_filter_compiles(compose: Callable[..., Config]) -> None:
    profile = compose("true")["linux"]["seccomp"]
    assert compile_profile(profile, "/linux/seccomp")
    refused = {name for rule in profile["syscalls"] for name in rule["names"] if "args" not in rule}
    assert {
        "mount", "init_module", "kexec_load", "bpf", "perf_event_open", "keyctl", "ptrace", "userfaultfd",
    } <= refused  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--network bridge", "--network takes none or host, not 'bridge'"),
        ("--user me", "--user: 'me' is not a whole number up to 4294967294"),
        ("--user 4294967295", "--user: '4294967295' is not a whole number"),
        ("--pids many", "--pids: 'many' is not a whole number"),
        ("--memory lots", "--memory: 'lots' is not a size"),
        ("--cpus 0", "--cpus: '0' is not a number above 0"),
        ("--cpus 1.", "--cpus: '1.' is not a number above 0"),
        ("--env PATH", "--env: 'PATH' is not NAME=VALUE"),
        ("--bind /nowhere", "--bind: bind /nowhere: there is no /nowhere"),
        ("--ro-bind :/tmp/x", "--ro-bind: bind :/tmp/x: there is no source"),
        ("--bind /srv/data:/new", "--bind: mount on /new: the sandbox has no such path"),
        ("--bind /srv/data:/", "--bind: '/' is not an absolute path below the root"),
        ("--bind /srv/data:/tmp/../etc", "--bind: '/tmp/../etc' is not an absolute path"),
        ("--bind /srv/data:/etc/passwd", "--bind: mount a directory on /etc/passwd: that is a file"),
        ("--ro-bind /srv/file:/mnt", "--ro-bind: mount a file on /mnt: that is a directory"),
        ("--ro-bind /srv/data:/mnt --tmpfs /mnt/no", "--tmpfs: mount on /mnt/no: the sandbox has no such path"),
        ("--tmpfs relative", "--tmpfs: 'relative' is not an absolute path"),
        ("--cwd /new", "--cwd: work in /new: the sandbox has no such directory"),
    ],
)
def test_refused(compose: Callable[..., Config], words: str, said: str) -> None:
    with pytest.raises(Failure) as refused:
        compose(*words.split(), "true")
    assert str(refused.value).startswith(said)


def test_a_command_is_needed() -> None:
    with pytest.raises(Failure, match="do takes"):
        read("--")


def test_what_a_process_catches() -> None:
    """Python has a handler for SIGINT and none for SIGQUIT."""
    assert foreground.catches(os.getpid(), 2)
    assert not foreground.catches(os.getpid(), 3)
    assert not foreground.catches(1 << 22, 2)
