"""process.apparmorProfile and `exec --apparmor` with profiles loaded into this kernel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.apparmor import loaded
from support.bundle import default_config, with_hook, with_shell, with_user_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.box import Box
    from support.bundle import Config

PROFILE = f"ocirun-test-{os.getpid()}"
TEXT = f"""
profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{
  file,
  capability,
  signal,
  deny /etc/secret rw,
  deny /etc/passwd w,
}}
profile {PROFILE}-strict flags=(attach_disconnected,mediate_deleted) {{
  file,
  deny /etc/** r,
}}
"""
SCRIPT = "cat /proc/self/attr/current; cat /etc/secret 2>&1; echo >> /etc/passwd; cat /etc/group | head -n 1"

HOOK = "cat /proc/self/attr/current >/tmp/profile"


@pytest.fixture(scope="module", autouse=True)
def profiles() -> Iterator[None]:
    """Loaded by the host, as AppArmor wants it; unloaded at the end."""
    with loaded(TEXT):
        yield


def confined(box: Box, name: str, script: str = SCRIPT) -> Config:
    (box.rootfs / "etc/secret").write_text("secret\n")
    config = with_shell(default_config(), script)
    config["process"]["apparmorProfile"] = name
    return config


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_the_profile_confines_the_program(box: Box, no_new_privileges: bool) -> None:
    config = confined(box, PROFILE)
    config["process"]["noNewPrivileges"] = no_new_privileges
    result = box.run(config).ok()
    current, secret, group = result.out.splitlines()
    assert current == f"{PROFILE} (enforce)"
    assert "Permission denied" in secret
    assert group == "root:x:0:"
    assert "/etc/passwd" in result.err


def test_without_a_profile_the_program_is_unconfined(box: Box) -> None:
    config = confined(box, PROFILE)
    del config["process"]["apparmorProfile"]
    assert box.run(config).ok().out.splitlines()[:2] == ["unconfined", "secret"]


def test_with_a_user_namespace(box: Box) -> None:
    config = with_user_namespace(confined(box, PROFILE, "cat /proc/self/attr/current"))
    assert box.run(config).ok().out == f"{PROFILE} (enforce)\n"


def test_the_profile_confines_the_hooks_in_the_container(box: Box) -> None:
    config = with_hook(confined(box, PROFILE, "cat /tmp/profile"), "startContainer", "/bin/sh", "-c", HOOK)
    assert box.run(config).ok().out == f"{PROFILE} (enforce)\n"


@pytest.mark.parametrize("command", ["create", "run"])
def test_an_unknown_profile_is_one_error_with_its_name(box: Box, command: str) -> None:
    box.write(confined(box, "no-such-profile"))
    result = box.runtime.call(command, "--bundle", str(box.bundle), box.ident)
    if command == "create" and result.code == 0:
        result = box.runtime.start(box.ident)
    sentence = one_sentence(result.expect(1))
    assert "/process/apparmorProfile" in sentence
    assert "no-such-profile" in sentence
    assert "no such file or directory" in sentence


def test_exec_has_the_profile_that_it_asks_for(box: Box) -> None:
    box.start_sleeper(confined(box, PROFILE))
    assert box.exec("cat /etc/group", "--apparmor", f"{PROFILE}-strict").code == 1
    current = box.exec("cat /proc/self/attr/current", "--apparmor", f"{PROFILE}-strict").ok().out
    assert current == f"{PROFILE}-strict (enforce)\n"
    sentence = one_sentence(box.exec("true", "--apparmor", "no-such-profile").expect(255))
    assert "no-such-profile" in sentence


def test_a_process_file_without_a_profile_has_the_containers(box: Box) -> None:
    box.start_sleeper(confined(box, PROFILE))
    process = default_config("cat", "/proc/self/attr/current")["process"]
    assert box.runtime.exec_process(box.ident, process).ok().out == f"{PROFILE} (enforce)\n"
    process["apparmorProfile"] = f"{PROFILE}-strict"
    assert box.runtime.exec_process(box.ident, process).ok().out == f"{PROFILE}-strict (enforce)\n"


def test_exec_without_the_option_has_the_container_s_profile(box: Box) -> None:
    box.start_sleeper(confined(box, PROFILE))
    assert box.exec("cat /proc/self/attr/current").ok().out == f"{PROFILE} (enforce)\n"


def test_the_image_s_proc_is_not_trusted(box: Box, tmp_path: Path) -> None:
    """A bundle that puts its own files where the label is written cannot get out of the profile."""
    config = confined(box, PROFILE, "mount -t proc proc /real 2>/dev/null; cat /real/self/attr/current")
    bait = tmp_path / "bait"
    (bait / "self/attr/apparmor").mkdir(parents=True)
    (bait / "self/attr/exec").write_text("")
    (bait / "self/attr/apparmor/exec").write_text("")
    (box.rootfs / "real").mkdir()
    config["mounts"] = [each for each in config["mounts"] if each["destination"] != "/proc"]
    config["mounts"].append({"destination": "/proc", "type": "bind", "source": str(bait), "options": ["rbind"]})
    config["mounts"].append({"destination": "/real", "type": "proc", "source": "proc"})
    config["linux"].pop("maskedPaths")
    config["linux"].pop("readonlyPaths")
    assert box.run(config).ok().out == f"{PROFILE} (enforce)\n"
    assert (bait / "self/attr/exec").read_text() == ""
