"""Draws the medians as an SVG of grouped horizontal bars, one panel per pass and bundle.

Each bar ends at the median; the thin line on it spans minimum to median plus MAD; the number is the median.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from .operations import TITLES
from .report import MILLION, display_order, in_order, label, measured_bundles, runtimes_of
from .stats import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .rounds import PassResult

WIDTH, LEFT, RIGHT = 960, 210, 130
BAR, GAP, GROUP_GAP = 14, 2, 10
HEAD, PANEL_HEAD, PANEL_GAP = 64, 44, 24
COLOURS = ("#1f6feb", "#e8590c", "#2b8a3e", "#862e9c", "#495057")
TICKS = 5


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def nice_step(top: float, ticks: int = TICKS) -> float:
    """The smallest of 1, 2, 5 · 10^n that covers `top` in at most `ticks` steps; `top` must be positive."""
    step = 1e-3
    while True:
        for factor in (1, 2, 5):
            if step * factor * ticks >= top:
                return step * factor
        step *= 10


def _bar(y: float, scale: float, one: Summary, colour: str) -> list[str]:
    """One bar with its spread and its number."""
    end = LEFT + one["median"] / MILLION * scale
    low = LEFT + one["min"] / MILLION * scale
    high = LEFT + (one["median"] + one["mad"]) / MILLION * scale
    middle = y + BAR / 2
    return [
        f'<rect x="{LEFT}" y="{y:.1f}" width="{end - LEFT:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}" stroke="#212529" stroke-width="1.5"/>',
        _text(max(end, high) + 6, y + BAR - 3, f"{one['median'] / MILLION:.1f}"),
    ]


def _axis(top: float, bottom: float, scale: float, step: float) -> list[str]:
    """Vertical grid lines with their values above the bars."""
    drawn = []
    value = 0.0
    while LEFT + value * scale <= WIDTH - RIGHT + 0.5:
        x = LEFT + value * scale
        drawn.append(f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="#dee2e6"/>')
        drawn.append(_text(x, top - 4, f"{value:g}", "middle", 10))
        value += step
    return drawn


def _panel(y: float, title: str, operations: Mapping[str, Mapping[str, Summary]], colours: Mapping[str, str]) -> str:
    """One panel; its height is `_panel_height`."""
    slowest = max((one["median"] + one["mad"]) / MILLION for by_name in operations.values() for one in by_name.values())
    step = nice_step(slowest)
    scale = (WIDTH - LEFT - RIGHT) / max(slowest, step)
    top = y + PANEL_HEAD
    bottom = y + _panel_height(len(operations), len(colours)) - PANEL_GAP
    drawn = [_text(16, y + 16, title, size=14, weight="bold"), *_axis(top, bottom, scale, step)]
    line = top + GROUP_GAP / 2
    for operation in in_order(operations):
        height = len(colours) * (BAR + GAP)
        drawn.append(_text(LEFT - 10, line + height / 2 + 4, TITLES.get(operation, operation), "end"))
        for name, colour in colours.items():
            if name in operations[operation]:
                drawn += _bar(line, scale, operations[operation][name], colour)
            line += BAR + GAP
        line += GROUP_GAP
    return "\n".join(drawn)


def _panel_height(groups: int, bars: int) -> float:
    return PANEL_HEAD + groups * (bars * (BAR + GAP) + GROUP_GAP) + PANEL_GAP


def _legend(colours: Mapping[str, str], versions: Mapping[str, Any]) -> list[str]:
    drawn = []
    x = 16.0
    for name, colour in colours.items():
        label = f"{name} {versions.get(name, {}).get('version', '')}".strip()
        drawn.append(f'<rect x="{x:.1f}" y="38" width="{BAR}" height="{BAR}" fill="{colour}"/>')
        drawn.append(_text(x + BAR + 6, 50, label))
        x += BAR + 30 + 7.2 * len(label)
    return drawn


def draw(passes: Sequence[PassResult], facts: Mapping[str, Any]) -> str:
    """The whole SVG document."""
    body: list[str] = []
    y = float(HEAD)
    names = sorted({name for result in passes for name in runtimes_of(result["nanoseconds"])}, key=display_order)
    palette = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    for result in passes:
        for kind in measured_bundles(result):
            operations = result["nanoseconds"][kind]
            present = {name: palette[name] for name in runtimes_of({kind: operations})}
            summaries = {
                operation: {name: summarize(values) for name, values in by_name.items()}
                for operation, by_name in operations.items()
            }
            y += PANEL_GAP / 2
            body.append(_panel(y, f"{label(kind)}, {result['title']}", summaries, present))
            y += _panel_height(len(summaries), len(present))
    where = f"{facts['cpu']}, {facts['cpus']} cpus, Linux {facts['kernel']}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:.0f}" viewBox="0 0 {WIDTH} {y:.0f}"',
            'font-family="DejaVu Sans, Verdana, sans-serif" fill="#212529">',
            f'<rect width="{WIDTH}" height="{y:.0f}" fill="#ffffff"/>',
            _text(16, 22, "Milliseconds per operation, median (less is better)", size=16, weight="bold"),
            _text(WIDTH - 16, 22, where, "end", 11),
            *_legend(palette, facts["runtimes"]),
            *body,
            "</svg>\n",
        ]
    )
