"""--help: made from the table in `options`."""

from __future__ import annotations

from ocirun import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocirun.options import Command, Option


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
    text = f"ocirun {command.name}: {command.help}\n\nusage: ocirun {command.name} [OPTION…] {command.usage}\n"
    return text + (f"\noptions:\n{_lines(command.options)}" if command.options else "")


def _lines(table: Iterable[Option]) -> str:
    rows = []
    for option in table:
        if option.hidden:
            continue
        names = f"-{option.short}, " if option.short else "    "
        value = "" if option.kind == options.FLAG else " VALUE"
        rows.append((f"{names}--{option.name}{value}", option.help))
    width = max(len(names) for names, _help in rows) + 2
    return "".join(f"  {names.ljust(width)}{text}\n" for names, text in rows)
