"""Every way to write an option, and the sentences for what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocirun import cli, manual, options
from ocirun.cli import Arguments
from ocirun.errors import Failure
from ocirun.options import DIRECTORY, FILE, FLAG, MANY, NUMBER, TEXT, Command, Option

if TYPE_CHECKING:
    from pathlib import Path

TABLE = (
    Option("bundle", TEXT, "", "b"),
    Option("log-format", TEXT, ""),
    Option("detach", FLAG, "", "d"),
    Option("env", MANY, "", "e"),
    Option("preserve-fds", NUMBER, ""),
    Option("style", "text|json|mermaid", ""),
)


def read(*words: str, stop_at: int = -1) -> tuple[Arguments, list[str]]:
    arguments = Arguments("test")
    return arguments, cli.read(list(words), TABLE, arguments, stop_at)


def named(name: str) -> Command:
    return next(command for command in options.COMMANDS if command.name == name)


@pytest.mark.parametrize(
    "words", [["--bundle", "/x"], ["--bundle=/x"], ["-bundle", "/x"], ["-bundle=/x"], ["-b", "/x"], ["-b=/x"]]
)
@pytest.mark.parametrize("before", [True, False])
def test_every_spelling_of_a_value(words: list[str], before: bool) -> None:
    arguments, rest = read(*([*words, "id"] if before else ["id", *words]))
    assert arguments.text("bundle") == "/x"
    assert arguments.positionals == ["id"]
    assert rest == []


@pytest.mark.parametrize("word", ["--detach", "-detach", "-d", "--detach=true", "-d=true"])
def test_every_spelling_of_a_flag(word: str) -> None:
    assert read(word)[0].flag("detach")


@pytest.mark.parametrize("word", ["--detach=false", "-d=false"])
def test_a_flag_is_unset(word: str) -> None:
    assert not read("-d", word)[0].flag("detach")


def test_values() -> None:
    arguments, _ = read("-e", "A=1", "--env=B=2=3", "--env", "--", "--preserve-fds=2", "-b", "", "--bundle", "last")
    assert arguments.many("env") == ["A=1", "B=2=3", "--"]
    assert arguments.number("preserve-fds") == 2
    assert arguments.text("bundle") == "last"
    assert (arguments.text("log-format"), arguments.text("log-format", "x")) == ("", "x")
    assert (arguments.number("none"), arguments.many("none"), arguments.flag("none")) == (0, [], False)


def test_two_dashes_end_the_options() -> None:
    arguments, rest = read("a", "--", "-d", "--bundle")
    assert arguments.positionals == ["a", "-d", "--bundle"]
    assert not arguments.flag("detach")
    assert rest == []


def test_a_single_dash_is_a_positional() -> None:
    assert read("-")[0].positionals == ["-"]


def test_reading_stops_where_it_is_told() -> None:
    arguments, rest = read("-d", "id", "-b", "x", stop_at=1)
    assert arguments.positionals == ["id"]
    assert rest == ["-b", "x"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nothing"], "unknown option --nothing"),
        (["---bundle", "x"], "unknown option ---bundle"),
        (["--b", "x"], "unknown option --b"),
        (["-=x"], "unknown option -=x"),
        (["--=x"], "unknown option --=x"),
        (["--bundle"], "--bundle needs a value"),
        (["--detach=yes"], "--detach takes no value but true or false, not 'yes'"),
        (["--preserve-fds", "-1"], "--preserve-fds takes a number, not '-1'"),
        (["--preserve-fds=x"], "--preserve-fds takes a number, not 'x'"),
        (["--preserve-fds=²"], "--preserve-fds takes a number, not '²'"),
        (["--preserve-fds=12345"], "--preserve-fds takes a number, not '12345'"),
        (["--style", "xml"], "--style takes text, json or mermaid, not 'xml'"),
        (["--style="], "--style takes text, json or mermaid, not ''"),
    ],
)
def test_what_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(Failure) as caught:
        read(*words)
    assert str(caught.value) == said


def test_after_the_id_everything_belongs_to_the_program() -> None:
    arguments = cli._read_command(named("exec"), ["-t", "web", "--user", "1:2", "ls", "-l", "--user", "x"])
    assert arguments.positionals == ["web", "ls", "-l", "--user", "x"]
    assert arguments.text("user") == "1:2"
    assert arguments.flag("tty")


def test_a_program_may_begin_with_a_dash() -> None:
    arguments = cli._read_command(named("exec"), ["web", "--", "-t"])
    assert arguments.positionals == ["web", "-t"]
    assert not arguments.flag("tty")


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("create", [], "create takes ID: 0 given"),
        ("create", ["a", "b"], "create takes ID: 2 given"),
        ("kill", ["a", "b", "c"], "kill takes ID [SIGNAL]: 3 given"),
        ("list", ["a"], "list takes no argument: 1 given"),
        ("exec", [], "exec takes ID COMMAND [ARG…]: 0 given"),
    ],
)
def test_the_number_of_positionals(name: str, words: list[str], said: str) -> None:
    with pytest.raises(Failure) as caught:
        cli._read_command(named(name), words)
    assert str(caught.value) == said


def test_help_needs_no_positionals() -> None:
    assert cli._read_command(named("create"), ["--help"]).flag("help")


def test_options_table_is_sane() -> None:
    names = [command.name for command in options.COMMANDS]
    assert len(names) == len(set(names))
    for owner, table in [("", options.GLOBAL), *((each.name, each.options) for each in options.COMMANDS)]:
        long = [option.name for option in table]
        short = [option.short for option in table if option.short]
        assert len(long) == len(set(long)), owner
        assert len(short) == len(set(short)), owner
        assert not set(long) & set(short), owner
        assert all(len(letter) == 1 for letter in short), owner
        assert all(len(name) > 1 and option.help for name, option in zip(long, table, strict=True)), owner
        kinds = {option.kind for option in table if not option.words}
        assert kinds <= {FLAG, TEXT, MANY, NUMBER, FILE, DIRECTORY}, owner
    for command in options.COMMANDS:
        assert "help" not in [option.name for option in command.options]
        assert "h" not in [option.short for option in command.options]
        assert command.least >= 0
        assert command.most == -1 or command.most >= command.least


@pytest.mark.parametrize("command", options.COMMANDS, ids=lambda command: command.name)
def test_every_command_has_its_module(command: Command) -> None:
    import importlib
    import inspect

    run = importlib.import_module(command.module).run
    assert [name.lstrip("_") for name in inspect.signature(run).parameters] == ["arguments", "general"]


def test_the_manual_names_everything() -> None:
    overview = manual.overview()
    for command in options.COMMANDS:
        assert f"  {command.name} " in overview
        assert command.help in overview
        page = manual.page(command)
        assert page.startswith(f"ocirun {command.name}: {command.help}\n")
        assert f"usage: {manual.usage(command)}\n" in page
        assert "\nexamples:\n  # " in page
        for option in command.options:
            shown = f"{f'--{option.name} {manual.shown(option)}'.rstrip()} " in page
            assert (shown, option.help in page) == (not option.hidden,) * 2
            assert not option.short or f"  -{option.short}, --{option.name}" in page
    for option in options.GLOBAL:
        assert (f"--{option.name} " in overview) != option.hidden


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["frobnicate"], 3, "ocirun unknown command 'frobnicate'\n"),
        (["--what"], 1, "ocirun unknown option --what\n"),
        (["--log-format", "xml", "list"], 1, "ocirun --log-format takes text or json, not 'xml'\n"),
        (["--rootless=maybe", "list"], 1, "ocirun --rootless takes true, false or auto, not 'maybe'\n"),
        (["state", "../etc"], 1, "ocirun state ../etc: invalid container id '../etc'\n"),
        (["state", "nobody"], 1, "ocirun state nobody: container does not exist\n"),
    ],
)
def test_what_main_says(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    assert cli.main(["--root", str(tmp_path), *words]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(said)
    assert all(line.startswith("hint: ") for line in err.splitlines()[1:])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["kil", "web"], "did you mean kill? ocirun --help lists them"),
        (["zzzzzz"], "ocirun --help lists them"),
        (["--rot", "x", "list"], "did you mean --root? ocirun --help lists them"),
        (["create", "--bundel=x", "web"], "did you mean --bundle? ocirun create --help lists them"),
        (["list", "--zzzzzz"], "ocirun list --help lists them"),
        (["list", "--root=x"], "--root stands before the command: ocirun --root … list"),
        (["--detach", "run", "web"], "it is an option of run, exec, restore, and stands behind the command"),
    ],
)
def test_what_may_have_been_meant(capfd: pytest.CaptureFixture[str], words: list[str], hint: str) -> None:
    assert cli.main(words)
    assert capfd.readouterr().err.splitlines()[1:] == [f"hint: {hint}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--version"], "ocirun version "),
        (["-v"], "ocirun version "),
        ([], "ocirun: runs containers"),
        (["help"], "ocirun: runs containers"),
        (["--help"], "ocirun: runs containers"),
        (["kill", "--help"], "ocirun kill: "),
        (["-h", "kill"], "ocirun: runs containers"),
    ],
)
def test_what_asks_for_text_only(capfd: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert cli.main(words) == 0
    out, err = capfd.readouterr()
    assert out.startswith(said)
    assert err == ""


@pytest.mark.parametrize("problem", [MemoryError(), ImportError("no file"), OSError(23, "files"), Failure("no")])
@pytest.mark.parametrize(("words", "code"), [(["exec", "id", "true"], 255), (["state", "id"], 1)])
def test_whatever_ends_a_command_has_its_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], code: int, problem: Exception
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(cli, "state_root", fail)
    assert cli.main(words) == code
    assert capfd.readouterr().err.count("\n") == 1
