"""process.terminal and process.consoleSize, as the program on the terminal finds them (config.md, Process)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import changed, one_sentence
from support import facility
from support.bundle import default_config, with_shell, with_terminal, with_user_namespace
from support.console import ConsoleSocket
from support.facility import need

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

LOOK = (
    "stty size; for f in 0 1 2; do readlink /proc/self/fd/$f; done; cut -d' ' -f7 /proc/self/stat; "
    "stat -Lc '%u %a' /proc/self/fd/0; test /proc/self/fd/0 -ef /dev/console && echo console; echo end; exec sleep 1000"
)


@pytest.fixture(params=[False, True], ids=["host", "userns"])
def userns(request: pytest.FixtureRequest) -> bool:
    if request.param:
        need(facility.user_namespace)
    return bool(request.param)


def lines(text: str) -> list[str]:
    return text.replace("\r", "").split("end")[0].splitlines()


def expected(size: str, uid: int) -> list[str]:
    """Its size, the three streams, the controlling terminal's number, the owner and mode."""
    return [size, *["/dev/pts/0"] * 3, str(136 << 8), f"{uid} 620"]


@pytest.mark.parametrize("uid", [0, 12])
def test_a_terminal(box: Box, userns: bool, uid: int) -> None:
    """All three streams are the pty, which is the controlling terminal, the user's, and /dev/console."""
    config = changed(with_terminal(with_shell(default_config(), LOOK), 41, 121), "/process/user/uid", uid)
    if userns:
        with_user_namespace(config)
    box.write(config)
    with ConsoleSocket(box.directory / "c") as console:
        box.runtime.run(box.ident, box.bundle, "--detach", "--console-socket", str(console.path)).ok()
        with console.receive() as terminal:
            assert lines(terminal.read_until("end")) == [*expected("41 121", uid), "console"]


def test_a_terminal_of_exec(box: Box, userns: bool) -> None:
    """A pty of its own; the console stays the container's."""
    box.start_sleeper(with_user_namespace(default_config()) if userns else default_config())
    process = with_terminal(with_shell(default_config(), LOOK), 42, 122)["process"]
    process["user"] = {"uid": 12, "gid": 0}
    with ConsoleSocket(box.directory / "c") as console:
        box.runtime.exec_process(box.ident, process, "--detach", "--console-socket", str(console.path)).ok()
        with console.receive() as terminal:
            assert lines(terminal.read_until("end")) == expected("42 122", 12)


def test_without_a_terminal_the_streams_are_the_callers(box: Box) -> None:
    script = "for f in 0 1 2; do test -t $f && echo terminal; done; test -e /dev/console && echo console; echo end"
    for config in (default_config(), changed(default_config(), "/process/terminal", False)):
        assert box.shell(script, config) == "end\n"
    del config["process"]["terminal"]
    assert box.shell(script, config) == "end\n"


@pytest.mark.parametrize("size", [{"height": 3, "width": 4}, {"height": 70000, "width": 1 << 40}])
def test_a_size_without_a_terminal_is_ignored(box: Box, size: dict[str, int]) -> None:
    """Whatever it is, and also where the caller's streams are one: its size stays as it was."""
    config = changed(with_shell(default_config(), "echo ran"), "/process/consoleSize", size)
    assert box.run(config).ok().out == "ran\n"
    del config["process"]["terminal"]
    assert box.run(config).ok().out == "ran\n"
    box.ident = box.name("second")
    box.start_sleeper()
    assert box.runtime.exec_process(box.ident, config["process"]).ok().out == "ran\n"


@pytest.mark.parametrize(("height", "width", "where"), [(65536, 80, "height"), (24, 65536, "width")])
def test_a_size_that_no_terminal_can_have_is_refused(box: Box, height: int, width: int, where: str) -> None:
    box.write(with_terminal(default_config(), height, width))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert f"/process/consoleSize/{where}: " in sentence
    before.assert_unchanged()


@pytest.mark.parametrize("member", ["height", "width"])
def test_a_size_has_two_members(box: Box, member: str) -> None:
    config: Config = changed(default_config(), "/process/consoleSize", {member: 5})
    other = {"height": "width", "width": "height"}[member]
    sentence = one_sentence(box.run(config).expect(1))
    assert f"/process/consoleSize/{other}: " in sentence


def test_a_terminal_needs_somebody_who_holds_it(box: Box) -> None:
    box.write(with_terminal(default_config()))
    before = box.snapshot()
    for result in (box.runtime.create(box.ident, box.bundle), box.runtime.run(box.ident, box.bundle, "--detach")):
        assert "/process/terminal: " in one_sentence(result.expect(1))
    before.assert_unchanged()


def test_the_size_of_the_largest_terminal(box: Box) -> None:
    """The kernel has it; busybox does not believe it."""
    box.write(with_terminal(default_config("sleep", "1000"), 65535, 65534))
    with ConsoleSocket(box.directory / "c") as console:
        box.runtime.run(box.ident, box.bundle, "--detach", "--console-socket", str(console.path)).ok()
        with console.receive() as terminal:
            assert terminal.size() == (65535, 65534)
