"""`./dev mutants`: the suite against a good runtime, then against each mutant of it."""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocirun_conformance import case as case_module
from ocirun_conformance import probe
from ocirun_conformance.judge import Judge, Settings
from ocirun_conformance.runtime import RUNC
from ocirun_conformance.verdict import Outcome

from .documents import edit
from .request import Request
from .table import mutants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun_conformance.verdict import Verdict

    from .table import Mutant

KILLERS = "killers.tsv"
WRAPPER = str(Path(__file__).with_name("wrapper.py"))


def command(name: str, runtime: str) -> list[str]:
    """The mutant of a runtime as a program."""
    return [sys.executable, "-IS", WRAPPER, name, runtime]


@dataclass
class Known:
    """What a case did with the good runtime."""

    calls: list[tuple[str, int]] = field(default_factory=list)
    configs: list[Any] = field(default_factory=list)
    seconds: float = 0.0


def _table(name: str) -> dict[str, str]:
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    rows = list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return {row[0]: row[1] for row in rows}


def equivalents() -> dict[str, str]:
    """The mutants that nobody can tell from the good runtime on this host, and why."""
    return _table("equivalents.tsv")


def killers() -> dict[str, str]:
    """The case that has killed a mutant before; it is tried first."""
    return _table(KILLERS)


def note(killed: dict[str, str]) -> None:
    """Write down which case kills which mutant, with what is known of mutants that were not tried now."""
    known = killers() | {name: case for name, case in killed.items() if case}
    rows = [f"{name}\t{known[name]}\n" for name in mutants() if name in known]
    Path(__file__).with_name(KILLERS).write_text("mutant\tcase\n" + "".join(rows), "utf-8")


def learn(runtime: str, settings: Settings) -> tuple[dict[str, Known], list[Verdict]]:
    """What each case that passes does, and the verdicts that are no pass."""
    folder = Path(tempfile.mkdtemp(prefix="ocirun-mutants-"))
    try:
        judge = Judge(command(f"record {folder}", runtime), settings, lambda _verdict: None)
        verdicts = judge.run(list(case_module.all_cases().values()))
        seen: dict[str, list[Any]] = {}
        for path in folder.iterdir():
            bundle, _, text = path.read_bytes().partition(b"\n")
            try:
                seen.setdefault(bundle.decode(), []).append(json.loads(text))
            except ValueError:
                continue
    finally:
        shutil.rmtree(folder)
    known: dict[str, Known] = {}
    for verdict in verdicts.verdicts:
        if verdict.outcome is Outcome.PASS:
            made = known[verdict.case.name] = Known(seconds=verdict.seconds)
            for call in verdict.calls:
                request = Request(_words(call.argv, runtime))
                made.calls.append((request.operation, call.code))
                if request.operation == "create":
                    made.configs += seen.pop(request.bundle, [])
    return known, [each for each in verdicts.verdicts if each.outcome in (Outcome.FAIL, Outcome.ERROR)]


def _words(argv: Sequence[str], runtime: str) -> Sequence[str]:
    """What the runtime itself is told, of a command that may begin with those that call it."""
    return argv[len(argv) - argv[::-1].index(runtime) :] if runtime in argv else ()


def _changes(config: Any, words: list[str]) -> str:
    """The config after an edit, as text; empty when that changes nothing."""
    document = json.loads(json.dumps(config))
    edit(document, [*words, "/hook"] if words[0] == "hook" else words)
    return json.dumps(document, sort_keys=True) if document != config else ""


def candidates(mutant: Mutant, known: dict[str, Known]) -> list[str]:
    """The cases that the mutant can touch, the likeliest first; no other can see it."""
    group, *words = mutant.name.split(" ")
    found: dict[str, tuple[bool, int, float]] = {}
    signatures: dict[str, str] = {}
    for name, each in known.items():
        if group in ("config", "lenient"):
            hit = any(_changes(config, words) for config in each.configs)
            if group == "lenient":
                hit = hit and any(op == "create" and code for op, code in each.calls)
            pointer = next((word for word in words if word.startswith("/")), "")
            signatures[name] = json.dumps([_at(config, pointer) for config in each.configs])
        else:
            hit = any(op == _operation(group, words) for op, _code in each.calls)
        if hit:
            cited = set(case_module.all_cases()[name].requirements) & set(mutant.first)
            found[name] = (not cited, 0, each.seconds)
    common = Counter(signatures.values())
    return sorted(found, key=lambda name: (found[name][0], common[signatures.get(name, "")], found[name][2]))


def _operation(group: str, words: list[str]) -> str:
    return words[0].partition("-")[0] if group == "life" else group if group in ("state", "features") else words[0]


def _at(config: Any, pointer: str) -> object:
    from .documents import places

    return [container[key] for container, key in places(config, pointer)] if pointer else None


def attack(name: str, runtime: str, names: Sequence[str], settings: Settings) -> str:
    """The case that kills a mutant, or "". A case that ends in an error of the suite kills nothing."""
    left = [case_module.all_cases()[each] for each in names]
    while left:
        verdicts = Judge(command(name, runtime), settings, lambda _verdict: None).run(left).verdicts
        for verdict in verdicts:
            if verdict.outcome is Outcome.FAIL:
                return verdict.case.name
        tried = {verdict.case.name for verdict in verdicts}
        left = [case for case in left if case.name not in tried]
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when all but the equivalent are killed, 1 when one survives, 2 when the suite itself does not pass."""
    reader = argparse.ArgumentParser(prog="dev mutants", description="Prove that the conformance suite can fail.")
    reader.add_argument("runtime", help="the path of a good runtime")
    reader.add_argument("--sample", metavar="N", type=int, default=0, help="only N of them, always the same")
    reader.add_argument(
        "--only", metavar="TEXT", action="append", default=[], help="only those whose name has this text"
    )
    reader.add_argument("--jobs", metavar="N", type=int, default=2, help="mutants side by side")
    reader.add_argument("--note", action="store_true", help=f"write the killers down in {KILLERS}")
    options = reader.parse_args(argv)
    chosen = [m for m in mutants().values() if not options.only or any(text in m.name for text in options.only)]
    if options.sample:
        chosen = chosen[:: max(1, len(chosen) // options.sample)][: options.sample]
    begin = time.monotonic()
    runtime = str(Path(options.runtime).resolve())
    settings = Settings(probe.build(), RUNC, options.jobs)
    known, broken = learn(runtime, settings)
    if broken or not known:
        for verdict in broken:
            sys.stdout.write(f"{verdict.outcome.value}\t{verdict.case.name}\t{verdict.sentence}\n")
        sys.stdout.write("the suite does not pass with the good runtime, so that mutants prove nothing\n")
        return 2
    probe.build("ocirun_conformance.mutants", "hook")
    hunt = Hunt(runtime, known, replace(settings, jobs=1, stop_at=1))
    same = equivalents()
    for each in chosen:
        if each.name in same:
            sys.stdout.write(f"equivalent\t{each.name}\t{same[each.name]}\n")
    hunt.run([each for each in chosen if each.name not in same], options.jobs)
    if options.note:
        note(hunt.killed)
    return _tell(len(chosen), hunt.killed, begin)


class Hunt:
    """Looks for a case that kills each mutant. killed: the case by the mutant's name, "" for one that survives."""

    def __init__(self, runtime: str, known: dict[str, Known], settings: Settings) -> None:
        self.runtime = runtime
        self.known = known
        self.settings = settings
        self.killed: dict[str, str] = {}

    def run(self, chosen: Sequence[Mutant], jobs: int) -> None:
        """Each one's verdict is printed as soon as it is known."""
        alone = {name for name, case in case_module.all_cases().items() if case.alone}
        first = killers()
        lists: dict[str, list[str]] = {}
        for each in chosen:
            names = candidates(each, self.known)
            lists[each.name] = sorted(names, key=first.get(each.name, "").__ne__)
        # Processes of their own: the cgroups of a run have the process id in their name.
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            tasks = {}
            for name, names in lists.items():
                together = [] if first.get(name) in alone else [case for case in names if case not in alone]
                tasks[pool.submit(attack, name, self.runtime, together, self.settings)] = name
            for task in as_completed(tasks):
                self._tell(tasks[task], task.result(), last=False)
        # Cases that need the host for themselves come when nothing else runs.
        for name in [name for name, killer in self.killed.items() if not killer]:
            names = lists[name] if first.get(name) in alone else [case for case in lists[name] if case in alone]
            self._tell(name, attack(name, self.runtime, names, self.settings), last=True)

    def _tell(self, name: str, killer: str, *, last: bool) -> None:
        self.killed[name] = killer
        if killer or last:
            sys.stdout.write(f"{'killed' if killer else 'SURVIVED'}\t{name}\t{killer}\n")
            sys.stdout.flush()


def _tell(count: int, killed: dict[str, str], begin: float) -> int:
    dead = sum(bool(each) for each in killed.values())
    score = 100 * dead / len(killed) if killed else 100.0
    sys.stdout.write(
        f"{count} mutants: {dead} killed, {len(killed) - dead} survived, {count - len(killed)} equivalent; "
        f"score {score:.1f} %; {time.monotonic() - begin:.0f} s\n"
    )
    return 0 if dead == len(killed) else 1


if __name__ == "__main__":
    sys.exit(main())
