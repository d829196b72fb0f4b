"""Markdown out of texts that mean themselves."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def plain(text: str) -> str:
    """Text in which nothing is markup, also in a cell of a table."""
    return html.escape(text, quote=False).translate({ord(each): f"&#{ord(each)};" for each in "|*_`[]\\~"})


def code(text: str) -> str:
    """Text as code, also in a cell of a table."""
    return f"<code>{plain(text)}</code>"


def pointer(text: str) -> str:
    """A JSON pointer as code that breaks at its slashes."""
    return f'<code class="pointer">{plain(text).replace("/", "/<wbr>")}</code>'


def sentence(text: str) -> str:
    """Text with a capital."""
    return text[:1].upper() + plain(text[1:])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def folded(tests: Sequence[str]) -> str:
    """The names of tests below their number."""
    lines = "<br>".join(plain(test.removeprefix("tests/")).replace("::", "<wbr>::<wbr>") for test in tests)
    return f"<details><summary>{len(tests)}</summary>{lines}</details>"
