"""Every command tells how it is used: help, examples, and what its arguments are."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from ocirun import cli, options
from ocirun.cli import Arguments
from ocirun.manual.completion import ARGUMENTS, MAKERS, WORDS
from ocirun.manual.examples import EXAMPLES

if TYPE_CHECKING:
    from ocirun.options import Command

pytestmark = [pytest.mark.meta]

each_command = pytest.mark.parametrize("command", options.COMMANDS, ids=lambda command: command.name)
NAMES = {command.name for command in options.COMMANDS}


def arguments_of(command: Command) -> list[str]:
    return [name.strip("[]") for name in command.usage.split()]


@each_command
def test_help_and_examples(command: Command) -> None:
    assert command.help
    assert all(option.help for option in command.options)
    assert 1 <= len(EXAMPLES.get(command.name, ())) <= 3, "wanted: one to three lines in manual/examples.py"


@each_command
def test_arguments_that_completion_knows(command: Command) -> None:
    unknown = set(arguments_of(command)) - set(ARGUMENTS)
    assert unknown == set(), "wanted: what they are, in manual/completion.py"


@each_command
def test_formats_are_words_of_the_table(command: Command) -> None:
    assert [option.name for option in command.options if option.name.endswith("format") and not option.words] == []


def test_the_lists_name_what_is_there() -> None:
    assert set(EXAMPLES) <= NAMES
    assert set(MAKERS) <= NAMES
    assert set(WORDS) <= {option.name for command in options.COMMANDS for option in command.options}
    assert set(ARGUMENTS) <= {name for command in options.COMMANDS for name in arguments_of(command)}


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line, _said in lines])
def test_examples_are_command_lines(line: str) -> None:
    """Each is read by the program's own reader; what a shell does with its output is left out."""
    program, *words = shlex.split(line.partition(" > ")[0].partition(" | ")[0])
    assert program == "ocirun"
    general = Arguments("")
    rest = cli.read(words, options.GLOBAL, general, 1)
    command = next(each for each in options.COMMANDS if each.name == general.positionals[0])
    assert line in [each for each, _said in EXAMPLES[command.name]]
    cli._read_command(command, rest)
