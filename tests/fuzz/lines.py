"""Command lines: options of every command in every spelling, values that fit and others, words in the wrong place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from ocirun import options

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

_VALUES = (
    "", "0", "1", "-1", "5", "99999", "1g", "1m30s", "true", "false", "auto", "text", "json", "table", ".", "/",
    "/nowhere/x", "/dev/null", "missing", "1:2", "a=b", "KILL", "nosuch", "x" * 300, "ü", "a\nb", "\x1b[2J", "\udcff",
    "soft", "network", "MB:0=20", "0-1", "CAP_KILL",
)  # fmt: skip
_IDS = ("box", "", ".", "..", "a/b", "@cache", "x" * 2000, "-", "--", "ü\n", "\udcff")
_ALL = tuple(option for command in options.COMMANDS for option in command.options) + options.GLOBAL


def _arguments() -> SearchStrategy[str]:
    """An argument as execve(2) takes it: any bytes but NUL, which Python shows as text with surrogates."""
    return st.sampled_from(_VALUES) | st.binary(max_size=9).map(
        lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    )


@st.composite
def _option(draw: DrawFn, table: tuple[options.Option, ...]) -> list[str]:
    chosen = draw(st.sampled_from(table if draw(st.integers(0, 9)) else _ALL))
    name = draw(st.sampled_from([f"--{chosen.name}", f"-{chosen.name}", f"-{chosen.short}", f"---{chosen.name}"]))
    argument = draw(_arguments())
    forms = [[name], [f"{name}={argument}"], [name, argument]]
    return draw(st.sampled_from(forms))


@st.composite
def lines(draw: DrawFn) -> list[str]:
    """A whole line without the program's name."""
    found: list[str] = []
    for _ in range(draw(st.integers(0, 2))):
        found += draw(_option(options.GLOBAL))
    command = draw(st.sampled_from(options.COMMANDS))
    found.append(command.name if draw(st.integers(0, 19)) else draw(_arguments()))
    parts = [_option(command.options or options.GLOBAL), _arguments().map(lambda each: [each])]
    for _ in range(draw(st.integers(0, 4))):
        found += draw(st.one_of(parts))
    if draw(st.booleans()):
        found.insert(draw(st.integers(0, len(found))), draw(st.sampled_from(_IDS)))
    return found
