"""What a word of a command line can become."""

from __future__ import annotations

import pytest

from ocirun import options
from ocirun.manual import completion

COMMANDS = {command.name for command in options.COMMANDS}
DIRECTORY, FILE = {":directory"}, {":file"}
NOTHING: set[str] = set()


def words_after(line: str) -> set[str]:
    return {word for word, _text in completion.answers(line.split(" "))}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", COMMANDS),
        ("st", COMMANDS),
        ("--debug ", COMMANDS),
        ("--log-format text ", COMMANDS),
        ("--root ", DIRECTORY),
        ("-root=", DIRECTORY),
        ("--log=/x", FILE),
        ("--log-format ", {"text", "json"}),
        ("--log-format=t", {"--log-format=text", "--log-format=json"}),
        ("--debug=", {"--debug=true", "--debug=false"}),
        ("-", {f"--{option.name}" for option in options.GLOBAL if not option.hidden}),
        ("list -", {"--format", "--quiet", "--help"}),
        ("list ", NOTHING),
        ("list -f ", {"table", "json"}),
        ("list --none --format ", {"table", "json"}),
        ("list -- -", NOTHING),
        ("explain --format ", {"text", "json", "mermaid"}),
        ("create -b ", DIRECTORY),
        ("create --preserve-fds ", NOTHING),
        ("create ", NOTHING),
        ("explain ", FILE),
        ("explain x ", NOTHING),
        ("diff-config a ", FILE),
        ("completion ", {"bash", "zsh", "fish"}),
        ("ps web -f ", {"table", "json"}),
        ("ps -f json web -", {"--format", "--help"}),
        ("exec --user ", NOTHING),
        ("exec web -p ", FILE),
        ("exec web sh -", NOTHING),
        ("exec web sh --process ", NOTHING),
        ("kill web TERM ", NOTHING),
        ("nonsense ", NOTHING),
        ("update web --resources=", FILE),
        ("mounts ", {"add", "remove"}),
        ("mounts add web ", FILE),
        ("checkpoint --empty-ns ", {"network"}),
        ("restore web --empty-ns=", {"--empty-ns=network"}),
    ],
)
def test_what_a_word_can_become(line: str, expected: set[str]) -> None:
    assert words_after(line) == expected


def test_signals() -> None:
    assert {"TERM", "KILL", "HUP"} < words_after("kill --all web ")


def test_hidden_options_are_not_offered() -> None:
    offered = words_after("update -")
    assert "--memory" in offered
    assert "--kernel-memory" not in offered
