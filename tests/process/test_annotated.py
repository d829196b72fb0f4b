"""Annotations that change what the program does: kept groups, the receiver of the pidfd, the signal of `kill`."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import changed, one_sentence, status_lines
from support import facility
from support.bundle import default_config, with_shell, with_user_namespace
from support.facility import requires
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box
    from support.bundle import Config
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

KEEP = "run.oci.keep_original_groups"
RECEIVER = "run.oci.pidfd_receiver"
STOP = "org.opencontainers.image.stopSignal"


def annotated(config: Config, name: str, value: str) -> Config:
    config.setdefault("annotations", {})[name] = value
    return config


@pytest.fixture
def groups() -> Iterator[list[str]]:
    """Supplementary groups of the caller, as the container's status file writes them."""
    before = os.getgroups()
    os.setgroups([7011, 7012])
    yield ["7011", "7012"]
    os.setgroups(before)


def warnings(result: Result) -> list[str]:
    return [line["msg"] for line in result.log if line["level"] == "warning"]


@pytest.mark.parametrize("value", ["1", ""])
def test_the_callers_groups_are_kept(box: Box, groups: list[str], value: str) -> None:
    config = annotated(default_config("cat", "/proc/self/status"), KEEP, value)
    config["process"]["user"] = {"uid": 12, "gid": 34}
    result = box.run(config).ok()
    status = status_lines(result.out)
    assert status["Groups"].split() == groups
    assert (status["Uid"].split()[0], status["Gid"].split()[0]) == ("12", "34")
    assert warnings(result) == []


@pytest.mark.parametrize("value", [None, "0"])
def test_without_the_annotation_they_are_not(box: Box, groups: list[str], value: str | None) -> None:
    assert groups
    config = default_config() if value is None else annotated(default_config(), KEEP, value)
    assert status_lines(box.shell("cat /proc/self/status", config))["Groups"] == ""


def test_exec_keeps_its_own_callers_groups(box: Box, groups: list[str]) -> None:
    box.start_sleeper(annotated(default_config(), KEEP, "1"))
    os.setgroups([7013])
    assert groups
    assert status_lines(box.exec("cat /proc/self/status").ok().out)["Groups"] == "7013"


def test_kept_groups_win_over_others_and_that_is_said(box: Box, groups: list[str]) -> None:
    """Podman writes both: the user's own group is always among additionalGids."""
    config = annotated(default_config("cat", "/proc/self/status"), KEEP, "1")
    config["process"]["user"]["additionalGids"] = [5]
    result = box.run(config).ok()
    assert status_lines(result.out)["Groups"].split() == groups
    (text,) = warnings(result)
    assert "/process/user/additionalGids" in text
    assert KEEP in text


@requires(facility.user_namespace)
def test_kept_groups_open_files_from_a_user_namespace(box: Box, groups: list[str]) -> None:
    """What the annotation is for: there the group has no number, and still its rights."""
    secret = box.shared / "secret"
    secret.write_text("for the group\n")
    os.chown(secret, 0, int(groups[0]))
    secret.chmod(0o040)
    (box.rootfs / "shared").mkdir()
    config = with_shell(with_user_namespace(box.with_shared(default_config())), "cat /shared/secret; id -G")
    config["process"]["user"] = {"uid": 1, "gid": 1}
    config["process"]["capabilities"] = {}
    assert box.run(config).ok().out == "1\n"
    assert box.run(annotated(config, KEEP, "1")).ok().out == "for the group\n1 65534 65534\n"


@contextmanager
def receiver(path: Path) -> Iterator[socket.socket]:
    """A listening socket, reached by its folder's descriptor: the path may be longer than sun_path."""
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        listener.listen(1)
        listener.settimeout(10)
        try:
            yield listener
        finally:
            os.close(folder)


def received(listener: socket.socket) -> int:
    """The process that the one descriptor sent to a receiver is about."""
    connection, _ = listener.accept()
    with connection:
        _, descriptors, _, _ = socket.recv_fds(connection, 64, 4)
    (fd,) = descriptors
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    os.close(fd)
    return int(next(line for line in text.splitlines() if line.startswith("Pid:")).split()[1])


@pytest.mark.parametrize("folder", ["", "long" * 30])
def test_the_receiver_gets_the_pidfd(box: Box, folder: str) -> None:
    path = box.directory / folder / "pidfd"
    path.parent.mkdir(exist_ok=True)
    with receiver(path) as listener:
        box.create(annotated(default_config(), RECEIVER, str(path))).ok()
        assert received(listener) == box.runtime.state(box.ident)["pid"]


def test_run_has_a_receiver_too(box: Box) -> None:
    path = box.directory / "pidfd"
    with receiver(path) as listener:
        box.start_sleeper(annotated(default_config(), RECEIVER, str(path)))
        assert received(listener) == box.runtime.state(box.ident)["pid"]


def test_the_option_wins_over_the_receiver(box: Box) -> None:
    path = box.directory / "pidfd"
    with receiver(path) as listener:
        config = annotated(default_config(), RECEIVER, "/no/such/place")
        box.create(config, "--pidfd-socket", str(path)).ok()
        assert received(listener) == box.runtime.state(box.ident)["pid"]


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize("path", ["", "pidfd", "./pidfd"])
def test_a_receiver_that_is_no_absolute_path_is_refused(box: Box, command: str, path: str) -> None:
    box.write(annotated(default_config(), RECEIVER, path))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.call(command, "--bundle", str(box.bundle), box.ident).expect(1))
    assert f"/annotations/{RECEIVER}: " in sentence
    assert "is not an absolute path" in sentence
    before.assert_unchanged()


def test_a_receiver_that_is_not_there_undoes_the_container(box: Box) -> None:
    box.write(annotated(default_config(), RECEIVER, "/no/such/place"))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    assert "/no/such/place: send the pidfd: no such file or directory" in sentence
    before.assert_unchanged()


SIGNALS = [
    # the annotation's value, what is said to `kill`, the signal that arrives
    ("SIGUSR1", [], "USR1"),
    ("12", [], "USR2"),
    ("SIGRTMIN+3", [], "37"),
    ("SIGUSR1", ["USR2"], "USR2"),
    ("SIGUSR1", ["TERM"], "TERM"),
]


def trapping(box: Box) -> Config:
    """A program that writes down each signal that it gets."""
    names = "USR1 USR2 37 TERM"
    traps = f'for s in {names}; do trap "echo $s >>/shared/got" $s; done'
    script = f"{traps}; echo >/shared/ready; while :; do usleep 5000; done"
    return with_shell(box.with_shared(default_config()), script)


def got(box: Box) -> str:
    """What it has written down, once there is something."""
    file = box.shared / "got"
    return wait_for(lambda: file.read_text() if file.exists() else "", what="a signal")


@pytest.mark.parametrize(("value", "words", "expected"), SIGNALS)
def test_kill_sends_the_images_stop_signal(box: Box, value: str, words: list[str], expected: str) -> None:
    box.run(annotated(trapping(box), STOP, value), "--detach").ok()
    wait_for((box.shared / "ready").exists)
    result = box.runtime.call("kill", box.ident, *words).ok()
    assert got(box) == f"{expected}\n"
    assert warnings(result) == []


def test_kill_all_sends_it_to_every_process(box: Box) -> None:
    config = annotated(trapping(box), STOP, "SIGUSR1")
    config["process"]["args"][-1] = "(" + config["process"]["args"][-1] + ") & " + config["process"]["args"][-1]
    box.run(config, "--detach").ok()
    wait_for((box.shared / "ready").exists)
    wait_for(lambda: len(box.runtime.call("ps", "--format", "json", box.ident).ok().out.split(",")) > 1)
    box.runtime.call("kill", "--all", box.ident).ok()
    assert set(got(box).split()) == {"USR1"}


@pytest.mark.parametrize("value", ["SIGMAGIC", "", "0", "999"])
def test_a_stop_signal_that_is_none_is_a_warning(box: Box, value: str) -> None:
    """The container can be stopped all the same."""
    box.run(annotated(trapping(box), STOP, value), "--detach").ok()
    wait_for((box.shared / "ready").exists)
    result = box.runtime.call("kill", box.ident).ok()
    assert got(box) == "TERM\n"
    (text,) = warnings(result)
    assert f"/annotations/{STOP}: {value!r} is no signal" in text


def test_without_an_annotation_it_is_term(box: Box) -> None:
    box.run(trapping(box), "--detach").ok()
    wait_for((box.shared / "ready").exists)
    box.runtime.call("kill", box.ident).ok()
    assert got(box) == "TERM\n"


@pytest.mark.parametrize("near", ["run.oci.keep_original_groups.", "run.oci.Keep_original_groups"])
def test_another_annotation_changes_nothing(box: Box, groups: list[str], near: str) -> None:
    assert groups
    config = changed(default_config("cat", "/proc/self/status"), "/annotations", {near: "1"})
    assert status_lines(box.run(config).ok().out)["Groups"] == ""
