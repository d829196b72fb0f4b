"""Completion in real shells, on a terminal: a TAB is typed, and the line becomes longer. And the manual page's form."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.command import SLOWNESS, run_command
from support.console import Interactive

from ocirun import manual, options

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box

pytestmark = [pytest.mark.process]

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source {script}; PS1='ty''ped> '"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "setopt no_beep; autoload -U compinit; compinit -u -D; source {script}; PS1='ty''ped> '",
    ),
    "fish": (["fish", "--no-config", "-i"], "source {script}; function fish_prompt; echo -n 'ty''ped> '; end"),
}
"""How they are started, and prepared: the prompt is another one then."""


def installed(*programs: str) -> str:
    """The first of them that there is."""
    found = [path for path in map(facility.find_program, programs) if path]
    if not found:
        pytest.skip(f"not this lane: {' or '.join(programs)} is not installed")
    return found[0]


@pytest.mark.privileged
@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_completes_the_word(box: Box, shell: str, program: Path) -> None:
    installed(shell)
    script = box.directory / "script"
    script.write_text(box.runtime.call("completion", shell).ok().out)
    box.start_sleeper()
    start, prepare = SHELLS[shell]
    env = {**os.environ, "PATH": f"{program.absolute().parent}:{os.environ['PATH']}", "TERM": "dumb"}
    env |= {"HOME": str(box.directory), "INPUTRC": "/dev/null"}
    with Interactive(start, cwd=box.directory, env=env, columns=1000) as session:
        session.terminal.send(prepare.format(script=script) + "\n")
        session.terminal.read_until("typed> ", 10 * SLOWNESS)
        for typed, added in (
            ("ki", "ll "),
            ("create --bun", "dle "),
            ("list --format=j", "son "),
            ("list -f ta", "ble "),
            ("create -b bund", "le/"),
            ("create --bundle=bund", "le/"),
            ("kill web KI", "LL "),
            (f"--root {box.runtime.root} state {box.ident[:-1]}", f"{box.ident[-1:]} "),
        ):
            session.terminal.send(f"ocirun {typed}\t")
            session.terminal.read_until(f"ocirun {typed}{added}", 10 * SLOWNESS)
            session.terminal.send("\x15")  # ^U forgets the line


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_that_their_shell_can_read(shell: str, program: Path, tmp_path: Path) -> None:
    script = run_command([str(program), "completion", shell], tmp_path / "out").ok().out_path
    run_command([installed(shell), "-n", str(script)], tmp_path / "read").ok()


def test_the_manual_page(program: Path, tmp_path: Path) -> None:
    """groff(1) or mandoc(1) has nothing to say against it, and shows every command."""
    page = run_command([str(program), "manual"], tmp_path / "out").ok().out_path
    assert page.read_text().isascii()
    formatter = installed("groff", "mandoc")
    if formatter.endswith("mandoc"):
        run_command([formatter, "-Tlint", "-Wwarning", str(page)], tmp_path / "lint").ok()
        return
    done = run_command([formatter, "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=200n", str(page)], tmp_path / "lint").ok()
    assert done.err == ""
    for command in options.COMMANDS:
        assert manual.usage(command).replace("…", "...") in done.out
        assert all(
            f"--{option.name} {manual.shown(option)}".rstrip() in done.out for option in manual.listed(command.options)
        )
