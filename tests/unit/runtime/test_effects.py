"""What makes a difference between two configurations, and what does not."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from support.bundle import default_config, with_hook, with_mount

from ocirun.bundle import Bundle
from ocirun.explaining.difference import Difference, compare, document, render
from ocirun.explaining.effects import effects
from ocirun.plan import compose

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.facts import Facts
    from ocirun.request import Request

Config = dict[str, Any]

RULES: list[Config] = [
    {"names": ["a", "b"], "action": "SCMP_ACT_ERRNO"},
    {"names": ["c"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
]


def base() -> Config:
    """Something for each change below."""
    config = default_config("true")
    config["process"]["user"]["additionalGids"] = [3, 4]
    config["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 2, "hard": 2},
    ]  # fmt: skip
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "1"}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": copy.deepcopy(RULES)}
    config["linux"]["resources"]["memory"] = {"limit": 1 << 20}
    config["linux"]["resources"]["devices"] += [
        {"allow": True, "type": "c", "major": 10, "minor": 1, "access": "r"},
        {"allow": True, "type": "c", "major": 10, "minor": 2, "access": "r"},
    ]
    with_mount(config, "/data", "bind", "/srv", "rbind", "ro")
    with_mount(config, "/data/deep", "tmpfs", "tmpfs")
    with_hook(config, "prestart", "/bin/one")
    with_hook(config, "prestart", "/bin/two")
    return config


@pytest.fixture
def differences(facts: Facts, make_request: Callable[..., Request]) -> Callable[..., list[Difference]]:
    """Of a changed `base` from `base`; `move` says where the second bundle is."""

    def differing(change: Callable[[Config], object], move: str = "/first") -> list[Difference]:
        second = base()
        change(second)
        plans = []
        for config, folder in ((base(), "/first"), (second, move)):
            plan = compose(Bundle(folder, "", config), facts, make_request("run"))
            plans.append(effects(plan, config, folder))
        return compare(*plans)

    return differing


def at(config: Config, *path: str | int) -> Any:
    """The member at a path."""
    value: Any = config
    for key in path:
        value = value[key]
    return value


def turned(*path: str | int) -> Callable[[Config], object]:
    """Turn a list, or the members of an object, around."""

    def turn(config: Config) -> None:
        value = at(config, *path)
        if isinstance(value, list):
            value.reverse()
            return
        members = list(value.items())
        value.clear()
        value.update(reversed(members))

    return turn


def put(*path: Any) -> Callable[[Config], object]:
    """Set the member at a path to the last of these."""
    return lambda config: at(config, *path[:-2]).__setitem__(path[-2], path[-1])


SAME: dict[str, Callable[[Config], object]] = {
    "members in another order": turned(),
    "of an object with values": turned("linux", "sysctl"),
    "capabilities in another order": turned("process", "capabilities", "bounding"),
    "groups in another order": turned("process", "user", "additionalGids"),
    "limits in another order": turned("process", "rlimits"),
    "masked paths in another order": turned("linux", "maskedPaths"),
    "namespaces in another order": turned("linux", "namespaces"),
    "options of a mount in another order": turned("mounts", 3, "options"),
    "mounts that lie apart": lambda config: config["mounts"].insert(3, config["mounts"].pop(4)),
    "device rules that do not overlap": lambda config: config["linux"]["resources"]["devices"].append(
        config["linux"]["resources"]["devices"].pop(1)
    ),
    "rules of a filter apart": turned("linux", "seccomp", "syscalls"),
    "names of a rule apart": lambda config: config["linux"]["seccomp"].update(
        syscalls=[*({**RULES[0], "names": [name]} for name in "ba"), RULES[1]]
    ),
    "the number of an action": put("linux", "seccomp", "syscalls", 0, "errnoRet", 1),
    "a rule like the default": lambda config: config["linux"]["seccomp"]["syscalls"].append(
        {"names": ["d"], "action": "SCMP_ACT_ALLOW"}
    ),
    "false": put("root", "readonly", False),
    "an empty list": put("linux", "devices", []),
    "a default device": put("linux", "devices", [
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
    ]),
    "rw of a filesystem": lambda config: config["mounts"][3]["options"].append("rw"),
    "an option for mount(8)": lambda config: config["mounts"][3]["options"].append("noauto"),
    "the type of a bind": put("mounts", 7, "type", "none"),
    "the hook's own name": lambda config: config["hooks"]["prestart"][0].pop("args"),
    "the version": put("ociVersion", "1.2.0"),
}  # fmt: skip


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_the_same_effect(differences: Callable[..., list[Difference]], change: Callable[[Config], object]) -> None:
    assert render(differences(change)) == ""


def test_the_same_bundle_elsewhere(differences: Callable[..., list[Difference]]) -> None:
    assert differences(dict.copy, "/second/place") == []
    assert differences(lambda config: config["root"].update(path="/second/place/rootfs"), "/second/place") == []


DIFFERENT: list[tuple[Callable[[Config], object], list[str]]] = [
    (lambda config: config["process"]["args"].append("x"), ["program ~ /process/args/0", '+ argument 1 "x"']),
    (lambda config: config["process"]["env"].append("A=1"), ["program ~ /process/args/0", '+ variable "A=1"']),
    (put("process", "cwd", "/tmp"), [
        "program ~ /process/cwd", '- openat2(root, "/", O_PATH), or mkdirat(2)',
        '+ openat2(root, "/tmp", O_PATH), or mkdirat(2)',
    ]),
    (lambda config: config["process"].pop("noNewPrivileges"), ["lifecycle - /process/noNewPrivileges"]),
    (lambda config: config["process"]["capabilities"]["bounding"].append("CAP_SYS_TIME"),
     ["capabilities ~ /process/capabilities/bounding", "+ bounding CAP_SYS_TIME"]),
    (put("process", "user", "uid", 7),
     ["credentials ~ /process/user/uid", "- setresuid(0, 0, 0)", "+ setresuid(7, 7, 7)"]),
    (put("process", "rlimits", 1, "soft", 1), [
        "rlimits ~ /process/rlimits/1", "- prlimit64(0, RLIMIT_CORE, 2, 2)", "+ prlimit64(0, RLIMIT_CORE, 1, 2)",
    ]),
    (put("hostname", "two"), ["hostname ~ /hostname", '- sethostname("unit")', '+ sethostname("two")']),
    (put("root", "readonly", True), ["rootfs + /root/readonly"]),
    (lambda config: config["linux"]["namespaces"].pop(1), ["namespaces - /linux/namespaces"] * 2),
    (lambda config: config["linux"]["maskedPaths"].pop(), ["masks - /linux/maskedPaths/5"]),
    (put("linux", "resources", "memory", "limit", 2 << 20), [
        "cgroup ~ /linux/resources", '- write("memory.limit_in_bytes", "1048576")',
        '+ write("memory.limit_in_bytes", "2097152")',
    ]),
    (lambda config: config["linux"]["resources"]["devices"].pop(),
     ["cgroup ~ /linux/resources/devices", "- allow c 10:2 r"]),
    (put("linux", "seccomp", "syscalls", 0, "action", "SCMP_ACT_KILL"), [
        "seccomp ~ /linux/seccomp", "- a SCMP_ACT_ERRNO(1)", "- b SCMP_ACT_ERRNO(1)", "+ a SCMP_ACT_KILL",
        "+ b SCMP_ACT_KILL",
    ]),
    (put("linux", "seccomp", "flags", []), ["seccomp ~ /linux/seccomp", "- SECCOMP_FILTER_FLAG_SPEC_ALLOW"]),
    (put("linux", "sysctl", "kernel.shmmax", "2"), [
        "sysctl ~ /linux/sysctl/kernel.shmmax", '- write("/proc/sys/kernel/shmmax", "1")',
        '+ write("/proc/sys/kernel/shmmax", "2")',
    ]),
    (put("mounts", 7, "options", ["rbind"]),
     ["mounts ~ /mounts/7", "- mount_setattr(mount, 0, set MOUNT_ATTR_RDONLY)"]),
    (put("mounts", 7, "source", "/opt"), [
        "mounts ~ /mounts/7", '- open_tree("/srv", OPEN_TREE_CLONE|AT_RECURSIVE)',
        '+ open_tree("/opt", OPEN_TREE_CLONE|AT_RECURSIVE)',
    ]),
    (lambda config: config["mounts"].append(config["mounts"].pop(7)), [
        "mounts ~ /mounts/7 -> /mounts/8", "+ after: mount tmpfs on /data/deep",
        "mounts ~ /mounts/8 -> /mounts/7", "- after: bind mount /srv on /data",
    ]),
    (turned("hooks", "prestart"), [
        "hooks ~ /hooks/prestart/0 -> /hooks/prestart/1", "+ after: run the prestart hook /bin/two",
        "hooks ~ /hooks/prestart/1 -> /hooks/prestart/0", "- after: run the prestart hook /bin/one",
    ]),
    (put("linux", "devices", [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "uid": 5}]), [
        "devices ~ /linux/devices -> /linux/devices/0", "- an existing one gets the mode 438",
        "+ fchownat(node, 5, 0)", "+ an existing one gets the uid 5",
    ]),
    (put("hooks", "prestart", 0, "timeout", 3), ["hooks ~ /hooks/prestart/0", "+ timeout 3 s"]),
    (put("process", "execCPUAffinity", {"initial": "0"}), ["scheduler + /process/execCPUAffinity"]),
    (put("annotations", {"a/b": "1"}), ["annotations + /annotations/a~1b"]),
]  # fmt: skip


def brief(found: list[Difference]) -> list[str]:
    """Subsystem, sign, pointers, and of a change the lines."""
    lines = []
    for each in found:
        pointers = dict.fromkeys(effect.pointer for effect in (each.old, each.new) if effect)
        sign = {"added": "+", "removed": "-"}.get(each.kind, "~")
        lines.append(f"{each.shown.room} {sign} {' -> '.join(pointers)}")
        if sign == "~":
            lines += [f"- {line}" for line in each.lost] + [f"+ {line}" for line in each.gained]
    return lines


@pytest.mark.parametrize(("change", "expected"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_another_effect(
    differences: Callable[..., list[Difference]], change: Callable[[Config], object], expected: list[str]
) -> None:
    found = differences(change)
    assert brief(found) == expected
    assert document(found)["same"] is False
    assert len(document(found)["differences"]) == len(found)
