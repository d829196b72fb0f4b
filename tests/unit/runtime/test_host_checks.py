"""The checks of `validate` that ask the host, what it does not implement, and the order and form of what is told."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed
from support.bundle import mount
from unit.runtime.judged import Image, elf

from ocirun import checks, hints
from ocirun.bundle import Bundle
from ocirun.checks import cgroups, ids, judging, kernel, report, security
from ocirun.errors import Failure
from ocirun.kernel import raw
from ocirun.linux import idmap, lsm
from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy
from ocirun_spec.problem import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun.facts import Facts

IDS = [{"containerID": 0, "hostID": 100000, "size": 10}]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    made = Image(tmp_path)
    made.file("bin/prog", elf())
    return made


MISTAKES: list[tuple[str, Any, str, str, str]] = [
    # pointer to change, value, pointer that is told, what stands at its place in the text, hint
    ("/linux/maskedPath", [], "/linux/maskedPath", '"maskedPath"', "did you mean maskedPaths?"),
    ("/process/noNewPrivilege", True, "/process/noNewPrivilege", '"noNew', "did you mean noNewPrivileges?"),
    ("/process/cwd", 5, "/process/cwd", "5,", ""),
    ("/process/user/uid", "0", "/process/user/uid", '"0"', "write the number without quotes"),
    (
        "/process/capabilities/bounding",
        ["NET_ADMIN"],
        "/process/capabilities/bounding/0",
        '"NET',
        "mean CAP_NET_ADMIN?",
    ),
    (
        "/process/rlimits",
        [{"type": "NOFILE", "soft": 1, "hard": 1}],
        "/process/rlimits/0/type",
        '"NOF',
        "RLIMIT_NOFILE?",
    ),
    ("/linux/namespaces/-", {"type": "net"}, "/linux/namespaces/6/type", '"net"', "did you mean network?"),
    ("/linux/namespaces/-", {"type": "mounts"}, "/linux/namespaces/6/type", '"mounts"', "did you mean mount?"),
    ("/mounts/-", mount("data", "tmpfs", "t"), "/mounts/7/destination", '"data"', "write /data"),
    ("/mounts/-", mount("/x", "tmpfs", "t", "noexe"), "/mounts/7/options/0", '"noexe"', "did you mean noexec?"),
    ("/mounts/-", {"destination": "/x", "source": "/etc"}, "/mounts/7", "{", "add the option rbind"),
    ("/mounts/-", mount("/x", "bind", "/etc", "bind", "size=1"), "/mounts/7/options", "[", ""),
    ("/mounts/-", mount("/", "tmpfs", "t"), "/mounts/7", "{", ""),
    ("/ociVersion", "1.9.0", "/ociVersion", '"1.9.0"', ""),
    ("/windows", {"layerFolders": ["x"]}, "/windows", "{", "this runtime refuses it"),
    ("/process/commandLine", "dir", "/process/commandLine", '"dir"', "this runtime refuses it"),
    ("/process/scheduler", {"policy": "SCHED_FIFO", "priority": 200}, "/process/scheduler/priority", "200", ""),
    ("/process/execCPUAffinity", {"initial": "3-1"}, "/process/execCPUAffinity/initial", '"3-1"', ""),
    ("/linux/memoryPolicy", {"mode": "MPOL_BIND"}, "/linux/memoryPolicy/nodes", "{", ""),
    ("/linux/personality", {"domain": "LINUX", "flags": ["X"]}, "/linux/personality/flags/0", '"X"', ""),
]
HOST: list[tuple[str, Any, str, str, str]] = [
    ("/root/path", "rootf", "/root/path", '"rootf"', "/rootfs?"),
    ("/root/path", "config", "/root/path", '"config"', "unpack it"),
    ("/root/path", "link", "/root/path", '"link"', "name the directory"),
    ("/mounts/-", mount("/x", "bind", "rootf", "bind"), "/mounts/7/source", '"rootf"', "/rootfs?"),
    ("/mounts/-", mount("/x", "bind", "/nowhere/at/all", "bind"), "/mounts/7/source", '"/nowhere', "/ has no nowhere"),
    ("/mounts/-", mount("/x", "tmpf", "t"), "/mounts/7/type", '"tmpf"', "did you mean tmpfs?"),
    ("/hooks", {"prestart": [{"path": "/no/hook"}]}, "/hooks/prestart/0/path", '"/no/hook"', "/ has no no"),
    ("/hooks", {"poststop": [{"path": "/etc/passwd"}]}, "/hooks/poststop/0/path", '"/etc', "chmod +x /etc/passwd"),
    ("/linux/namespaces/0/path", "/proc/self/ns/net", "/linux/namespaces/0/path", '"/proc', ""),
    ("/linux/sysctl", {"net.ipv4.ip_forwad": "1"}, "/linux/sysctl/net.ipv4.ip_forwad", '"1"', "mean ip_forward?"),
    ("/linux/netDevices", {"lo0": {}}, "/linux/netDevices/lo0", "{", "lo"),
    ("/linux/resources/cpu", {"cpus": "0-4000"}, "/linux/resources/cpu/cpus", '"0-4000"', "online are 0"),
    (
        "/process/rlimits",
        [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 << 60}],
        "/process/rlimits/0/hard",
        "1152",
        "",
    ),
    ("/process/args", ["progg"], "/process/args/0", '"progg"', "did you mean prog?"),
]


def place(config: Any, pointer: str) -> str:
    return f"{pointer[1:]}={json.dumps(config)[:30]}"


@pytest.mark.parametrize(
    ("pointer", "value", "where", "shown", "hint", "host"),
    [(*row, False) for row in MISTAKES] + [(*row, True) for row in HOST],
    ids=[place(row[1], row[0]) for row in (*MISTAKES, *HOST)],
)
def test_mistakes(image: Image, pointer: str, value: Any, where: str, shown: str, hint: str, host: bool) -> None:
    (image.bundle / "config").touch()
    (image.bundle / "link").symlink_to("rootfs")
    image.config = changed(image.config, pointer, value)
    found = [each for each in image.judge(host) if each.pointer == where]
    assert len(found) == 1, image.judge(host)
    assert image.at(found[0]).startswith(shown)
    assert hint in found[0].hint
    if host:
        assert [each for each in image.judge(False) if each.pointer == where] == []


def test_a_good_config_has_no_problems(image: Image) -> None:
    assert image.judge(host=False) == []
    if os.geteuid() == 0:
        assert image.judge() == []


def test_schema_problems_do_not_hide_what_the_host_lacks(image: Image) -> None:
    image.config["process"]["user"]["uid"] = "0"
    image.config["linux"]["namespaces"].append({"type": "uts"})
    image.config["mounts"].append(mount("/x", "bind", "/nowhere", "bind"))
    image.config["hostname"] = 5
    image.config["linux"]["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": "2"}]
    found = {each.pointer: each.kind for each in image.judge()}
    assert found["/process/user/uid"] == found["/hostname"] == found["/linux/devices/0/minor"] == "schema"
    assert found["/linux/namespaces/6/type"] == "rule"
    assert found["/mounts/7/source"] == "host"
    image.config = {"ociVersion": "1.0.0"}
    assert [each.pointer for each in image.judge()] == ["/root"]
    assert [each.pointer for each in judging.judge("[]", "c", str(image.bundle), True, False)] == [""]


@pytest.mark.parametrize(
    ("pointer", "value"), [("/mounts/0/destination", 5), ("/process/env/0", 5), ("/process/cwd", "relative")]
)
def test_what_depends_on_a_mistake_is_not_told(image: Image, pointer: str, value: object) -> None:
    """The program may lie behind any mount, in any directory."""
    image.config["process"]["args"] = ["none"]
    image.config = changed(image.config, pointer, value)
    found = [each.pointer for each in image.judge()]
    assert pointer in found
    assert "/process/args/0" not in found


def test_rights_of_an_unknown_user_are_not_judged(image: Image) -> None:
    image.file("bin/prog", elf(), 0o700)
    image.config["process"]["user"]["uid"] = os.geteuid() + 1
    image.config["process"]["capabilities"] = {}
    assert "/process/args/0" in [each.pointer for each in image.judge()]
    image.config["process"]["user"]["gid"] = "0"
    assert [each.pointer for each in image.judge()] == ["/process/user/gid"]


def test_systemd_that_does_not_run(plain_facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replace(subject(plain_facts), systemd=True)
    monkeypatch.setattr(cgroups, "_BOOTED", "/nowhere")
    assert [each.pointer for each in cgroups.check(asked)] == ["/linux/cgroupsPath"]


def test_without_a_mount_namespace(image: Image) -> None:
    image.config["linux"] = {"namespaces": [{"type": "pid"}, {"type": "uts"}]}
    assert "/mounts" in {each.pointer for each in image.judge(host=False)}


def test_ids_that_are_not_mapped(image: Image) -> None:
    image.config["linux"]["namespaces"].append({"type": "user"})
    image.config["linux"].update(uidMappings=IDS, gidMappings=IDS)
    image.config["process"]["user"] = {"uid": 10, "gid": 9, "additionalGids": [3, 11]}
    wanted = ["/process/user/uid", "/process/user/additionalGids/1"]
    assert [each.pointer for each in image.judge(host=False)] == wanted


def test_configs_of_engines_have_no_problems(engine_configs: dict[str, str]) -> None:
    for name, text in engine_configs.items():
        found = judging.judge(text, name, "/", host=False, systemd=False)
        assert [each.render() for each in found] == []


def subject(facts: Facts, **linux: Any) -> checks.Subject:
    return checks.Subject({"root": {"path": "rootfs"}, "process": {}, "linux": linux}, "/nowhere", facts=facts)


def hierarchy(facts: Facts, folder: Path, own: str, handed: str, processes: str) -> None:
    """A cgroup2 hierarchy of plain files: the mount hands all down, its child `top` what is said."""
    for path, enabled, pids in ((folder, "cpu memory", ""), (folder / "top", handed, processes)):
        path.mkdir(exist_ok=True)
        for name, text in (("controllers", "cpu memory"), ("subtree_control", enabled), ("procs", pids)):
            (path / f"cgroup.{name}").write_text(text)
    (folder / "top" / "cgroup.type").write_text("domain\n")
    facts._cgroups = Hierarchies([], Hierarchy((), str(folder), own))


@pytest.mark.parametrize(
    ("limit", "path", "pointer", "words"),
    [
        ({"memory": {"limit": 1 << 20}}, "/x", "", ""),
        ({"memory": {"limit": 1 << 20}}, "/top/x", "/linux/resources/memory/limit", "holds processes itself"),
        ({"rdma": {"mlx5": {"hcaHandles": 1}}}, "/x", "/linux/resources/rdma/mlx5", ""),
        ({"network": {"classID": 1}}, "/x", "/linux/resources/network/classID", ""),
        ({}, "/top", "/linux/cgroupsPath", ""),
    ],
)
def test_controllers(facts: Facts, tmp_path: Path, limit: dict[str, Any], path: str, pointer: str, words: str) -> None:
    hierarchy(facts, tmp_path, "/", "cpu", f"{os.getpid()}\n")
    found = list(cgroups.check(subject(facts, resources=limit, cgroupsPath=path)))
    assert [each.pointer for each in found] == ([pointer] if pointer else [])
    assert all(words in each.hint for each in found)


def test_a_user_without_delegated_cgroups(plain_facts: Facts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy(plain_facts, tmp_path, "/top/own", "cpu memory", "")
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode == os.F_OK and os.path.exists(path))
    limited = list(cgroups.check(subject(plain_facts, resources={"memory": {"limit": 1 << 20}})))
    assert {(each.pointer, each.severity) for each in limited} == {("/linux/resources/memory/limit", "error")}
    assert all("Delegate=yes" in each.hint for each in limited)
    (free,) = cgroups.check(subject(plain_facts))
    assert (free.pointer, free.severity) == ("/linux/cgroupsPath", "warning")


FILES = {
    "/etc/subuid": "somebody:1:5\nplain:100000:65536\n1000:300000:10\nbroken:x\n",
    "/proc/sys/user/max_user_namespaces": "0\n",
}


def test_a_user_s_mappings(plain_facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "text_of", lambda path: FILES.get(path, ""))
    monkeypatch.setattr(ids, "_names", lambda: ("plain", "1000"))
    monkeypatch.setattr(idmap, "find_tool", lambda tool: tool if tool == "newuidmap" else "")
    assert ids.ranges(FILES["/etc/subuid"], ("plain", "1000")) == [(100000, 65536), (300000, 10)]
    space = {"namespaces": [{"type": "user"}]}
    own = [{"containerID": 0, "hostID": 1000, "size": 1}]
    more = [
        *own,
        {"containerID": 1, "hostID": 100000, "size": 65536},
        {"containerID": 9, "hostID": 165000, "size": 999},
    ]
    gids = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    found = list(ids.check(subject(plain_facts, **space, uidMappings=more, gidMappings=gids)))
    assert [each.pointer for each in found] == ["/linux/namespaces", "/linux/uidMappings/2/hostID"]
    assert "100000 to 165535, 300000 to 300009" in found[1].hint
    found = list(ids.check(subject(plain_facts, **space, uidMappings=own, gidMappings=IDS)))
    assert [each.pointer for each in found][1:] == ["/linux/gidMappings", "/linux/gidMappings/0/hostID"]
    assert [each.hint for each in ids.check(subject(plain_facts))] == ["ocirun spec --rootless shows a configuration"]


@pytest.mark.parametrize(
    ("profile", "hint"), [("web", ""), ("unconfined", ""), ("webb", "did you mean web?"), ("other", "apparmor_parser")]
)
def test_profiles(monkeypatch: pytest.MonkeyPatch, profile: str, hint: str) -> None:
    monkeypatch.setattr(lsm, "apparmor_enabled", lambda: True)
    monkeypatch.setattr(security, "text_of", lambda _: "web (enforce)\n/usr/bin/man (enforce)\n")
    found = list(security.labels(checks.Subject({"process": {"apparmorProfile": profile}}, "/")))
    assert len(found) == bool(hint)
    assert all(hint in each.hint and each.pointer == "/process/apparmorProfile" for each in found)


@pytest.mark.parametrize("label", ["apparmorProfile", "selinuxLabel"])
def test_modules_that_are_switched_off(monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    monkeypatch.setattr(lsm, "apparmor_enabled", lambda: False)
    monkeypatch.setattr(lsm, "selinux_enabled", lambda: False)
    (found,) = security.labels(checks.Subject({"process": {label: "x"}}, "/"))
    assert found.pointer == f"/process/{label}"
    assert "is not enabled on this host" in found.message


def test_a_kernel_without_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(kernel.calls(checks.Subject({}, "/"))) == []
    monkeypatch.setattr(raw, "syscall", lambda number, *_: -38 if number == raw.OPENAT2 else -22)
    (found,) = kernel.calls(checks.Subject({}, "/"))
    assert found.message == "this kernel does not have openat2"


def sarif_of(problems: list[Problem], source: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(report.sarif(problems, source))
    return log


@pytest.mark.parametrize(
    ("source", "uri"), [("a b/config.json", "a%20b/config.json"), ("/x/config.json", "file:///x/config.json")]
)
def test_sarif_has_what_its_schema_requires(image: Image, source: str, uri: str) -> None:
    """Required members of sarifLog, run, tool, toolComponent, reportingDescriptor, result; the ranges of a region."""
    image.config = changed(changed(image.config, "/linux/maskedPath", []), "/hostname", 5)
    found = image.judge(host=False)
    log = sarif_of(found, source)
    assert log["version"] == "2.1.0"
    assert log["$schema"].startswith("https://")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "ocirun"
    known = [rule["id"] for rule in driver["rules"]]
    assert len(set(known)) == len(known)
    assert all(rule["shortDescription"]["text"].endswith(".") for rule in driver["rules"])
    assert [result["level"] for result in run["results"]] == ["error", "warning"]
    for result, problem in zip(run["results"], found, strict=True):
        assert result["message"]["text"].startswith(problem.message)
        assert known[result["ruleIndex"]] == result["ruleId"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == uri
        assert physical["region"] == {"startLine": problem.line, "startColumn": problem.column}
        assert location["logicalLocations"][0]["fullyQualifiedName"] == problem.pointer
    assert sarif_of([], source)["runs"][0]["results"] == []


def test_words_of_a_config_do_nothing_to_a_terminal() -> None:
    told = Problem("c", 1, 2, "/a\x1b[31m", "x\x1b]0;", hint="\x07", excerpt="y\x9b")
    for text in (report.text([told], "c", True), report.coloured([replace(told, excerpt="")], "c", True, '"\x1b[2J"')):
        plain = text.replace("\x1b[0m", "")
        for code in ("1", "1;31", "1;32", "1;33", "36"):
            plain = plain.replace(f"\x1b[{code}m", "")
        assert all(character.isprintable() or character == "\n" for character in plain)


@pytest.mark.parametrize("at", range(3))
def test_the_hint_of_a_failure(image: Image, at: int) -> None:
    image.config["mounts"].append(mount("/x", "tmpfs", "t", "noexe"))
    image.config["process"]["args"] = ["progg"]
    where, hint = [
        ("/process/args/0", "did you mean prog?"),
        ("/mounts/7", 'the option "noexe" is left to the filesystem; did you mean noexec?'),
        ("/linux/sysctl/none", ""),
    ][at]
    problem = Failure("do it", where=where)
    hints.add(problem, Bundle(str(image.bundle), json.dumps(image.config), image.config))
    assert problem.hint.endswith(hint)
    assert bool(problem.hint) == bool(hint)
