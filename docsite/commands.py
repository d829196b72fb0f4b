"""The reference of the command line, from the program's own table: a page for each command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun import manual, options
from ocirun.errors import EXIT_ERROR, EXIT_EXEC, EXIT_SIGNAL, EXIT_TIMEOUT
from ocirun.manual.examples import EXAMPLES

from .words import code, sentence, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocirun.options import Command, Option

SYNTAX = """\
An option may be written `--name value`, `--name=value`, `-name value` or `-n value`, before and behind the arguments;
`--` ends the options. A command that does not exist has the exit code 3."""
FOREGROUND = ("run", "restore", "exec", "do")
"""What waits for a program."""
ANSWERS = {"diff-config": "They do something else.", "validate": "There are errors."}
"""What 1 says where it is an answer."""


def _options(listed: Iterable[Option]) -> str:
    rows = [
        (
            (f"{code(f'-{option.short}')}, " if option.short else "") + code(f"--{option.name}"),
            code(value) if (value := manual.shown(option)) else "",
            sentence(option.help),
        )
        for option in manual.listed(listed)
    ]
    return table(("Option", "Value", "Meaning"), rows)


def exits(command: Command) -> list[tuple[str, str]]:
    """Exit codes and what they say."""
    program = command.name in FOREGROUND
    waits = " In the foreground the exit code is the program's." if program else ""
    rows = [("0", f"Success.{waits}")]
    if command.error:
        rows += [(str(EXIT_ERROR), ANSWERS[command.name]), (str(command.error), "It was refused or has failed.")]
    elif command.code == EXIT_EXEC:
        rows.append((str(EXIT_ERROR), "The command line is wrong."))
    else:
        rows.append((str(command.code), "It was refused or has failed; standard error says why."))
    if command.name == "do":
        rows.append((str(EXIT_TIMEOUT), "The time of `--timeout` was over."))
    if program:
        rows.append((f"{EXIT_SIGNAL}+N", "Signal N has killed the program."))
    if command.code == EXIT_EXEC:
        rows.append((str(EXIT_EXEC), "It could not join the container or start the program."))
    return rows


def _page(command: Command) -> str:
    parts = [f"# ocirun {command.name}", f"{sentence(command.help)}."]
    parts.append(f"```text\n{manual.usage(command)}\n```")
    if command.options:
        parts += ["## Options", _options(command.options)]
    parts.append("Options for all commands are [there](../index.md#options-for-all-commands).")
    parts.append("## Examples")
    parts += [f"{sentence(said)}:\n\n```text\n{line}\n```" for line, said in EXAMPLES[command.name]]
    parts += ["## Exit codes", table(("Code", "Meaning"), [(code(number), said) for number, said in exits(command)])]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """By name: the page of all commands, and one of each."""
    rows = [(f"[{command.name}](commands/{command.name}.md)", sentence(command.help)) for command in options.COMMANDS]
    overview = [
        "# The command line",
        "These pages are made from the table that the program reads its command line by.",
        "```text\nocirun [OPTION…] COMMAND [ARGUMENT…]\n```",
        SYNTAX,
        table(("Command", "What it does"), rows),
        "## Options for all commands",
        _options(options.GLOBAL),
    ]
    found = {"index.md": "\n\n".join(overview) + "\n"}
    return found | {f"commands/{command.name}.md": _page(command) for command in options.COMMANDS}
