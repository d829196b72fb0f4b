"""What people read and type: --help, made from the table in `options`. All of this folder is cold."""

from __future__ import annotations

from ocirun import options
from ocirun.manual.examples import EXAMPLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from ocirun.options import Command, Option

_VALUES: Final = {options.FLAG: "", options.NUMBER: "N", options.FILE: "FILE", options.DIRECTORY: "DIR"}


def overview() -> str:
    """All commands and the global options."""
    width = max(len(command.name) for command in options.COMMANDS) + 2
    commands = "".join(f"  {command.name.ljust(width)}{command.help}\n" for command in options.COMMANDS)
    return (
        "ocirun: runs containers as the OCI runtime specification says\n\n"
        "usage: ocirun [OPTION…] COMMAND [ARGUMENT…]\n\n"
        f"commands:\n{commands}\noptions:\n{_lines(options.GLOBAL)}\n"
        "ocirun COMMAND --help tells more about one.\n"
    )


def page(command: Command) -> str:
    """One command."""
    text = f"ocirun {command.name}: {command.help}\n\nusage: {usage(command)}\n"
    if command.options:
        text += f"\noptions:\n{_lines(command.options)}"
    return text + "\nexamples:\n" + "".join(f"  # {said}\n  {line}\n" for line, said in EXAMPLES[command.name])


def usage(command: Command) -> str:
    """How it is called."""
    return " ".join(filter(None, ["ocirun", command.name, "[OPTION…]" if command.options else "", command.usage]))


def shown(option: Option) -> str:
    """What stands for its value; empty for a flag."""
    return "|".join(option.words) or _VALUES.get(option.kind, "VALUE")


def listed(table: Iterable[Option]) -> list[Option]:
    """Those that are not hidden."""
    return [option for option in table if not option.hidden]


def _lines(table: Iterable[Option]) -> str:
    rows = []
    for option in listed(table):
        names = f"-{option.short}, " if option.short else "    "
        rows.append((f"{names}--{option.name} {shown(option)}".rstrip(), option.help))
    width = max(len(names) for names, _help in rows) + 2
    return "".join(f"  {names.ljust(width)}{text}\n" for names, text in rows)
