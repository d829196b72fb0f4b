"""The command line of the bench."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import REPOSITORY, bundles
from .chart import draw
from .engines import ENGINES, EnginePass
from .goals import goals
from .machine import facts
from .passes import HOST, UNIFIED, cgroup_mode, run_here, run_unified
from .report import document, plain, runtimes_of, show, tables
from .runtimes import Candidate, find_runtimes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from .rounds import PassResult

INTERRUPTED = 130


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure OCI runtimes side by side.")
    parser.add_argument("--runs", type=int, default=50, help="samples per operation and runtime (default: 50)")
    parser.add_argument("--max-seconds", type=float, default=900.0, help="time limit for everything (default: 900)")
    parser.add_argument(
        "--runtime", action="append", default=[], metavar="NAME=PATH", help="add or replace a runtime; repeatable"
    )
    parser.add_argument("--only", default="", metavar="NAMES", help="comma-separated names that take part")
    parser.add_argument(
        "--out",
        type=Path,
        default=REPOSITORY / "build" / "bench",
        help="directory of the results; docs/benchmarks: those that the pages show",
    )
    parser.add_argument(
        "--pass", dest="which", choices=(HOST, UNIFIED), help="only this pass; unified expects cgroup2 to be mounted"
    )
    parser.add_argument(
        "--many", type=float, default=1.0, metavar="PART", help="part of the hundreds of containers, 0.1 is a tenth"
    )
    parser.add_argument("--raw", type=Path, help="write the raw samples of the one pass here and nothing else")
    parser.add_argument(
        "--engines", nargs="?", const=",".join(ENGINES), metavar="NAMES", help=f"through engines ({', '.join(ENGINES)})"
    )
    options = parser.parse_args(argv)
    if options.runs < 1 or options.max_seconds <= 0:
        parser.error("--runs and --max-seconds must be positive")
    if options.engines and not set(options.engines.split(",")) <= set(ENGINES):
        parser.error(f"--engines knows {', '.join(ENGINES)}")
    if options.raw and not options.which:
        parser.error("--raw needs --pass")
    return options


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM cleans up like SIGINT; a second signal must not break the cleaning."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def _passes(options: argparse.Namespace, candidates: Sequence[Candidate]) -> list[PassResult]:
    if options.engines:
        title = f"cgroup {cgroup_mode()}"
        engines = EnginePass(title, options.runs, options.max_seconds)
        return [engines.measure(options.engines.split(","), candidates)]
    if options.which:
        return [run_here(options.which, candidates, options.runs, options.max_seconds, options.many)]
    if cgroup_mode() == "unified":
        return [run_here(HOST, candidates, options.runs, options.max_seconds, options.many)]
    half = options.max_seconds / 2
    return [
        run_here(HOST, candidates, options.runs, half, options.many),
        run_unified(candidates, options.runs, half, options.many),
    ]


def _publish(results: Sequence[PassResult], candidates: Sequence[Candidate], remarks: Sequence[str], out: Path) -> None:
    about = facts(candidates)
    runtimes = ", ".join(f"{one.name} {one.version}" for one in candidates)
    machine = f"{about['cpu']}, {about['cpus']} cpus, {about['memory_mib']} MiB, Linux {about['kernel']}\n{runtimes}"
    print(f"\n{machine}", *(f"{one.name}: {one.path}" for one in candidates), sep="\n", end="\n\n")
    for result in results:
        for table in tables(result):
            show(table)
    if any(result["init_kib"] for result in results):
        show(goals(results))
    for remark in [*remarks, *(f"{one['title']}: {remark}" for one in results for remark in one["remarks"])]:
        print(f"note: {remark}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(document(results, about), indent=1))
    (out / "results.svg").write_text(draw(results, about))
    shown = [table for result in results for table in tables(result)]
    (out / "results.txt").write_text("\n\n".join([machine, *map(plain, [goals(results), *shown])]) + "\n")
    print(f"written: {out}/results.json, results.svg and results.txt")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 when every runtime found was measured in some pass, or with --engines one; 1, 130 (interrupted)."""
    options = _arguments(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    reason = bundles.usable()
    extra = dict(text.split("=", 1) for text in options.runtime)
    candidates, remarks = find_runtimes({name: Path(path).absolute() for name, path in extra.items()})
    wanted = set(filter(None, options.only.split(",")))
    candidates = [one for one in candidates if not wanted or one.name in wanted]
    if reason or not candidates:
        print(f"bench: {reason or 'no runtime found'}", *remarks, sep="\n", file=sys.stderr)
        return 1
    try:
        results = _passes(options, candidates)
    except KeyboardInterrupt:
        print("\nbench: interrupted, cleaned up", file=sys.stderr)
        return INTERRUPTED
    if options.raw:
        options.raw.write_text(json.dumps(results[0]))
        return 0
    _publish(results, candidates, remarks, options.out)
    measured = {name for result in results for name in runtimes_of(result["nanoseconds"])}
    # Which runtimes engines can use is no fault of the bench.
    return 0 if measured and (options.engines or measured.issuperset(one.name for one in candidates)) else 1


if __name__ == "__main__":
    sys.exit(main())
