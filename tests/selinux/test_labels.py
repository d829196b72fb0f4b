"""process.selinuxLabel and linux.mountLabel where SELinux enforces a policy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_mount, with_shell, with_user_namespace

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

RUNTIME = "system_u:system_r:system_t"
CONTAINER = "system_u:system_r:container_t"
FILES = "system_u:object_r:container_file_t"
SECRET = "system_u:object_r:secret_t"
LOOK = "cat /proc/self/attr/current; echo; ls /secret 2>&1"
DENIED = "ls: /secret: Permission denied"


def with_secret(config: Config) -> Config:
    """A directory that container_t may not look into."""
    return with_mount(config, "/secret", "tmpfs", "tmpfs", f"context={SECRET}")


def labelled(label: str = CONTAINER) -> Config:
    config = with_secret(default_config())
    config["process"]["selinuxLabel"] = label
    return config


def words(text: str) -> str:
    return text.replace("\0", "").strip()


def test_the_machine_enforces_the_policy() -> None:
    assert Path("/sys/fs/selinux/enforce").read_text() == "1"
    assert words(Path("/proc/self/attr/current").read_text()) == RUNTIME


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_the_label_confines_the_program(box: Box, no_new_privileges: bool) -> None:
    config = labelled()
    config["process"]["noNewPrivileges"] = no_new_privileges
    assert words(box.run(with_shell(config, LOOK)).expect(1).out).splitlines() == [CONTAINER, DENIED]


def test_without_a_label_the_program_has_the_runtimes(box: Box) -> None:
    assert words(box.shell(LOOK, with_secret(default_config()))) == RUNTIME


def test_the_label_in_a_user_namespace(box: Box) -> None:
    (box.rootfs / "secret").mkdir()  # the container's root may not write into a directory of the host's
    result = box.run(with_shell(with_user_namespace(labelled()), LOOK)).expect(1)
    assert result.err == ""
    assert words(result.out).splitlines() == [CONTAINER, DENIED]


def test_exec_has_the_label_of_its_process_or_the_containers(box: Box) -> None:
    box.start_sleeper(labelled())
    process = default_config("sh", "-c", LOOK)["process"]
    assert words(box.runtime.exec_process(box.ident, process).out).splitlines() == [CONTAINER, DENIED]
    process["selinuxLabel"] = RUNTIME
    assert words(box.runtime.exec_process(box.ident, process).out) == RUNTIME
    assert words(box.exec(LOOK).out).splitlines() == [CONTAINER, DENIED]
    assert words(box.exec(LOOK, "--process-label", RUNTIME).out) == RUNTIME


def test_a_label_that_the_policy_does_not_have(box: Box) -> None:
    label = "system_u:system_r:nobody_t"
    before = box.snapshot()
    sentence = one_sentence(box.run(with_shell(labelled(label), "true")).expect(1))
    assert f"/process/selinuxLabel: apply the SELinux label {label}" in sentence
    assert sentence.endswith(": invalid argument")
    before.assert_unchanged()


def label_of(pid: int, path: str) -> str:
    """As the file's own attribute says it."""
    return words(os.getxattr(f"/proc/{pid}/root{path}", "security.selinux").decode())


def test_the_mount_label(box: Box) -> None:
    """New filesystems have it, and what covers a masked directory; proc, sysfs and binds have their own."""
    config = with_secret(box.with_shared(default_config()))
    for path in ("/own", "/covered"):
        config = with_mount(config, path, "tmpfs", "tmpfs")
    if not any(entry["destination"] == "/dev/mqueue" for entry in config["mounts"]):
        config = with_mount(config, "/dev/mqueue", "mqueue", "mqueue")
    config["linux"] |= {"mountLabel": FILES, "maskedPaths": ["/covered"], "readonlyPaths": []}
    pid = box.start_sleeper(config)
    assert label_of(pid, "/own") == label_of(pid, "/covered") == label_of(pid, "/dev") == FILES
    assert label_of(pid, "/dev/mqueue") == FILES
    assert label_of(pid, "/secret") == SECRET
    assert label_of(pid, "/proc") == label_of(pid, "/sys") == label_of(pid, "/shared") == "system_u:object_r:system_t"
    inside = [line.split()[1] for line in box.exec("grep context= /proc/mounts").ok().out.splitlines()]
    assert inside.count("/covered") == 2
    assert {"/own", "/dev", "/dev/pts", "/dev/shm"} <= set(inside)
    assert not {"/proc", "/sys", "/shared"} & set(inside)


def test_a_mount_label_that_the_policy_does_not_have(box: Box) -> None:
    config = with_mount(default_config("true"), "/own", "tmpfs", "tmpfs")
    config["linux"]["mountLabel"] = "system_u:object_r:nobody_t"
    before = box.snapshot()
    sentence = one_sentence(box.run(config).expect(1))
    assert "context=system_u:object_r:nobody_t" in sentence
    assert "fsconfig" in sentence
    assert sentence.endswith(": invalid argument")
    before.assert_unchanged()
