"""The manual page ocirun(8), in the macros of man(7), made from the table, the examples, and what is said here.

In the texts here ``*word*`` is bold and ``_word_`` is set for what somebody puts in.
"""

from __future__ import annotations

import re
import textwrap

from ocirun import SPEC_VERSION, VERSION, manual, options
from ocirun.manual.examples import EXAMPLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from ocirun.options import Command, Option

    Entries = tuple[tuple[str, str], ...]

_CHANGED: Final = "2026-11-29"
"""When a text of this file was."""
_ABOUT: Final = """\
*ocirun* makes a process out of a bundle, a directory with a config.json and a root filesystem, as the OCI runtime
specification {version} says. Engines such as Podman, Docker and containerd call it in place of *runc*(8), whose command
line it has.

Options may be written *--name* _value_, *--name*=_value_ or *-name* _value_, before and behind the arguments; *--* ends
them. Options of the program stand before the command. Behind the container's id of *exec* and *ps* all words belong to
the program that is called."""
_EXITS: Final = (
    ("0", "Success. *run* and *exec* in the foreground return the exit code of the container's program."),
    ("1", "The command was refused or has failed; standard error says why."),
    *(
        (str(command.error), f"*{command.name}* was refused or has failed: its 1 is an answer.")
        for command in options.COMMANDS
        if command.error
    ),
    ("3", "There is no such command."),
    ("128+_N_", "The program of *run* or *exec* was killed by signal _N_."),
    ("255", "*exec* could not join the container or start the program."),
)
_FILES: Final = (
    ("config.json", "The configuration of a container, in its bundle."),
    ("/run/ocirun", "Records of the containers, a directory for each; another one is named by *--root*."),
    ("$XDG_RUNTIME_DIR/ocirun", "The same for a plain user."),
)
_VARIABLES: Final = (
    ("XDG_RUNTIME_DIR", "Where a plain user's containers are recorded and the user's systemd is found."),
    ("USER", "With *XDG_RUNTIME_DIR*, in a user namespace: *root* keeps the records in /run/ocirun."),
    ("NOTIFY_SOCKET", "The program tells of its readiness, as in sd_notify(3); the message is passed on."),
    ("LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID", "Sockets that are passed to the program, as in sd_listen_fds(3)."),
    ("PATH", "Where *checkpoint* and *restore* look for *criu*(8)."),
    ("NO_COLOR", "*validate* prints without colour on a terminal, too."),
    ("LC_ALL, LC_CTYPE, LANG", "Whether *trace* draws with more than ASCII."),
)


def page() -> str:
    """The whole page, ASCII only."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH OCIRUN 8 {_CHANGED} "ocirun {VERSION}" "System Administration"'
    yield from (".SH NAME", r"ocirun \- run containers as the OCI runtime specification says")
    yield from (".SH SYNOPSIS", _set("*ocirun* [_OPTION_…] _COMMAND_ [_ARGUMENT_…]"))
    yield ".SH DESCRIPTION"
    yield "\n.PP\n".join(map(_set, _ABOUT.format(version=SPEC_VERSION).split("\n\n")))
    yield from (".SH OPTIONS", *_options(options.GLOBAL), ".SH COMMANDS")
    for command in options.COMMANDS:
        yield from _command(command)
    for title, entries in (("EXIT STATUS", _EXITS), ("FILES", _FILES), ("ENVIRONMENT", _VARIABLES)):
        yield from (f".SH {title}", *_entries(entries))
    yield from (".SH SEE ALSO", _set("*runc*(8), *crun*(1), *podman*(1), *criu*(8), *namespaces*(7), *cgroups*(7)"))


def _command(command: Command) -> Iterator[str]:
    yield f".SS {command.name}"
    yield _set(f"*{manual.usage(command)}*")
    yield ".PP"
    yield _set(_sentence(command.help) + ".")
    yield from _options(command.options)
    for line, said in EXAMPLES[command.name]:
        yield from (".PP", _set(_sentence(said) + ":"), ".PP", ".RS 4", ".EX", _escaped(line), ".EE", ".RE")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _options(table: Iterable[Option]) -> Iterator[str]:
    for option in manual.listed(table):
        value = manual.shown(option)
        short = f"*-{option.short}*, " if option.short else ""
        yield from _entries(((f"{short}*--{option.name}*" + (f" _{value}_" if value else ""), option.help),))


def _entries(entries: Entries) -> Iterator[str]:
    for name, text in entries:
        yield from (".TP", _set(name), _set(text))


def _set(text: str) -> str:
    """Text with its fonts, in short lines."""
    text = re.sub(r"\*([^*]+)\*", r"\\fB\1\\fR", _escaped(text))
    text = re.sub(r"(?<![A-Za-z])_([^_]+)_(?![A-Za-z])", r"\\fI\1\\fR", text)
    return "\n".join(map(_harmless, textwrap.wrap(text, 79, break_long_words=False, break_on_hyphens=False)))


def _escaped(text: str) -> str:
    """Text without escapes, and in ASCII."""
    for character, escape in (("\\", r"\e"), ("-", r"\-"), ("…", "..."), ("^", r"\(ha"), ("~", r"\(ti"), ("`", "")):
        text = text.replace(character, escape)
    return _harmless(text)


def _harmless(line: str) -> str:
    """A line that is no request."""
    return r"\&" + line if line.startswith((".", "'")) else line
