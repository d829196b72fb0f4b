"""Values of the wrong type, and lists with something missing: errors with their place, never taken for something else.

config.md (Valid values). Each row runs, unnoticed, in a runtime that Debian 12 ships.
"""

from __future__ import annotations

from typing import Any

import pytest
from process.box import Box, changed, one_sentence
from support.bundle import default_config, mount

from ocirun.linux import lsm

pytestmark = [pytest.mark.process, pytest.mark.privileged]

HOOK = {"path": "/bin/true"}
MAPPING = [{"containerID": 0, "hostID": 1000, "size": 10}]
NOTIFY = {"names": ["chroot"], "action": "SCMP_ACT_NOTIFY"}
RULE = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}

ROWS: list[tuple[str, Any, str]] = [
    # pointer to change, its value, pointer in the sentence
    ("/root/readonly", "true", "/root/readonly"),
    ("/process/terminal", "false", "/process/terminal"),
    ("/process/args", ["echo", 7], "/process/args/1"),
    ("/process/oomScoreAdj", "5", "/process/oomScoreAdj"),
    ("/process/consoleSize", {"width": 80}, "/process/consoleSize/height"),
    ("/mounts/-", {**mount("/mnt", "tmpfs", "tmpfs"), "options": "ro"}, "/mounts/7/options"),
    ("/mounts/-", {**mount("/mnt", "bind", "/etc", "bind", "idmap"), "uidMappings": MAPPING}, "/mounts/7"),
    ("/annotations", ["a"], "/annotations"),
    ("/hooks", {"createRuntime": [{**HOOK, "timeout": "5"}]}, "/hooks/createRuntime/0/timeout"),
    ("/hooks", {"createRuntime": [{**HOOK, "timeout": 0}]}, "/hooks/createRuntime/0/timeout"),
    ("/hooks", {"createRuntime": [{**HOOK, "args": "x"}]}, "/hooks/createRuntime/0/args"),
    ("/linux/devices", [{"type": "x", "path": "/dev/x", "major": 1, "minor": 3}], "/linux/devices/0/type"),
    ("/linux/devices", [{"type": "c", "path": "/dev/x"}], "/linux/devices/0/major"),
    ("/linux/resources/devices/-", {**RULE, "type": "x"}, "/linux/resources/devices/1/type"),
    ("/linux/resources/devices/-", {**RULE, "access": "q"}, "/linux/resources/devices/1/access"),
    ("/linux/resources/devices/-", {"type": "c", "access": "r"}, "/linux/resources/devices/1/allow"),
    ("/linux/resources/memory", {"limit": "5"}, "/linux/resources/memory/limit"),
    (
        "/linux/resources/blockIO",
        {"weightDevice": [{"major": 7, "minor": 0}]},
        "/linux/resources/blockIO/weightDevice/0",
    ),
    ("/linux/personality", {"domain": "MAGIC"}, "/linux/personality/domain"),
    ("/linux/personality", {"domain": "LINUX", "flags": ["MAGIC"]}, "/linux/personality/flags/0"),
    ("/linux/personality", {}, "/linux/personality/domain"),
    ("/linux/rootfsPropagation", "magic", "/linux/rootfsPropagation"),
    (
        "/linux/seccomp",
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{**NOTIFY, "names": []}]},
        "/linux/seccomp/syscalls/0/names",
    ),
    ("/linux/seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [NOTIFY]}, "/linux/seccomp"),
    (
        "/linux/seccomp",
        {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"},
        "/linux/seccomp/listenerMetadata",
    ),
]


@pytest.mark.parametrize(("pointer", "value", "where"), ROWS, ids=[f"{row[0][1:]}={str(row[1])[:48]}" for row in ROWS])
def test_it_is_an_error(box: Box, pointer: str, value: Any, where: str) -> None:
    box.write(changed(default_config("echo", "ran"), pointer, value))
    before = box.snapshot()
    result = box.runtime.call("run", "--bundle", str(box.bundle), box.ident).expect(1)
    assert f": {where}" in one_sentence(result)
    assert result.out == ""
    before.assert_unchanged()


def test_a_mount_label_without_selinux_is_an_error(box: Box) -> None:
    if lsm.selinux_enabled():
        pytest.skip("not this lane: its kernel has SELinux")
    box.write(changed(default_config("echo", "ran"), "/linux/mountLabel", "system_u:object_r:container_file_t:s0"))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert "/linux/mountLabel: " in sentence
    assert "SELinux is not enabled" in sentence
    before.assert_unchanged()
