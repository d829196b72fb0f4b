"""process.terminal and process.consoleSize: config.md, Process."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import termios
from typing import TYPE_CHECKING, Any

from ocirun_conformance.case import case, each, expect, expect_equal, row
from ocirun_conformance.inbox import Inbox
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial


def _line(master: int) -> str:
    """One line of the terminal; fails when none comes for 10 s."""
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([master], [], [], 10)
        expect(ready, "the terminal has no line of the program", seen=text)
        try:
            text += os.read(master, 1)
        except OSError:
            break
    return text.decode("utf-8", "surrogateescape")


def _facts(trial: Trial, size: dict[str, int] | None) -> dict[str, Any]:
    """What the program says on the terminal that was handed over."""
    config = trial.config(["report"], ["wait"])
    config["process"]["terminal"] = True
    if size:
        config["process"]["consoleSize"] = size
    inbox = Inbox(trial)
    made = trial.container(config)
    ok(made.create(console_socket=str(inbox.path)), "create")
    made.watch()
    ok(made.start(), "start")
    found = inbox.wait()
    expect(found.descriptors, "no terminal came through the console socket")
    facts: dict[str, Any] = json.loads(_line(found.descriptors[0][1]))
    return facts


@case("RT-010")
def a_terminal(trial: Trial) -> None:
    """standard input, output and error are one terminal, which the program's process group has in the foreground"""
    facts = _facts(trial, None)
    expect(facts["terminal"], "standard input is no terminal")
    expect_equal(facts["terminal"]["foreground"], facts["pgid"], "the process group in the foreground")
    inodes = {found["inode"] for found in facts["descriptors"] if found["fd"] < 3}
    expect_equal(len(inodes), 1, "the number of files behind the three streams")


@case("RT-010")
def the_size(trial: Trial) -> None:
    """the terminal has consoleSize"""
    terminal = _facts(trial, {"height": 41, "width": 121})["terminal"] or {}
    expect_equal([terminal.get("height"), terminal.get("width")], [41, 121], "the terminal's height and width")


@each(row("false", "CFG-091", False), row("unset", "CFG-091", None))
def a_size_without_a_terminal(trial: Trial, value: bool | None) -> None:
    """consoleSize is ignored when terminal is {0}: the caller's terminal keeps its size"""
    config = trial.config()
    config["process"]["consoleSize"] = {"height": 41, "width": 121}
    if value is not None:
        config["process"]["terminal"] = value
    master, slave = pty.openpty()
    trial.defer(lambda: os.close(master))
    trial.defer(lambda: os.close(slave))
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 5, 6, 0, 0))
    made = trial.container(config)
    ok(made.create(stdin=slave), "create")
    made.watch()
    ok(made.start(), "start")
    made.wait()
    expect(len(made.report), "the program wrote nothing")
    seen = struct.unpack("4H", fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8)))[:2]
    expect_equal(list(seen), [5, 6], "the size of the caller's terminal")
