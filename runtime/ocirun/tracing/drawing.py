"""A trace on the terminal: a row for each step, in its process's paragraph, with a bar on one axis of time."""

from __future__ import annotations

from ocirun import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.tracing.chrome import Span, Trace

WIDTH: Final = 100
_LEAST: Final = 60
_TIMES: Final = 10
_LONGEST: Final = 3
"""How many of the longest steps are marked."""


class _Style:
    """The characters of a bar, from an eighth to a whole one, and what marks a long step."""

    __slots__ = ("axis", "full", "more", "parts", "pointing")

    def __init__(self, plain: bool) -> None:
        self.full = "=" if plain else "█"
        self.parts = ["|"] if plain else list("▏▎▍▌▋▊▉")
        self.axis = "-" if plain else "─"
        self.pointing = "<" if plain else "◀"
        self.more = "~" if plain else "…"


def draw(trace: Trace, width: int, plain: bool) -> str:
    """The whole picture, at most `width` characters wide; `plain` is ASCII alone."""
    style = _Style(plain)
    width = max(width, _LEAST)
    steps = [each for each in trace.spans if each.number]
    start = min((each.begin for each in trace.spans), default=0)
    whole = max((each.end for each in trace.spans), default=0) - start
    longest = sorted(steps, key=_duration, reverse=True)[:_LONGEST]
    label = (width - _TIMES) * 2 // 5
    columns = width - label - _TIMES - 3
    axis = " " * (label + _TIMES + 1) + _axis(columns, whole, style)
    lines = [_fit(_head(trace, len(steps), whole), width, style), "", axis]
    for pid, process in dict.fromkeys((each.pid, each.process) for each in trace.spans):
        lines.append(f"{process} ({pid})")
        for span in trace.spans:
            if (span.pid, span.process) == (pid, process):
                bar = _bar(span, start, whole, columns, style)
                mark = f" {style.pointing}" if span in longest else ""
                lines.append(f"{_label(span, label, style)}{_time(_duration(span)):>{_TIMES}} {bar}{mark}".rstrip())
    if trace.failed:
        lines += ["", _fit(f"failed: {trace.failed}", max(width, len(trace.failed) + _TIMES), style)]
    return "\n".join(lines) + "\n"


def _head(trace: Trace, count: int, whole: int) -> str:
    return f"{trace.command or 'trace'}: {count} steps in {_time(whole).strip()}"


def _duration(span: Span) -> int:
    return span.end - span.begin


def _time(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"


def _fit(text: str, width: int, style: _Style) -> str:
    text = log.printable(text)
    if style.full == "=":
        text = text.encode("ascii", "replace").decode()
    return text if len(text) <= width else text[: width - 1] + style.more


def _label(span: Span, width: int, style: _Style) -> str:
    number = f"{span.number:>4}" if span.number else "   -"
    return _fit(f"{number} {span.name}", width, style).ljust(width)


def _axis(columns: int, whole: int, style: _Style) -> str:
    """A line with the time at both ends."""
    end = _time(whole).strip()
    return f"0{style.axis * (columns - len(end) - 1)}{end}"


def _bar(span: Span, start: int, whole: int, columns: int, style: _Style) -> str:
    """From its begin to its end, at least the thinnest one."""
    scale = columns / whole if whole else 0
    first = min(int((span.begin - start) * scale), columns - 1)
    length = min(_duration(span) * scale, columns - first)
    whole_ones = int(length)
    part = int((length - whole_ones) * (len(style.parts) + 1))
    rest = style.parts[part - 1] if part else ""
    return " " * first + (style.full * whole_ones + rest or style.parts[0])
