"""Each rule passes a good config and finds what it is there to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ocirun_spec import rules, sysctl_rules
from ocirun_spec.accept import accept

if TYPE_CHECKING:
    from collections.abc import Callable

Config = dict[str, Any]


def _put(pointer: str, value: object) -> Callable[[Config], None]:
    """A change that sets one place of the config; `-` appends to an array, as in JSON Patch."""

    def change(config: Config) -> None:
        *parents, last = [name.replace("~1", "/") for name in pointer.split("/")[1:]]
        holder: Any = config
        for name in parents:
            holder = holder[int(name)] if isinstance(holder, list) else holder.setdefault(name, {})
        if isinstance(holder, list) and last == "-":
            holder.append(value)
        elif isinstance(holder, list):
            holder[int(last)] = value
        else:
            holder[last] = value

    return change


def _drop(pointer: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        *parents, last = pointer.split("/")[1:]
        holder: Any = config
        for name in parents:
            holder = holder[int(name)] if isinstance(holder, list) else holder[name]
        del holder[int(last) if isinstance(holder, list) else last]

    return change


def _without(*types: str) -> Callable[[Config], None]:
    """Takes namespaces away."""

    def change(config: Config) -> None:
        linux = config["linux"]
        linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] not in types]

    return change


def _joined(kind: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        next(entry for entry in config["linux"]["namespaces"] if entry["type"] == kind)["path"] = "/proc/1/ns/x"

    return change


def _all(*changes: Callable[[Config], None]) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for one in changes:
            one(config)

    return change


def _ids(container: int, host: int, size: int) -> dict[str, int]:
    return {"containerID": container, "hostID": host, "size": size}


_SECCOMP = "/linux/seccomp"

# rule, change to the good config, pointer of the finding, words in its message
_BAD: tuple[tuple[str, Callable[[Config], None], str, str], ...] = (
    ("oci_version", _put("/ociVersion", "banana"), "/ociVersion", '"banana" is not a version'),
    ("oci_version", _put("/ociVersion", "2.0.0"), "/ociVersion", "version 2 of the specification, only 1.x"),
    ("oci_version", _put("/ociVersion", "0.5.0-dev"), "/ociVersion", "version 0"),
    ("root_path", _drop("/root"), "/root", "needs a root filesystem"),
    ("root_path", _put("/root/path", ""), "/root/path", "empty"),
    ("process_command", _put("/process/cwd", "tmp"), "/process/cwd", "not an absolute path"),
    ("process_command", _put("/process/cwd", ""), "/process/cwd", "not an absolute path"),
    ("process_command", _put("/process/args", []), "/process/args", "no program"),
    ("process_command", _drop("/process/args"), "/process/args", "no program"),
    ("process_environment", _put("/process/env/-", "=x"), "/process/env/2", "has no name"),
    ("process_environment", _put("/process/env/-", ""), "/process/env/2", "has no name"),
    ("process_environment", _put("/process/env/-", "a=\0"), "/process/env/2", "NUL"),
    ("process_terminal", _put("/process/consoleSize/width", 65536), "/process/consoleSize/width", "65535"),
    ("process_user", _put("/process/user/uid", 4294967295), "/process/user/uid", "is not an id"),
    ("process_user", _put("/process/user/gid", 4294967295), "/process/user/gid", "is not an id"),
    (
        "process_user",
        _put("/process/user/additionalGids", [4294967294, 4294967295]),
        "/process/user/additionalGids/1",
        "is not an id",
    ),
    ("process_user", _put("/process/user/umask", 0o1000), "/process/user/umask", "nine permission bits"),
    ("process_rlimits", _put("/process/rlimits/0/soft", 4096), "/process/rlimits/0/soft", "above the hard limit"),
    ("process_rlimits", _put("/process/rlimits/0/type", "RLIMIT_X"), "/process/rlimits/0/type", "unknown"),
    (
        "process_rlimits",
        _put("/process/rlimits/-", {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}),
        "/process/rlimits/1/type",
        "twice",
    ),
    ("hostname_namespace", _without("uts"), "/hostname", "no uts namespace"),
    ("hostname_namespace", _all(_without("uts"), _put("/domainname", "d")), "/domainname", "no uts namespace"),
    ("mounts", _put("/mounts/0/destination", ""), "/mounts/0/destination", "no destination"),
    ("mounts", _drop("/mounts/1/gidMappings"), "/mounts/1/gidMappings", "need gidMappings"),
    ("mounts", _put("/mounts/1/uidMappings", []), "/mounts/1/uidMappings", "need uidMappings"),
    ("mounts", _put("/mounts/1/uidMappings/0/size", 0), "/mounts/1/uidMappings/0/size", "no ids"),
    (
        "mounts",
        _all(_without("user"), _put("/mounts/0/options", ["ro", "ridmap"])),
        "/mounts/0/options/1",
        'the option "ridmap" needs',
    ),
    ("hooks", _put("/hooks/createRuntime/0/path", "true"), "/hooks/createRuntime/0/path", "not absolute"),
    ("hooks", _put("/hooks/createRuntime/0/env", ["A", "=x"]), "/hooks/createRuntime/0/env/1", "no name"),
    ("hooks", _put("/hooks/createRuntime/0/env", [""]), "/hooks/createRuntime/0/env/0", "no name"),
    ("annotation_keys", _put("/annotations/", "x"), "/annotations/", "empty"),
    ("namespaces", _put("/linux/namespaces/-", {"type": "pid"}), "/linux/namespaces/8/type", "twice"),
    ("namespaces", _put("/linux/namespaces/0/path", "proc/1/ns/pid"), "/linux/namespaces/0/path", "not absolute"),
    ("namespaces", _put("/linux/namespaces/0/path", ""), "/linux/namespaces/0/path", "not absolute"),
    ("user_namespace", _drop("/linux/uidMappings"), "/linux/uidMappings", "needs uidMappings"),
    ("user_namespace", _put("/linux/gidMappings", []), "/linux/gidMappings", "needs gidMappings"),
    ("user_namespace", _without("user"), "/linux/uidMappings", "need a user namespace"),
    ("user_namespace", _joined("user"), "/linux/gidMappings", "already"),
    ("user_namespace", _put("/linux/uidMappings/-", _ids(999, 5, 1)), "/linux/uidMappings/1/containerID", "overlaps"),
    ("user_namespace", _put("/linux/uidMappings/-", _ids(5000, 99_999, 2)), "/linux/uidMappings/1/hostID", "overlaps"),
    (
        "user_namespace",
        _put("/linux/uidMappings", [_ids(at, at, 1) for at in range(341)]),
        "/linux/uidMappings",
        "340 mappings at most",
    ),
    ("user_namespace", _put("/linux/gidMappings/0/size", 0), "/linux/gidMappings/0/size", "no ids"),
    ("user_namespace", _put("/linux/gidMappings/0/size", 2**32 - 1), "/linux/gidMappings/0/hostID", "32 bits"),
    ("time_offsets", _without("time"), "/linux/timeOffsets", "need a time namespace"),
    ("time_offsets", _joined("time"), "/linux/timeOffsets", "already"),
    ("time_offsets", _put("/linux/timeOffsets/a~1b", {}), "/linux/timeOffsets/a~1b", "neither monotonic nor"),
    ("devices", _put("/linux/devices/0/path", "dev/fuse"), "/linux/devices/0/path", "not absolute"),
    ("devices", _drop("/linux/devices/0/major"), "/linux/devices/0/major", "needs its major number"),
    ("devices", _drop("/linux/devices/0/minor"), "/linux/devices/0/minor", "needs its minor number"),
    ("devices", _put("/linux/devices/0/minor", -1), "/linux/devices/0/minor", "not negative"),
    ("devices", _put("/linux/devices/0/major", 1 << 12), "/linux/devices/0/major", "4095 at most"),
    ("devices", _put("/linux/devices/0/minor", 1 << 20), "/linux/devices/0/minor", "1048575 at most"),
    ("devices", _put("/linux/devices/1/path", "/dev/fuse"), "/linux/devices/1/path", "another device"),
    ("protected_paths", _put("/linux/maskedPaths/-", "proc"), "/linux/maskedPaths/1", "not absolute"),
    ("protected_paths", _put("/linux/readonlyPaths/-", ""), "/linux/readonlyPaths/1", "not absolute"),
    ("protected_paths", _without("mount"), "/linux/maskedPaths", "no mount namespace"),
    ("cgroups_path", _put("/linux/cgroupsPath", "/a/../../b"), "/linux/cgroupsPath", "leaves"),
    ("memory", _put("/linux/resources/memory/swappiness", 101), "/linux/resources/memory/swappiness", "0 and 100"),
    ("cpu_burst", _put("/linux/resources/cpu/burst", 1001), "/linux/resources/cpu/burst", "above the quota"),
    (
        "block_io_weights",
        _drop("/linux/resources/blockIO/weightDevice/0/weight"),
        "/linux/resources/blockIO/weightDevice/0",
        "neither",
    ),
    ("rdma_limits", _put("/linux/resources/rdma/mlx5_1", {}), "/linux/resources/rdma/mlx5_1", "neither"),
    ("unified_names", _put("/linux/resources/unified/a~1b", ""), "/linux/resources/unified/a~1b", "not the name"),
    ("unified_names", _put("/linux/resources/unified/..", ""), "/linux/resources/unified/..", "not the name"),
    ("network_devices", _without("network"), "/linux/netDevices", "need a network namespace"),
    ("sysctl_keys", _put("/linux/sysctl/vm.swappiness", "1"), "/linux/sysctl/vm.swappiness", "change the host"),
    ("sysctl_keys", _put("/linux/sysctl/net~1..~1kernel~1x", "1"), "/linux/sysctl/net~1..~1kernel~1x", "not the name"),
    ("sysctl_keys", _without("network"), "/linux/sysctl/net.ipv4.ip_forward", "no network namespace"),
    ("sysctl_keys", _without("ipc"), "/linux/sysctl/kernel~1shmmax", "no ipc namespace"),
    ("sysctl_keys", _put("/linux/sysctl/kernel.hostname", "x"), "/linux/sysctl/kernel.hostname", "both set"),
    (
        "sysctl_keys",
        _all(_without("user"), _put("/linux/sysctl/user.max_user_namespaces", "1")),
        "/linux/sysctl/user.max_user_namespaces",
        "no user namespace",
    ),
    ("seccomp_actions", _put(_SECCOMP + "/syscalls/0/errnoRet", 1), _SECCOMP + "/syscalls/0/errnoRet", "no errno"),
    ("seccomp_actions", _put(_SECCOMP + "/defaultAction", "SCMP_ACT_KILL"), _SECCOMP + "/defaultErrnoRet", "no errno"),
    ("seccomp_actions", _put(_SECCOMP + "/defaultErrnoRet", 65536), _SECCOMP + "/defaultErrnoRet", "16 bits"),
    ("seccomp_notify", _drop(_SECCOMP + "/listenerPath"), _SECCOMP + "/syscalls/1/action", "needs a listenerPath"),
    ("seccomp_notify", _drop(_SECCOMP + "/listenerPath"), _SECCOMP + "/listenerMetadata", "need a listenerPath"),
    (
        "seccomp_notify",
        _all(_drop(_SECCOMP + "/listenerPath"), _put(_SECCOMP + "/defaultAction", "SCMP_ACT_NOTIFY")),
        _SECCOMP + "/defaultAction",
        "needs a listenerPath",
    ),
)

# changes that a hasty rule would refuse
_GOOD: tuple[Callable[[Config], None], ...] = (
    _put("/ociVersion", "1.0.2-dev"),
    _put("/ociVersion", "1.9.0"),
    _drop("/process"),
    _drop("/linux/seccomp"),
    _put("/process/env/-", "NOEQUALS"),
    _put("/process/rlimits/0", {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1}),
    _all(_drop("/process/terminal"), _put("/process/consoleSize/width", 2**64 - 1)),
    _put("/mounts/0/destination", "relative"),
    _put("/mounts/0/options", ["idmap"]),
    _all(_joined("user"), _put("/linux/uidMappings", []), _put("/linux/gidMappings", [])),
    _put("/linux/uidMappings/-", _ids(1000, 101_000, 1)),
    _put("/linux/uidMappings/0", _ids(0, 2**32 - 2, 2)),
    _all(_joined("network"), _joined("ipc"), _joined("uts")),
    _put("/linux/devices/-", {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}),
    _put("/linux/cgroupsPath", "machine.slice:box:..x"),
    _put("/linux/resources/memory/swappiness", 2**64 - 1),
    _all(_put("/linux/resources/cpu/quota", -1), _put("/linux/resources/cpu/burst", 9000)),
    _put("/linux/sysctl/net.ipv4.conf.eth0~11.forwarding", "1"),
    _put("/linux/sysctl/kernel.domainname", "example.org"),
    _put("/linux/sysctl/fs.mqueue.msg_max", "10"),
    _put("/linux/seccomp/syscalls", []),
    _put("/hooks/unknown", [{"path": 1}, 2]),
    _put("/hooks/createruntime", [{"path": "relative", "env": 5}]),
    _put("/hooks/other", "text"),
)


@pytest.mark.parametrize(
    ("rule", "change", "pointer", "words"), _BAD, ids=lambda value: value if isinstance(value, str) else ""
)
def test_bad_configs_are_found(
    config: Config, rule: str, change: Callable[[Config], None], pointer: str, words: str
) -> None:
    change(config)
    assert accept(config) is None
    findings = list(getattr(rules, rule)(config))
    assert any(found == pointer and words in message for found, message in findings), findings
    assert set(findings) <= set(rules.check(config))
    for _, message in findings:
        assert not message.endswith(".")
        assert "\n" not in message
        assert message[0].islower() or message[0] in '"0123456789' or message.startswith(("RLIMIT_", "SCMP_"))


@pytest.mark.parametrize("change", _GOOD, ids=range(len(_GOOD)))
def test_good_configs_pass(config: Config, change: Callable[[Config], None]) -> None:
    change(config)
    assert accept(config) is None
    assert rules.check(config) == []


def test_the_config_to_start_from_is_good(config: Config) -> None:
    assert rules.check(config) == []


def test_every_rule_has_a_case() -> None:
    assert {rule.__name__ for rule in rules.RULES} == {case[0] for case in _BAD}


def test_a_process_on_its_own_has_its_own_pointers() -> None:
    findings = rules.check_process({"cwd": "tmp", "args": ["x"], "env": ["=1"]})
    assert [pointer for pointer, _ in findings] == ["/cwd", "/env/0"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("kernel", "kernel"),
        ("net/../kernel/x", ""),
        ("net.//.x", ""),
        ("net..x", ""),
        ("/net/x", ""),
        ("net/./x", ""),
        ("", ""),
        ("net/x\0", ""),
    ],
)
def test_parameters_are_files_below_proc_sys(name: str, path: str) -> None:
    assert sysctl_rules.sysctl_path(name) == path
