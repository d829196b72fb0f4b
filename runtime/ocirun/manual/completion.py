"""What a word of a command line can become, for the scripts in `shells`, which ask for it at every TAB.

The line is read by the table, as far as it goes: what is wrong in it is left to the command itself.
"""

from __future__ import annotations

import os

from ocirun import cli, options
from ocirun.cli import Arguments
from ocirun.errors import Failure
from ocirun.manual.shells import SCRIPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.options import Option

    Answers = list[tuple[str, str]]

PATHS: Final = {options.FILE: ":file", options.DIRECTORY: ":directory"}
"""Answers that ask the shell for its own completion."""
_CONTAINER: Final = "container"
_SIGNAL: Final = "signal"
ARGUMENTS: Final = {
    "ID": _CONTAINER,
    "ID…": _CONTAINER,
    "SIGNAL": _SIGNAL,
    "BUNDLE": options.FILE,
    "FILE": options.FILE,
    "A": options.FILE,
    "B": options.FILE,
    "SHELL": "|".join(SCRIPTS),
    "ENGINE": "docker|containerd|podman",
    "add|remove": "add|remove",
    "COMMAND": "",
    "ARG…": "",
    "PS-OPTION…": "",
    "WORD…": "",
}
"""What an argument is, by its name in the usage of a command; empty: nothing that is known here."""
WORDS: Final = {"empty-ns": ("network",)}
"""What options take, word by word, that may be given several times."""
MAKERS: Final = ("create", "run", "restore")
"""Their ID is a new one."""


def answers(words: list[str]) -> Answers:
    """What the last of `words`, the line so far without the program's name, can become, each with what that is.

    The shell chooses those that begin as the word does.
    """
    *before, last = words
    general = Arguments("")
    rest, waiting, ended = _read(before, options.GLOBAL, general, 1)
    if not general.positionals:
        found = _option(last, options.GLOBAL, waiting, ended)
        return found if found is not None else [(each.name, each.help) for each in options.COMMANDS]
    command = next((each for each in options.COMMANDS if each.name == general.positionals[0]), None)
    if command is None:
        return []
    table = (*command.options, options.HELP)
    arguments = Arguments(command.name)
    rest, waiting, ended = _read(rest, table, arguments, 1 if command.tail else -1)
    if command.tail and arguments.positionals and not waiting:
        rest, waiting, ended = _read(rest, table, arguments, 2)
    if command.tail and len(arguments.positionals) > 1:
        return []  # the program's
    found = _option(last, table, waiting, ended)
    if found is not None:
        return found
    names = [name.strip("[]") for name in command.usage.split()]
    if len(arguments.positionals) >= len(names):
        names = [name for name in names[-1:] if name.endswith("…")]
    name = names[min(len(arguments.positionals), len(names) - 1)] if names else ""
    kind = ARGUMENTS.get(name, "")
    if kind == _CONTAINER and command.name in MAKERS:
        return []
    return _values(kind, general)


def _read(
    words: list[str], table: tuple[Option, ...], arguments: Arguments, stop_at: int
) -> tuple[list[str], Option | None, bool]:
    """As `cli.read`, but forgiving.

    Returns the words after `stop_at` positionals, the option whose value is still to come, and whether -- was there.
    """
    rest = list(words)
    while rest and len(arguments.positionals) != stop_at:
        word = rest.pop(0)
        if word == "--":
            arguments.positionals += rest
            return [], None, True
        if len(word) < 2 or word[0] != "-":
            arguments.positionals.append(word)
        elif found := cli.match(word, table):
            option, value = found
            if option.kind != options.FLAG and value is None:
                if not rest:
                    return [], option, False
                value = rest.pop(0)
            arguments.values.setdefault(option.name, []).append(value or "")
    return rest, None, False


def _option(last: str, table: tuple[Option, ...], waiting: Option | None, ended: bool) -> Answers | None:
    """Options or values of one; None where an argument stands."""
    if waiting:
        return _of(waiting)
    if ended or not last.startswith("-"):
        return None
    found = cli.match(last, table)
    if found and found[1] is not None:
        head = "" if found[0].kind in PATHS else last.partition("=")[0] + "="
        return [(head + word, text) for word, text in _of(found[0])]
    return [(f"--{each.name}", each.help) for each in table if not each.hidden]


def _of(option: Option) -> Answers:
    """The values of an option."""
    if option.name in WORDS:
        return [(word, "") for word in WORDS[option.name]]
    return _values("true|false" if option.kind == options.FLAG else option.kind)


def _values(kind: str, general: Arguments | None = None) -> Answers:
    if kind in PATHS:
        return [(PATHS[kind], "")]
    if kind == _SIGNAL:
        from ocirun_spec.names import SIGNALS

        return [(name.removeprefix("SIG"), str(number)) for name, number in SIGNALS.items()]
    if kind == _CONTAINER and general:
        return _containers(general)
    return [(word, "") for word in kind.split("|")] if "|" in kind else []


def _containers(general: Arguments) -> Answers:
    """As `list --quiet` prints them. The shell has not replaced a ~ in a line that is not finished."""
    from ocirun.commands import list as listing

    root = general.text("root")
    if root.startswith("~/"):
        general.values["root"] = [os.environ.get("HOME", "~") + root[1:]]
    try:
        return [(each["id"], each["status"]) for each in listing.documents(cli.state_root(general))]
    except (Failure, OSError):
        return []
