"""The front door: reads the command line by the table in `options`, runs one command, and prints what went wrong.

This is the one place that turns a `Failure` into words on stderr, into the last record of --log, and into an exit code.
"""

from __future__ import annotations

import os

from ocirun import SPEC_VERSION, VERSION, log, options
from ocirun.errors import Failure, doing, failure
from ocirun.kernel import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.options import Command, Option

_ENOSYS: Final = 38
_OLD_KERNEL: Final = "ocirun needs Linux 5.12 or newer, and a sandbox around it may hide system calls"
_TOLD: Final = (Failure, OSError, MemoryError, ImportError)
EXIT_UNKNOWN_COMMAND: Final = 3
"""runc's code for a command that it does not know."""


class Arguments:
    """A command line taken apart: option values by name, and the positionals."""

    __slots__ = ("command", "positionals", "values")

    def __init__(self, command: str) -> None:
        self.command = command
        self.values: dict[str, list[str]] = {}
        self.positionals: list[str] = []

    def flag(self, name: str) -> bool:
        """Whether a flag is set; ``--flag=false`` unsets it."""
        return self.values.get(name, ["false"])[-1] != "false"

    def text(self, name: str, default: str = "") -> str:
        """The last value given."""
        return self.values.get(name, [default])[-1]

    def many(self, name: str) -> list[str]:
        """All values given, in order."""
        return self.values.get(name, [])

    def number(self, name: str) -> int:
        """A count, 0 when absent."""
        return int(self.text(name, "0"))


def match(word: str, table: tuple[Option, ...]) -> tuple[Option, str | None] | None:
    """(the option, its value behind ``=``) for a word that begins with a dash."""
    name, equals, value = word.lstrip("-").partition("=")
    dashes = len(word) - len(word.lstrip("-"))
    for option in table:
        if name and dashes <= 2 and (name == option.name or (name == option.short and dashes == 1)):
            return option, value if equals else None
    return None


def _take(arguments: Arguments, option: Option, value: str | None, rest: list[str]) -> None:
    """Store an option's value, taking the next word when it needs one."""
    if option.kind == options.FLAG:
        value = "true" if value is None else value
        if value not in ("true", "false"):
            raise Failure(f"--{option.name} takes no value but true or false, not {value!r}")
    elif value is None:
        if not rest:
            raise Failure(f"--{option.name} needs a value")
        value = rest.pop(0)
    if option.kind == options.NUMBER and not (value.isascii() and value.isdigit() and len(value) < 5):
        raise Failure(f"--{option.name} takes a number, not {value!r}")
    if option.words and value not in option.words:
        *others, last = option.words
        raise Failure(f"--{option.name} takes {', '.join(others)} or {last}, not {value!r}")
    arguments.values.setdefault(option.name, []).append(value)


def read(words: list[str], table: tuple[Option, ...], arguments: Arguments, stop_at: int) -> list[str]:
    """Read options and positionals; returns the words after `stop_at` positionals (-1: read all)."""
    rest = list(words)
    while rest and len(arguments.positionals) != stop_at:
        word = rest.pop(0)
        if word == "--":
            arguments.positionals += rest
            return []
        if len(word) < 2 or word[0] != "-":
            arguments.positionals.append(word)
            continue
        found = match(word, table)
        if found is None:
            from ocirun.manual import mistakes

            raise Failure(f"unknown option {word}", hint=mistakes.option(word, arguments.command, table))
        _take(arguments, *found, rest)
    return rest


def _read_command(command: Command, words: list[str]) -> Arguments:
    arguments = Arguments(command.name)
    table = (*command.options, options.HELP)
    rest = read(words, table, arguments, 1 if command.tail else -1)
    # An option may still stand between the id and the program, as runc allows; the first other word ends that.
    mixed = command.tail and not command.strict
    while mixed and rest and rest[0].startswith("-") and rest[0] != "--" and match(rest[0], table):
        found = match(rest.pop(0), table)
        if found:
            _take(arguments, *found, rest)
    arguments.positionals += rest[1:] if rest[:1] == ["--"] and not command.strict else rest
    if arguments.flag("help"):
        return arguments
    count = len(arguments.positionals)
    if count < command.least or (command.most >= 0 and count > command.most):
        raise Failure(f"{command.name} takes {command.usage or 'no argument'}: {count} given")
    return arguments


def _run(words: list[str], general: Arguments, about: list[str]) -> int:
    """Read and dispatch; `about` is filled with the command and the container's id, for the error's beginning."""
    rest = read(words, options.GLOBAL, general, 1)
    if general.flag("version"):
        # `docker info` shows the commit as the runtime's version, and nothing without that line.
        log.write_all(1, f"ocirun version {VERSION}\ncommit: {VERSION}\nspec: {SPEC_VERSION}\n")
        return 0
    if not general.positionals or general.flag("help") or general.positionals == ["help"]:
        from ocirun import manual

        log.write_all(1, manual.overview())
        return 0
    name = general.positionals[0]
    command = next((each for each in options.COMMANDS if each.name == name), None)
    if command and command.library:
        from ocirun import cold

        cold.begin_again()
    _open_log(general)
    if command is None:
        from ocirun.manual import mistakes

        raise Failure(f"unknown command {name!r}", hint=mistakes.command(name), code=EXIT_UNKNOWN_COMMAND)
    about.append(command.name)
    arguments = _read_command(command, rest)
    names = command.usage.split()
    about += arguments.positionals[: names.index("ID") + 1 if "ID" in names else 1]
    if arguments.flag("help"):
        from ocirun import manual

        log.write_all(1, manual.page(command))
        return 0
    try:
        module = __import__(command.module, None, None, ("run",))
        status: int = module.run(arguments, general)
    except _TOLD as problem:
        failed = told(problem, about)
        failed.code = command.code
        raise failed from None
    return status


def _open_log(general: Arguments) -> None:
    try:
        log.open_log(general.text("log"), general.text("log-format", "text"), general.flag("debug"))
        if fd := general.text("log-fd"):
            if not (fd.isascii() and fd.isdigit() and len(fd) < 10):
                raise Failure(f"--log-fd takes a descriptor, not {fd!r}")
            log.open_descriptor(int(fd))
            signals.unblock_all()
    except OSError as problem:
        raise failure("open the log", problem, where=general.text("log")) from None


def main(words: list[str]) -> int:
    """Run one command line (without the program's name); returns the exit code."""
    general = Arguments("")
    about: list[str] = []
    try:
        signals.ignore_broken_pipes()
        return _run(words, general, about)
    except _TOLD as problem:
        return report(told(problem, about), about)


def _named(about: list[str]) -> Command | None:
    return next((each for each in options.COMMANDS if about[:1] == [each.name]), None)


def told(problem: Exception, about: list[str]) -> Failure:
    """The sentence of what may end a command; what the command is there for when nobody has named it better."""
    if isinstance(problem, Failure):
        return problem
    if isinstance(problem, OSError):
        command = _named(about)
        return failure(command.help if command else "begin", problem)
    return Failure("out of memory" if isinstance(problem, MemoryError) else f"load the runtime's own code: {problem}")


def report(problem: Failure, about: list[str]) -> int:
    """Tell of a failure: the sentence into the log and on stderr, the hint on stderr only. Returns the exit code.

    about: the command and its words up to the container's id, as far as they are known.
    """
    named = named_as(about)
    sentence = log.printable(f"{named}: {problem}" if about else str(problem))
    problem.hint = problem.hint or (_OLD_KERNEL if problem.errno == _ENOSYS else "")
    if log.to_file():
        log.record("error", sentence, _parts(problem) if log.alone() else None)
    if not log.alone():
        log.write_all(2, f"ocirun {sentence}\n")
        if problem.hint:
            log.write_all(2, "\n".join(map(log.printable, f"hint: {problem.hint}\n".split("\n"))))
    command = _named(about)
    return (command.error if command else 0) or problem.code


def named_as(about: list[str]) -> str:
    """The command and the container's id, as a sentence begins with them."""
    return " ".join(each if each.isprintable() else repr(each) for each in about)


def _parts(problem: Failure) -> dict[str, str | int]:
    """What the library makes the same exception of."""
    names = ("doing", "where", "call", "errno", "hint", "code")
    return {"kind": type(problem).__name__, **{name: getattr(problem, name) for name in names}}


@doing("find the current directory")
def state_root(general: Arguments) -> str:
    """The state directory as an absolute path."""
    from ocirun import state

    return os.path.abspath(general.text("root") or state.default_root())
