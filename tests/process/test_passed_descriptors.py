"""--preserve-fds and LISTEN_FDS: the program finds the asked descriptors from 3 on, and knows that they are its."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_shell
from support.command import Output, run_command
from support.runtime import wait_for

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

LISTEN = (
    "echo count $LISTEN_FDS; test $LISTEN_PID = $$ && echo mine; echo $LISTEN_FDNAMES; cat <&3; exec ls /proc/self/fd"
)
READ = "cat <&3; cat <&4; echo ${LISTEN_FDS-none}; exec ls /proc/self/fd"


def call(box: Box, *words: str, env: dict[str, str] | None = None) -> Output:
    """The runtime, called with 3, 4 and 5 open, which are files that say so."""
    for number in (3, 4, 5):
        (box.directory / str(number)).write_text(f"file {number}\n")
    opened = " ".join(f"{number}<{box.directory}/{number}" for number in (3, 4, 5))
    head = ["sh", "-c", f'exec "$@" {opened}', "sh", str(box.runtime.path), "--root", str(box.runtime.root)]
    return run_command([*head, *words], box.directory / "out", env=box.runtime.env | (env or {}))


def lines(text: str) -> list[str]:
    """What was printed, without the three streams and the folder that ls has opened last."""
    return [line for line in text.splitlines()[:-1] if line not in ("0", "1", "2")]


def without_pid_namespace() -> Config:
    config = default_config()
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "pid"]
    return config


def test_run_preserves(box: Box) -> None:
    box.write(with_shell(default_config(), READ))
    out = call(box, "run", "--preserve-fds", "2", "--bundle", str(box.bundle), box.ident).ok().out
    assert lines(out) == ["file 3", "file 4", "none", "3", "4"]


def test_create_preserves_for_start(box: Box) -> None:
    box.write(
        with_shell(box.with_shared(default_config()), f"({READ}) >/shared/out.new; mv /shared/out.new /shared/out")
    )
    call(box, "create", "--preserve-fds", "2", "--bundle", str(box.bundle), box.ident).ok()
    box.runtime.start(box.ident).ok()
    wait_for((box.shared / "out").exists)
    assert lines((box.shared / "out").read_text())[:5] == ["file 3", "file 4", "none", "3", "4"]


def test_exec_preserves(box: Box) -> None:
    box.start_sleeper()
    out = call(box, "exec", "--preserve-fds", "2", box.ident, "sh", "-c", READ).ok().out
    assert lines(out) == ["file 3", "file 4", "none", "3", "4"]


@pytest.mark.parametrize("options", [[], ["--preserve-fds", "0"]])
def test_without_the_option_nothing_passes(box: Box, options: list[str]) -> None:
    box.write(with_shell(default_config(), "exec ls /proc/self/fd"))
    assert lines(call(box, "run", *options, "--bundle", str(box.bundle), box.ident).ok().out) == []


def test_more_than_are_open_is_refused(box: Box) -> None:
    box.write(default_config())
    before = box.snapshot()
    result = box.runtime.run(box.ident, box.bundle, "--preserve-fds", "9")
    assert "--preserve-fds: pass 9 file descriptors on: descriptor 3 is not open" in one_sentence(result.expect(1))
    before.assert_unchanged()


@pytest.mark.parametrize("config", [default_config(), without_pid_namespace()], ids=["pid", "host"])
def test_run_passes_sockets_on(box: Box, config: Config) -> None:
    """sd_listen_fds(3) looks at LISTEN_PID: it is the number that the program itself has."""
    box.write(with_shell(config, LISTEN))
    env = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
    out = call(box, "run", "--bundle", str(box.bundle), box.ident, env=env).ok().out
    assert lines(out) == ["count 1", "mine", "web", "file 3", "3"]


def test_exec_passes_sockets_on(box: Box) -> None:
    box.start_sleeper()
    out = call(box, "exec", box.ident, "sh", "-c", LISTEN, env={"LISTEN_FDS": "1"}).ok().out
    assert lines(out) == ["count 1", "mine", "", "file 3", "3"]


def test_preserved_ones_come_after_the_sockets(box: Box) -> None:
    box.write(with_shell(default_config(), "echo count $LISTEN_FDS; cat <&4; cat <&5; exec ls /proc/self/fd"))
    words = ("run", "--preserve-fds", "2", "--bundle", str(box.bundle), box.ident)
    assert lines(call(box, *words, env={"LISTEN_FDS": "1"}).ok().out) == ["count 1", "file 4", "file 5", "3", "4", "5"]


@pytest.mark.parametrize("env", [{"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "x"}, {"LISTEN_FDS": "0"}])
def test_what_is_meant_for_others_stays_outside(box: Box, env: dict[str, str]) -> None:
    box.write(with_shell(default_config(), "echo ${LISTEN_FDS-none} ${LISTEN_PID-none}; exec ls /proc/self/fd"))
    out = call(box, "run", "--bundle", str(box.bundle), box.ident, env=env).ok().out
    assert lines(out) == ["none none"]
