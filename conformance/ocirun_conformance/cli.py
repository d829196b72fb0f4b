"""The command line of `ocirun-conformance`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import case as case_module
from . import probe, reports
from .judge import Judge, Settings
from .runtime import RUNC, SECONDS, read_adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .case import Case
    from .verdict import Judgement, Verdict


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="ocirun-conformance", description="Judge an OCI runtime by what the runtime specification demands."
    )
    made.add_argument("--runtime", metavar="COMMAND", action="append", default=[], help="the runtime, with its options")
    made.add_argument("--adapter", metavar="FILE", type=Path, help="how operations are spelled, if not as with runc")
    made.add_argument(
        "--filter", metavar="TEXT", action="append", default=[], help="only cases whose name has this text"
    )
    made.add_argument("--requirement", metavar="ID", action="append", default=[], help="only cases that cite this duty")
    made.add_argument("--level", choices=["must", "should", "may"], help="only cases of this level")
    made.add_argument("--format", choices=sorted(reports.FORMATS), default="text", help="what is written in the end")
    made.add_argument("--output", metavar="FILE", type=Path, help="where to, instead of standard output")
    made.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count() or 1, help="cases side by side")
    made.add_argument("--timeout", metavar="SECONDS", type=float, default=SECONDS, help="for one call of the runtime")
    made.add_argument("--keep", metavar="FOLDER", type=Path, help="leave the bundles of failed cases there")
    made.add_argument("--probe", metavar="FILE", type=Path, help="a probe that is already compiled")
    made.add_argument("--rootless", action="store_true", help="containers of a plain user")
    made.add_argument("--stop-at", metavar="N", type=int, default=0, help="end after N failures")
    made.add_argument("--list", action="store_true", help="only print the cases")
    made.add_argument("command", nargs="*", metavar="compare RUNTIME...", help="several runtimes, one matrix")
    return made


def chosen(options: argparse.Namespace) -> list[Case]:
    """The cases that the options ask for."""
    return [
        case
        for case in case_module.all_cases().values()
        if (not options.filter or any(text in case.name for text in options.filter))
        and (not options.requirement or set(options.requirement) & set(case.requirements))
        and (not options.level or case.level == options.level)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Judge; the exit code is 0 when no MUST fails, 1 when one does, 2 when the suite could not judge."""
    reader = parser()
    options = reader.parse_args(argv)
    runtimes = list(options.runtime)
    if options.command:
        if options.command[0] != "compare":
            reader.error(f"there is no command {options.command[0]}")
        runtimes += options.command[1:]
    cases = chosen(options)
    if options.list:
        for case in cases:
            line = [case.name, case.level, " ".join(case.requirements), case.title]
            sys.stdout.write("\t".join(line) + "\n")
        return 0
    if not runtimes:
        reader.error("which runtime? Give --runtime COMMAND")
    if not cases:
        reader.error("no case is left by these options")
    try:
        settings = Settings(
            options.probe or probe.build(),
            read_adapter(options.adapter) if options.adapter else RUNC,
            options.jobs,
            options.timeout,
            options.rootless,
            options.keep,
            options.stop_at,
        )
    except (probe.NoProbe, OSError, ValueError) as problem:
        reader.error(str(problem))
    judgements = [_judge(runtime, cases, settings) for runtime in runtimes]
    text = reports.FORMATS[options.format](judgements)
    if options.output:
        options.output.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
    return max(judgement.exit_code for judgement in judgements)


def _judge(runtime: str, cases: list[Case], settings: Settings) -> Judgement:
    def tell(_verdict: Verdict) -> None:
        return

    return Judge(shlex.split(runtime), settings, tell).run(cases)


def entry() -> None:
    """The console script."""
    sys.exit(main())
