"""Whatever is wrong is said in one sentence with its place, the command fails, and the host is as before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from process.box import ABSENT, changed, one_sentence
from support.bundle import Config, default_config, mount, with_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PROPERTIES: list[tuple[str, Any, str, str]] = [
    # pointer to change, its value, pointer in the sentence, words in the sentence
    ("/ociVersion", ABSENT, "", "ociVersion"),
    ("/ociVersion", "2.0.0", "/ociVersion", "only 1.x"),
    ("/root", ABSENT, "/root", "root"),
    ("/root/path", "", "/root/path", "empty"),
    ("/root/path", "nowhere", "/root/path", "no such file or directory"),
    ("/root/path", "config.json", "/root/path", "not a directory"),
    ("/root/path", "link", "/root/path", "symbolic link"),
    ("/process/args", [], "/process/args", "no program"),
    ("/process/args", "true", "/process/args", ""),
    ("/process/args", ["true", 1], "/process/args/1", ""),
    ("/process/args", ["nosuchprogram"], "/process/args/0", "executable file not found in $PATH"),
    ("/process/args", ["/bin/nosuchprogram"], "/process/args/0", "no such file or directory"),
    ("/process/args", ["./relative"], "/process/args/0", "no such file or directory"),
    ("/process/args", ["/etc"], "/process/args/0", "is a directory"),
    ("/process/args", ["/etc/passwd"], "/process/args/0", "permission denied"),
    ("/process/args", [""], "/process/args/0", ""),
    ("/process/cwd", "relative", "/process/cwd", "not an absolute path"),
    ("/process/cwd", "/etc/passwd", "/process/cwd", "not a directory"),
    ("/process/env/-", "=x", "/process/env/2", "no name"),
    ("/process/user/uid", -1, "/process/user/uid", ""),
    ("/process/user/uid", 1 << 32, "/process/user/uid", ""),
    ("/process/user/uid", "0", "/process/user/uid", ""),
    ("/process/user/uid", 0.5, "/process/user/uid", ""),
    ("/process/user/additionalGids", [1, -1], "/process/user/additionalGids/1", ""),
    ("/process/terminal", "no", "/process/terminal", ""),
    ("/process/rlimits", [{"type": "RLIMIT_X", "soft": 1, "hard": 1}], "/process/rlimits/0/type", "unknown"),
    ("/process/rlimits", [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2, "/process/rlimits/1/type", "twice"),
    ("/process/rlimits", [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}], "/process/rlimits/0/soft", "above the hard"),
    ("/process/capabilities/bounding", "CAP_KILL", "/process/capabilities/bounding", ""),
    ("/linux/intelRdt", {"closID": "x"}, "/linux/intelRdt", "no resctrl"),
    ("/linux/netDevices", {"eth9": {}}, "/linux/netDevices/eth9", "no such device"),
    ("/linux/namespaces/-", {"type": "magic"}, "/linux/namespaces/6/type", "magic"),
    ("/linux/namespaces/-", {"type": "pid"}, "/linux/namespaces/6/type", "twice"),
    ("/linux/namespaces/0", {"type": "pid", "path": "relative"}, "/linux/namespaces/0/path", "not absolute"),
    ("/linux/namespaces/0", {"type": "pid", "path": "/no"}, "/linux/namespaces/0/path", "no such file or directory"),
    ("/linux/namespaces/0", {"type": "pid", "path": "/proc/self/ns/net"}, "/linux/namespaces/0/path", "is a network"),
    ("/linux/namespaces/0", {"type": "pid", "path": "/etc/passwd"}, "/linux/namespaces/0/path", "is not a namespace"),
    ("/linux/namespaces/-", {"type": "user"}, "/linux/uidMappings", "needs uidMappings"),
    ("/linux/maskedPaths/-", "relative", "/linux/maskedPaths/6", "not absolute"),
    ("/linux/readonlyPaths/-", "relative", "/linux/readonlyPaths/5", "not absolute"),
    ("/linux/sysctl", {"net.ipv4.ip_forward": "yes"}, "/linux/sysctl/net.ipv4.ip_forward", "invalid argument"),
    ("/linux/sysctl", {"net.no.such": "1"}, "/linux/sysctl/net.no.such", "no such file or directory"),
    ("/linux/sysctl", {"vm.swappiness": "1"}, "/linux/sysctl/vm.swappiness", ""),
    ("/linux/rootfsPropagation", "magic", "/linux/rootfsPropagation", "magic"),
    ("/linux/seccomp", {"defaultAction": "SCMP_ACT_MAGIC"}, "/linux/seccomp/defaultAction", "SCMP_ACT_MAGIC"),
    (
        "/linux/seccomp",
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_MAGIC"]},
        "/linux/seccomp/architectures/0",
        "SCMP_ARCH_MAGIC",
    ),
    ("/linux/devices", [{"path": "dev/x", "type": "c", "major": 1, "minor": 3}], "/linux/devices/0/path", "absolute"),
    ("/linux/devices", [{"path": "/dev/x", "type": "c"}], "/linux/devices/0/major", "major"),
    (
        "/linux/devices",
        [{"path": "/dev/x", "type": "c", "major": 1 << 40, "minor": 3}],
        "/linux/devices/0/major",
        "at most",
    ),
    ("/linux/devices", [{"path": "/dev/x", "type": "z"}], "/linux/devices/0/type", ""),
    ("/linux/devices", [{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}], "/linux/devices/0", "exists"),
    ("/linux/cgroupsPath", "../../escape", "/linux/cgroupsPath", "leaves"),
    ("/mounts/-", mount("/x", "tmpfs", "t", "nosuchoption"), "/mounts/7", "nosuchoption"),
    ("/mounts/-", mount("/x", "tmpfs", "t", "size=lots"), "/mounts/7", "size"),
    ("/mounts/-", mount("/x", "nosuchfs", "t"), "/mounts/7", "nosuchfs"),
    ("/mounts/-", mount("/x", "bind", "/no/such/source", "bind"), "/mounts/7", "no such file or directory"),
    ("/mounts/-", mount("/x", "bind", "/etc", "bind", "size=1"), "/mounts/7/options", "size=1"),
    ("/mounts/-", mount("/proc/self", "tmpfs", "t"), "/mounts/7", "inside /proc"),
    ("/mounts/-", mount("/proc", "tmpfs", "t"), "/mounts/7", "on /proc"),
    ("/mounts/-", mount("/", "tmpfs", "t"), "/mounts/7", "mount on /"),
    ("/mounts/-", mount("", "tmpfs", "t"), "/mounts/7/destination", ""),
    ("/mounts/-", mount("/etc/passwd", "tmpfs", "t"), "/mounts/7", "not a directory"),
    ("/mounts/-", mount("/x", "bind", "/etc", "idmap"), "/mounts/7/options/0", "idmap"),
    ("/mounts", {}, "/mounts", ""),
    ("/hostname", 5, "/hostname", ""),
    ("/hostname", "x" * 65, "/hostname", "invalid argument"),
    ("/hooks", {"createRuntime": [{"path": "relative"}]}, "/hooks/createRuntime/0/path", "not absolute"),
    ("/hooks", {"createRuntime": [{}]}, "/hooks/createRuntime/0/path", "missing"),
    ("/annotations", {"a": 1}, "/annotations/a", ""),
    ("/annotations", {"": "x"}, "/annotations/", "empty"),
    ("/linux/resources/memory", {"limit": "1G"}, "/linux/resources/memory/limit", ""),
]


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize(
    ("pointer", "value", "where", "words"), PROPERTIES, ids=[f"{row[0][1:]}={str(row[1])[:40]}" for row in PROPERTIES]
)
def test_bad_properties(box: Box, pointer: str, value: object, where: str, words: str, command: str) -> None:
    assert box.rootfs.exists()
    (box.bundle / "link").symlink_to("rootfs")
    refused(box, changed(default_config(), pointer, value), command, where, words)


def refused(box: Box, config: Config, command: str, where: str, words: str) -> str:
    """The command fails with that pointer and these words and leaves the host alone; returns the sentence."""
    box.write(config)
    before = box.snapshot()
    sentence = one_sentence(box.runtime.call(command, "-b", str(box.bundle), box.ident).expect(1))
    assert f"{where}: " in sentence, sentence
    assert words in sentence
    assert "internal error" not in sentence
    assert "unforeseen" not in sentence
    before.assert_unchanged()
    return sentence


TEXTS = [
    (None, ": read the configuration", "no such file or directory"),
    ("", ":1:1: ", "empty"),
    ("{", ":1:2: ", ""),
    ('{\n  "ociVersion": "1.0.0",\n}', ":", ""),
    ('{\n  "ociVersion": 1.0.0}', ":2:20: ", ""),
    ('{"root": {}, "root": {}}', ":1:14: ", "twice"),
    ('{"a": NaN}', ":1:7: ", "NaN"),
    ("{} {}", ":1:4: ", "after the end"),
    ("[]", "", ""),
    ('{"ociVersion": "1.0.0", "root": {"path": "a\\u0000"}}', ":1:", "NUL"),
    ("[" * 100_000, ":1:", "nested too deeply"),
    ('{"a": 123456789012345678901234}', ":1:7: ", "64 bits"),
    ('{"a": "\\ud800"}', ":1:8: ", "surrogate"),
    (" " * ((16 << 20) + 1), ": read the configuration", "larger than 16 MiB"),
]


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize(("text", "where", "words"), TEXTS, ids=[str(row[0])[:20] for row in TEXTS])
def test_bad_files(box: Box, text: str | None, where: str, words: str, command: str) -> None:
    path = box.bundle / "config.json"
    assert box.rootfs.exists()
    if text is not None:
        path.write_text(text)
    before = box.snapshot()
    result = box.runtime.call(command, "-b", str(box.bundle), box.ident).expect(1)
    sentence = one_sentence(result)
    assert f"{path}{where}" in sentence
    assert words in sentence
    if where.startswith(":1:") and text and len(text) < 100:
        assert text in result.err, "the excerpt shows the line"
        assert "^" in result.err
    before.assert_unchanged()


def test_all_problems_are_said_at_once(box: Box) -> None:
    config = changed(changed(default_config(), "/process/cwd", 5), "/linux/rootfsPropagation", "x")
    box.write(changed(config, "/process/user/uid", -1))
    err = box.runtime.create(box.ident, box.bundle).expect(1).err
    for pointer in ("/process/cwd", "/process/user/uid", "/linux/rootfsPropagation"):
        assert pointer in err


def script(box: Box, name: str, text: bytes, mode: int = 0o755) -> str:
    path = box.rootfs / "bin" / name
    path.write_bytes(text)
    path.chmod(mode)
    return f"/bin/{name}"


FILES = [
    ("plain text", b"hello\n", "exec format error"),
    ("empty", b"", "exec format error"),
    ("missing interpreter", b"#!/no/such/sh\n", "no such file or directory"),
    ("interpreter loop", b"#!/bin/subject\n", "too many levels of symbolic links"),
]


@pytest.mark.parametrize(("name", "text", "words"), FILES, ids=[row[0] for row in FILES])
def test_programs_that_execve_refuses(box: Box, name: str, text: bytes, words: str) -> None:
    """Only the kernel knows: `create` succeeds, the start says it, nothing runs."""
    box.write(default_config(script(box, "subject", text)))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert "/process/args/0: exec '/bin/subject': execve: " in sentence
    assert words in sentence
    before.assert_unchanged()
    box.runtime.create(box.ident, box.bundle).ok()
    assert words in one_sentence(box.runtime.start(box.ident).expect(1))
    assert box.runtime.status(box.ident) == "stopped"
    box.runtime.delete(box.ident).ok()
    before.assert_unchanged()


EXEC: list[tuple[list[str], str]] = [
    (["{id}", "nosuchprogram"], "executable file not found in $PATH"),
    (["{id}", "/bin/nosuchprogram"], "no such file or directory"),
    (["{id}", "/etc"], "is a directory"),
    (["{id}", "/etc/passwd"], "permission denied"),
    (["{id}", "/bin/subject"], "exec format error"),
    (["{id}"], "no command given"),
    (["--cwd", "/nowhere", "{id}", "true"], "no such file or directory"),
    (["--cwd", "/etc/passwd", "{id}", "true"], "not a directory"),
    (["--cwd", "relative", "{id}", "true"], "relative"),
    (["--user", "root", "{id}", "true"], "--user takes numeric ids"),
    (["--user", "-1", "{id}", "true"], "--user takes numeric ids"),
    (["--user", "4294967295", "{id}", "true"], "--user takes numeric ids"),
    (["--user", "4294967296", "{id}", "true"], "--user takes numeric ids"),
    (["--user", "1:", "{id}", "true"], "--user takes numeric ids"),
    (["--user", "1:2:3", "{id}", "true"], "--user takes numeric ids"),
    (["--user", " 1", "{id}", "true"], "--user takes numeric ids"),
    (["--user", "0x0", "{id}", "true"], "--user takes numeric ids"),
    (["--user", "٣", "{id}", "true"], "--user takes numeric ids"),
    (["--additional-gids", "x", "{id}", "true"], "--additional-gids takes numeric ids"),
    (["--env", "=x", "{id}", "true"], "no name"),
    (["--process", "/no/such/file", "{id}"], "no such file or directory"),
    (["--process", "/etc/passwd", "{id}"], "/etc/passwd:1:1"),
    (["--process", '{"args": ["true"], "cwd": 5}', "{id}"], ": /cwd: "),
    (["--process", '{"args": ["true"], "cwd": "x"}', "{id}"], ": /cwd: "),
    (["--process", '{"cwd": "/"}', "{id}"], ": /args: "),
    (["--process", "[]", "{id}"], ": /: "),
    (["--console-socket", "/no/socket", "{id}", "true"], "no detached terminal"),
    (["--tty", "--detach", "{id}", "true"], "terminal"),
    (["--tty", "--detach", "--console-socket", "/no/socket", "{id}", "true"], "no such file or directory"),
    (["--pid-file", "/no/such/dir/pid", "{id}", "true"], "no such file or directory"),
    (["--pidfd-socket", "/no/socket", "{id}", "true"], "no such file or directory"),
    (["nobody", "true"], "container does not exist"),
    (["--preserve-fds", "7", "{id}", "true"], "descriptor 3 is not open"),
    (["--nonsense", "{id}", "true"], "unknown option"),
]


@pytest.mark.parametrize(("words", "text"), EXEC, ids=[" ".join(row[0]) for row in EXEC])
def test_bad_execs(box: Box, words: list[str], text: str) -> None:
    script(box, "subject", b"hello\n")
    box.start_sleeper()
    if words[0] == "--process" and words[1][0] in "{[":
        (box.directory / "process").write_text(words[1])
        words = ["--process", str(box.directory / "process"), *words[2:]]
    before = box.snapshot()
    result = box.runtime.call("exec", *(box.ident if word == "{id}" else word for word in words))
    sentence = one_sentence(result.expect(1 if text == "unknown option" else 255))
    assert text in sentence
    assert "internal error" not in sentence
    before.assert_unchanged()


def occupied_root(box: Box) -> tuple[str, str]:
    (box.directory / "root").write_text("")
    return "make the state directory", "file exists"


def readonly_root(box: Box) -> tuple[str, str]:
    box.runtime.root = type(box.runtime.root)("/proc/no/root")
    return "make the state directory", "no such file or directory"


@pytest.mark.parametrize("arrange", [occupied_root, readonly_root])
def test_state_directories_that_cannot_be_made(box: Box, arrange: Callable[[Box], tuple[str, str]]) -> None:
    where, words = arrange(box)
    box.write(default_config())
    sentence = one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    assert where in sentence
    assert words in sentence


def test_a_console_socket_that_does_not_exist(box: Box) -> None:
    box.write(with_terminal(default_config()))
    before = box.snapshot()
    result = box.runtime.create(box.ident, box.bundle, "--console-socket", str(box.directory / "none")).expect(1)
    assert "--console-socket: connect" in one_sentence(result)
    assert "no such file or directory" in result.last_error
    before.assert_unchanged()


@pytest.mark.parametrize("words", [["create"], ["run", "--detach"]])
def test_a_terminal_that_nobody_holds(box: Box, words: list[str]) -> None:
    box.write(with_terminal(default_config()))
    before = box.snapshot()
    result = box.runtime.call(*words, "-b", str(box.bundle), box.ident).expect(1)
    assert "/process/terminal: allocate a terminal" in one_sentence(result)
    before.assert_unchanged()


def test_a_console_socket_without_a_terminal(box: Box) -> None:
    box.write(default_config())
    result = box.runtime.create(box.ident, box.bundle, "--console-socket", str(box.directory / "none")).expect(1)
    assert "/process/terminal: --console-socket is given" in one_sentence(result)


def test_a_bundle_that_does_not_exist(box: Box) -> None:
    result = box.runtime.create(box.ident, box.directory / "nowhere").expect(1)
    assert "no such file or directory" in one_sentence(result)
    assert not box.runtime.root.exists()


def test_a_program_that_the_user_may_not_execute(box: Box) -> None:
    path = script(box, "subject", b"#!/bin/sh\n", 0o700)
    config = changed(default_config(path), "/process/user/uid", 1000)
    config["process"]["capabilities"] = {}
    assert os.stat(box.rootfs / "bin" / "subject").st_uid == 0
    assert "permission denied" in refused(box, config, "create", "/process/args/0", "")


@pytest.mark.parametrize(
    ("member", "value", "pointer"),
    [
        ("mounts", [mount("/x", "tmpfs", "t")], "/mounts"),
        ("root", {"path": "rootfs", "readonly": True}, "/root/readonly"),
        ("linux", {"namespaces": [], "rootfsPropagation": "slave"}, "/linux/rootfsPropagation"),
        ("linux", {"namespaces": [], "devices": [{"path": "/dev/f", "type": "p"}]}, "/linux/devices"),
    ],
)
def test_mounts_need_a_mount_namespace(box: Box, member: str, value: object, pointer: str) -> None:
    config = default_config()
    config["mounts"] = []
    config["linux"]["namespaces"] = [{"type": "pid"}]
    config["linux"].update(maskedPaths=[], readonlyPaths=[])
    del config["hostname"]
    config[member] = value
    refused(box, config, "create", pointer, "mount namespace")
