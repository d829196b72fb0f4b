"""The members of process that are not a subsystem of their own: cwd, env, args, user, oomScoreAdj, labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence, status_lines
from support import facility
from support.bundle import default_config, with_mount, with_shell, with_user_namespace
from support.command import run_command
from support.facility import need

from ocirun.linux import lsm

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

NO_ID = (1 << 32) - 1


@pytest.fixture(params=[False, True], ids=["host", "userns"])
def userns(request: pytest.FixtureRequest) -> bool:
    if request.param:
        need(facility.user_namespace)
    return bool(request.param)


def test_a_missing_cwd_is_made_in_the_image(box: Box) -> None:
    config = changed(with_shell(default_config(), "pwd; stat -c '%a %u %g' ."), "/process/cwd", "/srv/new/deep")
    assert box.run(config).ok().out.split() == ["/srv/new/deep", "755", "0", "0"]
    assert (box.rootfs / "srv/new/deep").is_dir()


def test_a_missing_cwd_is_made_on_a_mount_and_before_the_root_is_read_only(box: Box) -> None:
    config = with_mount(with_shell(default_config(), "pwd; touch x; ls /srv"), "/srv", "tmpfs", "tmpfs")
    changed(config, "/process/cwd", "/srv/new")["root"]["readonly"] = True
    assert box.run(config).ok().out.split() == ["/srv/new", "new"]
    assert list((box.rootfs / "srv").iterdir()) == []
    changed(config, "/process/cwd", "/var/new")["process"]["args"][-1] = "pwd; touch x || echo no"
    assert box.run(config).ok().out.split() == ["/var/new", "no"]


@pytest.mark.parametrize(
    ("cwd", "place"),
    [("/../../x", "/x"), ("/tmp/./a//b/", "/tmp/a/b"), ("/link/y", "/srv/y"), ("/", "/"), ("/etc/../tmp", "/tmp")],
)
def test_a_cwd_stays_inside_the_root(box: Box, cwd: str, place: str) -> None:
    (box.rootfs / "link").symlink_to("/srv")
    config = changed(
        with_shell(default_config(), "readlink /proc/self/cwd; readlink /proc/self/root"), "/process/cwd", cwd
    )
    assert box.run(config).ok().out.split() == [place, "/"]
    assert (box.rootfs / place[1:]).is_dir()


def closed_to_all_but(box: Box, owner: int) -> Config:
    """User 7, without capabilities, in a directory that only `owner` may enter."""
    (box.rootfs / "closed").mkdir(mode=0o700)
    os.chown(box.rootfs / "closed", owner, owner)
    config = changed(default_config("pwd"), "/process/cwd", "/closed")
    config["process"] |= {"user": {"uid": 7, "gid": 7}, "capabilities": {}}
    return config


@pytest.mark.parametrize("owner", [0, 7], ids=["root", "user"])
def test_a_cwd_that_only_root_or_only_the_user_may_enter(box: Box, owner: int) -> None:
    bundle = box.write(closed_to_all_but(box, owner))
    weaker = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    head = [*weaker, str(box.runtime.path), "--root", str(box.runtime.root)]
    scratch = box.directory / "scratch"
    assert run_command([*head, "run", "--bundle", str(bundle), box.ident], scratch).ok().out == "/closed\n"
    box.start_sleeper()
    words = ["exec", "--user", "7:7", "--cwd", "/closed", box.ident, "pwd"]
    assert run_command([*head, *words], scratch).ok().out == "/closed\n"


def test_a_cwd_that_nobody_may_enter(box: Box) -> None:
    box.write(with_user_namespace(closed_to_all_but(box, 0)))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert sentence.endswith("/process/cwd: enter the working directory: fchdir: permission denied")
    before.assert_unchanged()


def test_the_program_is_looked_for_in_its_own_path(box: Box) -> None:
    for folder, word in (("one", "first"), ("two", "second")):
        (box.rootfs / folder).mkdir()
        script = box.rootfs / folder / "tool"
        script.write_text(f'#!/bin/sh\necho {word} "$0" "$@"\n')
        script.chmod(0o755)
    config = default_config("tool", "x")
    config["process"]["env"] = ["PATH=/none:/two:/one", "PATH=/one:/two:/bin"]
    assert box.run(config).ok().out == "first /one/tool x\n"
    config["process"]["args"] = ["/two/tool", ""]
    assert box.run(config).ok().out == "second /two/tool \n"
    config["process"] |= {"args": ["./tool"], "cwd": "/two"}
    assert box.run(config).ok().out == "second ./tool\n"
    config["process"] |= {"args": ["env"], "env": []}
    assert box.run(config).ok().out == "HOME=/root\n", "without PATH the usual places"


def test_args_of_exec_are_not_split(box: Box) -> None:
    box.start_sleeper()
    process = default_config("printf", "%s|", "a b", "", "$HOME", "*")["process"]
    assert box.runtime.exec_process(box.ident, process).ok().out == "a b||$HOME|*|"


def test_the_environment_of_exec_is_the_process_files(box: Box) -> None:
    config = default_config()
    config["process"]["env"].append("OUTER=1")
    box.start_sleeper(config)
    process = default_config("env")["process"] | {"env": ["PATH=/bin", "A=1", "A=2", "B=", "C"]}
    assert sorted(box.runtime.exec_process(box.ident, process).ok().out.split()) == [
        "A=2",
        "B=",
        "C=",
        "HOME=/root",
        "PATH=/bin",
    ]


USER = {"uid": 12, "gid": 34, "additionalGids": [5, 600], "umask": 0o137}


def ids(text: str) -> list[str]:
    status = status_lines(text)
    return [" ".join(status[name].split()) for name in ("Uid", "Gid", "Groups", "Umask")]


def test_the_user_in_every_field(box: Box, userns: bool) -> None:
    config = changed(default_config("cat", "/proc/self/status"), "/process/user", USER)
    if userns:
        with_user_namespace(config)
    assert ids(box.run(config).ok().out) == ["12 12 12 12", "34 34 34 34", "5 600", "0137"]


def test_the_user_of_exec_in_every_field(box: Box, userns: bool) -> None:
    box.start_sleeper(with_user_namespace(default_config()) if userns else default_config())
    process = default_config("cat", "/proc/self/status")["process"] | {"user": USER}
    out = box.runtime.exec_process(box.ident, process).ok().out
    assert ids(out) == ["12 12 12 12", "34 34 34 34", "5 600", "0137"]


def test_the_umask_is_the_programs(box: Box) -> None:
    config = changed(
        with_shell(default_config(), "touch /tmp/x; mkdir /tmp/y; stat -c %a /tmp/x /tmp/y"),
        "/process/user/umask",
        0o027,
    )
    assert box.run(config).ok().out.split() == ["640", "750"]


WRONG: list[tuple[str, Any, str, str]] = [
    ("/user/uid", NO_ID, "/user/uid", "is not an id"),
    ("/user/gid", NO_ID, "/user/gid", "is not an id"),
    ("/user/additionalGids", [1, NO_ID], "/user/additionalGids/1", "is not an id"),
    ("/user/umask", 0o1000, "/user/umask", "nine permission bits"),
    ("/user/username", "root", "/user/username", "Windows"),
    ("/commandLine", "cmd /c dir", "/commandLine", "Windows"),
    ("/cwd", "", "/cwd", "not an absolute path"),
    ("/cwd", "tmp", "/cwd", "not an absolute path"),
    ("/env", ["=x"], "/env/0", "no name"),
    ("/args", [], "/args", "no "),
    ("/oomScoreAdj", 1001, "/oomScoreAdj", "-1000 to 1000"),
    ("/oomScoreAdj", -1001, "/oomScoreAdj", "-1000 to 1000"),
    ("/ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8}, "/ioPriority/priority", "from 0 to 7"),
    ("/ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": -1}, "/ioPriority/priority", "from 0 to 7"),
    ("/ioPriority", {"class": "IOPRIO_CLASS_NONE", "priority": 0}, "/ioPriority/class", "IOPRIO_CLASS_NONE"),
    ("/ioPriority", {"priority": 0}, "/ioPriority/class", "missing"),
    ("/scheduler", {"nice": 1}, "/scheduler/policy", "missing"),
    ("/scheduler", {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_MAGIC"]}, "/scheduler/flags/0", "SCHED_FLAG_MAGIC"),
]


@pytest.mark.parametrize(("pointer", "value", "where", "words"), WRONG, ids=[f"{row[0]}={row[1]}" for row in WRONG])
def test_what_is_refused(box: Box, pointer: str, value: Any, where: str, words: str) -> None:
    box.write(changed(default_config(), f"/process{pointer}", value))
    before = box.snapshot()
    for command in ("create", "run"):
        sentence = one_sentence(box.runtime.call(command, "--bundle", str(box.bundle), box.ident).expect(1))
        assert f"/process{where}: " in sentence
        assert words in sentence
    before.assert_unchanged()


@pytest.mark.parametrize(("pointer", "value", "where", "words"), WRONG, ids=[f"{row[0]}={row[1]}" for row in WRONG])
def test_what_exec_refuses(box: Box, pointer: str, value: Any, where: str, words: str) -> None:
    box.start_sleeper()
    process = changed(default_config("touch", "/tmp/ran")["process"], pointer, value)
    sentence = one_sentence(box.runtime.exec_process(box.ident, process).expect(255))
    assert f"{where}: " in sentence
    assert not (box.rootfs / "tmp/ran").exists()


def oom_score_of_a_caller_with(box: Box, score: int, *words: str) -> str:
    """What a program prints whose runtime is called with that oom_score_adj."""
    head = f'echo {score} > /proc/self/oom_score_adj; exec "$@"'
    return (
        run_command(
            ["sh", "-c", head, "sh", str(box.runtime.path), "--root", str(box.runtime.root), *words],
            box.directory / "out",
        )
        .ok()
        .out
    )


def test_the_oom_score(box: Box, userns: bool) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    config = changed(default_config("cat", "/proc/self/oom_score_adj"), "/process/oomScoreAdj", own + 70)
    if userns:
        with_user_namespace(config)
    assert (
        oom_score_of_a_caller_with(box, own + 30, "run", "--bundle", str(box.write(config)), box.ident)
        == f"{own + 70}\n"
    )


def test_an_unset_oom_score_is_left_alone(box: Box) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    bundle = box.write(default_config("cat", "/proc/self/oom_score_adj"))
    assert oom_score_of_a_caller_with(box, own + 30, "run", "--bundle", str(bundle), box.ident) == f"{own + 30}\n"


def test_the_oom_score_of_exec(box: Box) -> None:
    """Its own when it has one; unset it is the caller's, not the container's."""
    own = int(Path("/proc/self/oom_score_adj").read_text())
    box.start_sleeper(changed(default_config(), "/process/oomScoreAdj", own + 50))
    process = default_config("cat", "/proc/self/oom_score_adj")["process"]
    assert box.runtime.exec_process(box.ident, process | {"oomScoreAdj": own + 90}).ok().out == f"{own + 90}\n"
    assert box.runtime.exec_process(box.ident, process).ok().out == f"{own}\n"


def test_an_oom_score_that_cannot_be_lowered_is_an_error(box: Box) -> None:
    """It takes CAP_SYS_RESOURCE; tests/vm/test_rights.py has it."""
    if not facility.sys_resource():
        pytest.skip("not this lane: CAP_SYS_RESOURCE lowers it")
    box.write(changed(default_config(), "/process/oomScoreAdj", -1000))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert "/process/oomScoreAdj: set oom_score_adj to -1000" in sentence
    assert sentence.endswith("permission denied")
    before.assert_unchanged()


LABELS = [
    ("apparmorProfile", "--apparmor", lsm.apparmor_enabled, "AppArmor is not enabled"),
    ("selinuxLabel", "--process-label", lsm.selinux_enabled, "SELinux is not enabled"),
]


@pytest.mark.parametrize(("member", "option", "enabled", "words"), LABELS, ids=[row[0] for row in LABELS])
def test_a_label_without_its_module_is_an_error(box: Box, member: str, option: str, enabled: Any, words: str) -> None:
    """Running without the confinement that was asked for would be worse."""
    if enabled():
        pytest.skip(f"not this lane: its kernel has what {member} needs")
    config: Config = changed(default_config(), f"/process/{member}", "some-label")
    box.write(config)
    before = box.snapshot()
    for command in ("create", "run"):
        sentence = one_sentence(box.runtime.call(command, "--bundle", str(box.bundle), box.ident).expect(1))
        assert f"/process/{member}: " in sentence
        assert "some-label" in sentence
        assert words in sentence
    before.assert_unchanged()
    box.start_sleeper()
    for result in (box.runtime.exec_process(box.ident, config["process"]), box.exec("true", option, "some-label")):
        sentence = one_sentence(result.expect(255))
        assert f"/{member}: " in sentence
        assert words in sentence
