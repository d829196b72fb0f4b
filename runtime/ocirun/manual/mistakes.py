"""What may have been meant by a word of the command line that nobody knows."""

from __future__ import annotations

from ocirun import cli, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.options import Option


def command(name: str) -> str:
    """The hint about an unknown command."""
    return _hint(name, [each.name for each in options.COMMANDS], "ocirun --help")


def option(word: str, of: str, table: tuple[Option, ...]) -> str:
    """The hint about an unknown option of a command, or ("") of the program."""
    if of and (found := cli.match(word, options.GLOBAL)):
        return f"--{found[0].name} stands before the command: ocirun --{found[0].name} … {of}"
    owners = [] if of else [each.name for each in options.COMMANDS if cli.match(word, each.options)]
    if owners:
        return f"it is an option of {', '.join(owners)}, and stands behind the command"
    name = word.lstrip("-").partition("=")[0]
    known = [f"--{each.name}" for each in table if not each.hidden]
    return _hint(f"--{name}", known, " ".join(filter(None, ["ocirun", of, "--help"])))


def _hint(word: str, known: list[str], lists: str) -> str:
    """The known word that is most like it, if one is, and where they are listed."""
    try:
        from ocirun_spec.problem import did_you_mean
    except ImportError:  # no standard library here
        return f"{lists} lists them"
    return f"{did_you_mean(word, known)} {lists} lists them".lstrip()
