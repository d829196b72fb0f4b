"""Keeps what a failed case had made, with the commands that show the failure again."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from . import host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .trial import Trial
    from .verdict import Verdict

SCRIPT = "by-hand.sh"

_CALL = r"""cd "$(dirname "$0")" || exit
mkdir -p state
call() {
    echo "+ $*"
    "$@" </dev/null
    echo "  exit code $?"
}"""


def keep(trial: Trial, verdict: Verdict, folder: Path, again: Sequence[str]) -> Verdict:
    """Copy the case's folder into `folder`; the verdict with the two commands, or with the reason why it was not kept.

    again: the words of the suite's own command, without the runtime and the case.
    """
    place = (folder / trial.path.name).resolve()
    try:
        if place.exists():
            _give_way(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        # cp(1), since there may be sockets and devices among the files
        subprocess.run(["cp", "-a", "--", str(trial.path), str(place)], capture_output=True, text=True, check=True)
        shutil.rmtree(place / "state", ignore_errors=True)
        for bundle in trial.bundles:
            config = place / bundle.path.name / "config.json"
            if config.exists():
                config.write_text(_moved(config.read_text("utf-8", "surrogateescape"), trial, place), "utf-8")
        program = shlex.join(trial.runtime.program)
        judge = shlex.join([*again, "--runtime", program, "--filter", verdict.case.name])
        script = place / SCRIPT
        lines = [*_comment(verdict, judge), _CALL, *_calls(verdict, trial)]
        script.write_text(_moved("\n".join(lines), trial, place) + "\n", "utf-8", "backslashreplace")
    except subprocess.CalledProcessError as problem:
        return replace(verdict, left=(*verdict.left, f"was not kept: {problem.stderr.strip()}"))
    except (OSError, UnicodeError) as problem:
        return replace(verdict, left=(*verdict.left, f"was not kept: {problem}"))
    return replace(verdict, kept=judge, by_hand=f"sh {shlex.quote(str(script))}")


def _give_way(place: Path) -> None:
    """Remove what an earlier run has kept there, and nothing else."""
    if not (place / SCRIPT).exists() or host.mounts_below(place):
        raise FileExistsError(f"{place} is there and is no kept case")
    shutil.rmtree(place)


def _moved(text: str, trial: Trial, place: Path) -> str:
    return text.replace(str(trial.path), str(place))


def _comment(verdict: Verdict, judge: str) -> Iterator[str]:
    yield "#!/bin/sh"
    said = [
        f"{verdict.case.name}: {verdict.case.title}",
        f"{' '.join(verdict.case.requirements)} ({verdict.case.level})",
        f"{verdict.outcome.value}: {verdict.sentence.strip()}",
        *([] if verdict.expected is None else [f"expected: {verdict.expected!r}"]),
        *([] if verdict.seen is None else [f"seen: {verdict.seen!r}"]),
        f"This repeats the calls of the runtime. To judge again: {judge}",
    ]
    for text in said:
        yield from (f"# {line}" for line in text.splitlines())


def _calls(verdict: Verdict, trial: Trial) -> Iterator[str]:
    """The calls that the case made, up to its failure; in the end, what it would have removed."""
    force = (trial.runtime.command("force", {"id": made.ident}) for made in trial.containers)
    end = "; ".join([*(f"{shlex.join(words)} >/dev/null 2>&1" for words in force), "rm -rf state"])
    yield f"trap {shlex.quote(end)} EXIT"
    starts = {tuple(trial.runtime.command("start", {"id": made.ident})) for made in trial.containers}
    for call in verdict.calls:
        yield f"call {shlex.join(call.argv)}"
        if call.argv in starts:
            yield "sleep 1 # for the program in the container"
