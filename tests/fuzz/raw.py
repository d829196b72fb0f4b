"""Bytes against what reads them first: JSON texts, recorded states, command lines. What is kept in `corpus` is tried in
every run of the tests; `guided` looks for more.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from support.reader import assert_same_verdict

from ocirun import cli, options, state
from ocirun.cli import Arguments
from ocirun.commands.list import table
from ocirun.commands.state import document
from ocirun.errors import Failure
from ocirun_spec import jsontext, problems, rules
from ocirun_spec.accept import accept

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parent / "corpus"


def one_sentence(problem: Failure) -> None:
    """A failure's words are one line without an end mark."""
    words = str(problem)
    assert words
    assert "Traceback" not in words


def placed(problem: jsontext.JSONError) -> None:
    """A refusal has a line and a column, and an excerpt of two lines."""
    assert "\n" not in str(problem)
    assert problem.line >= 1
    assert problem.column >= 1
    assert problem.excerpt().count("\n") == 1


def text(data: bytes) -> None:
    """A config.json: read like the standard library reads it, or refused with a place; judged and explained alike."""
    try:
        read = jsontext.decode(data)
        assert_same_verdict(read)
        value = jsontext.loads(read)
    except jsontext.JSONError as problem:
        placed(problem)
        return
    assert value == json.loads(data)
    assert jsontext.loads(jsontext.dumps(value)) == value
    refused = accept(value) is not None or bool(rules.check(value))
    errors = [each for each in problems.explain(read, "config.json") if each.severity == "error"]
    assert bool(errors) == refused
    for each in errors:
        assert each.render()


def record(data: bytes) -> None:
    """A state.json: a state that can be shown, or a sentence. Nobody is sent a signal."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "web"
        folder.mkdir()
        (folder / "state.json").write_bytes(data)
        try:
            entry = state.find(root, "web")
        except Failure as problem:
            one_sentence(problem)
            return
        try:
            shown = document(entry)
            jsontext.pretty(shown)
            table([shown])
            entry.life()
        except Failure as problem:
            one_sentence(problem)
        finally:
            os.close(entry.fd)


def words(data: bytes) -> None:
    """A command line, with NUL between the words: read, not run."""
    line = [each.decode("utf-8", "surrogateescape") for each in data.split(b"\0")]
    general = Arguments("")
    try:
        rest = cli.read(line, options.GLOBAL, general, 1)
        name = general.positionals[:1]
        for command in options.COMMANDS:
            if [command.name] == name:
                cli._read_command(command, rest)
    except Failure as problem:
        one_sentence(problem)


TARGETS: dict[str, Callable[[bytes], None]] = {"text": text, "record": record, "words": words}


def replay(name: str, *more: Path) -> int:
    """Try what was kept for a target; how many they were."""
    kept = sorted(path for folder in (CORPUS / name, *more) if folder.is_dir() for path in folder.iterdir())
    for path in kept:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as problem:
            problem.add_note(f"the input is {path}")
            raise
    return len(kept)
