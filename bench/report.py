"""Turns samples into tables and the results document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .bundles import BUNDLES
from .operations import OPERATIONS, TITLES
from .runtimes import OWN
from .stats import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .rounds import PassResult, Samples

MILLION = 1e6
BASELINE = "runc"
KIB = 1024


@dataclass(frozen=True)
class Table:
    """A title, column heads and rows of text; the first column is left-aligned, the others right-aligned."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _summaries(samples: Samples) -> dict[str, dict[str, dict[str, Summary]]]:
    return {
        kind: {
            operation: {name: summarize(values) for name, values in by_name.items()}
            for operation, by_name in operations.items()
        }
        for kind, operations in samples.items()
    }


def document(passes: Sequence[PassResult], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The content of results.json: facts, then summaries and raw samples per pass, bundle, operation and runtime."""
    return {
        "machine": dict(facts),
        "passes": [
            {
                **result,
                "summary": {
                    unit: _summaries(samples)
                    for unit, samples in (
                        ("nanoseconds", result["nanoseconds"]),
                        ("peak_kib", result["peak_kib"]),
                        ("init_kib", result["init_kib"]),
                        ("instructions", result["instructions"]),
                        ("calls", result["calls"]),
                        ("within", result["within"]),
                    )
                },
            }
            for result in passes
        ],
    }


def runtimes_of(samples: Samples) -> list[str]:
    """Names that have samples, in display order."""
    names = {name for operations in samples.values() for by_name in operations.values() for name in by_name}
    return sorted(names, key=display_order)


def display_order(name: str) -> tuple[bool, str]:
    """Sort key: ours first, then by name."""
    return name != OWN, name


def ratio(by_name: Mapping[str, Summary], name: str) -> str:
    """The runtime's median over the baseline's; empty for the baseline itself or without one."""
    if name == BASELINE or BASELINE not in by_name or not by_name[BASELINE]["median"]:
        return ""
    return f"{by_name[name]['median'] / by_name[BASELINE]['median']:.2f}x"


def _time_cells(by_name: Mapping[str, Summary], name: str) -> tuple[str, str, str]:
    if name not in by_name:
        return "-", "-", ""
    one = by_name[name]
    middle = f"{one['median'] / MILLION:.2f} ±{one['mad'] / MILLION:.2f}"
    return middle, f"{one['min'] / MILLION:.2f}", ratio(by_name, name)


def _memory_cells(by_name: Mapping[str, Summary], name: str) -> tuple[str, str]:
    if name not in by_name:
        return "-", ""
    return f"{by_name[name]['median'] / KIB:.1f}", ratio(by_name, name)


def _times(result: PassResult, kind: str) -> Table:
    names = runtimes_of(result["nanoseconds"])
    summaries = _summaries(result["nanoseconds"])[kind]
    heads = ["ms"]
    for name in names:
        heads += [f"{name} median ±MAD", "min", f"/ {BASELINE}" if name != BASELINE else ""]
    rows = []
    for operation in in_order(summaries):
        row = [TITLES.get(operation, operation)]
        for name in names:
            row += _time_cells(summaries[operation], name)
        rows.append(tuple(row))
    counts = sorted({one["n"] for by_name in summaries.values() for one in by_name.values()})
    runs = "-".join(map(str, counts))
    title = f"{label(kind)} · {runs} runs each · {result['title']}"
    return _without_empty_columns(Table(title, tuple(heads), tuple(rows)))


def _memory(result: PassResult, kind: str) -> Table:
    names = runtimes_of(result["peak_kib"])
    peaks, inits = _summaries(result["peak_kib"])[kind], _summaries(result["init_kib"])[kind]
    lines = [(f"peak RSS, {operation}", peaks[operation]) for operation in OPERATIONS if operation in peaks]
    titles = {"rss": "waiting init, RSS", "pss": "waiting init, PSS", "foreground": "run in the foreground, RSS"}
    lines += [(title, inits[key]) for key, title in titles.items()]
    heads = ["MiB"]
    for name in names:
        heads += [name, f"/ {BASELINE}" if name != BASELINE else ""]
    rows = []
    for title, by_name in lines:
        row = [title]
        for name in names:
            row += _memory_cells(by_name, name)
        rows.append(tuple(row))
    return _without_empty_columns(Table(f"{kind} bundle · memory · {result['title']}", tuple(heads), tuple(rows)))


def _instructions(result: PassResult, kind: str) -> Table:
    names = runtimes_of(result["instructions"])
    summaries = _summaries(result["instructions"])[kind]
    rows = []
    for operation in in_order(summaries):
        by_name = summaries[operation]
        counts = [f"{by_name[name]['median'] / 1000:,.0f}" if name in by_name else "-" for name in names]
        rows.append((operation, *counts))
    title = f"{label(kind)} · instructions outside the kernel · {result['title']}"
    return Table(title, ("thousands", *names), tuple(rows))


def _parts(result: PassResult, kind: str) -> Table:
    """What of an operation's time is spent in calls of the runtime; both are medians, of different rounds."""
    names = runtimes_of(result["within"])
    whole, within, calls = (_summaries(result[unit])[kind] for unit in ("nanoseconds", "within", "calls"))
    heads = ["in the runtime", *(f"{name} {word}" for name in names for word in ("calls", "ms", "share"))]
    rows = []
    for operation, by_name in within.items():
        row = [operation]
        for name in names:
            if name not in by_name:
                row += ["-", "-", "-"]
                continue
            part = by_name[name]["median"]
            share = part / whole[operation][name]["median"]
            row += [f"{calls[operation][name]['median']:g}", f"{part / MILLION:.2f}", f"{share:.0%}"]
        rows.append(tuple(row))
    return Table(f"{label(kind)} · the runtime's part", tuple(heads), tuple(rows))


def _without_empty_columns(table: Table) -> Table:
    """Drop the ratio column of the baseline itself."""
    keep = [index for index, head in enumerate(table.heads) if head]
    rows = tuple(tuple(row[index] for index in keep) for row in table.rows)
    return Table(table.title, tuple(table.heads[index] for index in keep), rows)


def measured_bundles(result: PassResult) -> list[str]:
    """Bundles or engines that have samples, in the order of their definition."""
    return [kind for kind, operations in result["nanoseconds"].items() if operations]


def label(kind: str) -> str:
    """A bundle is called so, an engine has a name."""
    return f"{kind} bundle" if kind in BUNDLES else kind


def in_order(operations: Mapping[str, object]) -> list[str]:
    """The operations of a bundle in the order of their definition, those of an engine as they come."""
    return [operation for operation in OPERATIONS if operation in operations] or list(operations)


def tables(result: PassResult) -> Iterator[Table]:
    """The tables of one pass, of each bundle or engine: times, and memory, instructions or the runtime's part."""
    for kind in measured_bundles(result):
        yield _times(result, kind)
        if kind in result["peak_kib"]:
            yield _memory(result, kind)
        if kind in result["instructions"]:
            yield _instructions(result, kind)
        if kind in result["within"]:
            yield _parts(result, kind)


def plain(table: Table) -> str:
    """A table as lines of text."""
    widths = [max(len(row[column]) for row in (table.heads, *table.rows)) for column in range(len(table.heads))]
    lines = [table.title]
    for row in (table.heads, tuple("-" * width for width in widths), *table.rows):
        first = row[0].ljust(widths[0])
        lines.append("  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]))
    return "\n".join(lines)


def show(table: Table) -> None:
    """Print a table, through rich when it is there and standard output is a terminal."""
    try:
        from rich.console import Console
        from rich.table import Table as RichTable
    except ImportError:
        print(plain(table), end="\n\n")
        return
    console = Console()
    drawn = RichTable(title=table.title, title_justify="left")
    for index, head in enumerate(table.heads):
        drawn.add_column(head, justify="right" if index else "left", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*row)
    # rich cuts cells off where the room ends; a plain table is at least complete.
    if console.is_terminal and console.measure(drawn).maximum <= console.width:
        console.print(drawn)
    else:
        print(plain(table), end="\n\n")
