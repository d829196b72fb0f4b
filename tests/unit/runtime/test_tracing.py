"""The file of --trace, written, read and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocirun.commands.trace import _is_utf8
from ocirun.tracing import chrome, drawing
from ocirun.tracing.chrome import Span, Trace

if TYPE_CHECKING:
    from pathlib import Path


def span(process: str, name: str, begin: int, end: int, number: int = 0) -> Span:
    """Times in microseconds."""
    made = Span(process, {"runtime": 10, "init": 11}[process], begin * 1000, end * 1000)
    made.name, made.number, made.step = name, number, "mounts.remount" if number else ""
    return made


SPANS = [
    span("runtime", "open the root filesystem", 0, 1000, 1),
    span("runtime", "answer init", 1000, 8000),
    span("init", "mount proc on /ä\n", 2000, 2500, 2),
    span("init", "a text that is too long for its column on this terminal", 2500, 8000, 3),
    span("init", "last", 8000, 8001, 4),
]

PLAIN = """\
run web: 4 steps in 8.001 ms

                               0------------------8.001 ms
runtime (10)
   1 open the root ~  1.000 ms === <
   - answer init      7.000 ms    =======================|
init (11)
   2 mount proc on ~  0.500 ms       =| <
   3 a text that is~  5.500 ms         ==================| <
   4 last             0.001 ms                           |

failed: it went wrong
"""


def test_a_drawing_in_ascii() -> None:
    assert drawing.draw(Trace("run web", SPANS, "it went wrong"), 60, plain=True) == PLAIN


@pytest.mark.parametrize("width", [20, 60, 100, 191])
@pytest.mark.parametrize("plain", [True, False])
def test_every_width(width: int, plain: bool) -> None:
    drawn = drawing.draw(Trace("run web", SPANS, ""), width, plain)
    assert max(map(len, drawn.splitlines())) <= max(width, 60)
    assert drawn.isascii() == plain
    assert ("█" in drawn) != plain


def test_an_empty_trace_is_drawn() -> None:
    assert drawing.draw(Trace("", [], ""), 60, plain=True).startswith("trace: 0 steps in 0.000 ms\n")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        file.write("x" * 10000)
        file.seek(0)
        chrome.write(file.fileno(), "run web", SPANS, "why")
    found = chrome.read(str(tmp_path / "file"))
    assert (found.command, found.failed) == ("run web", "why")
    members = ("process", "pid", "begin", "end", "name", "number", "step", "pointer")
    assert [[getattr(each, name) for name in members] for each in found.spans] == [
        [getattr(each, name) for name in members] for each in SPANS
    ]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LC_ALL": "C", "LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, True),
    ],
)
def test_the_locale(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _is_utf8() == expected
