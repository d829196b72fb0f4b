"""Runs cases against a runtime: side by side where they allow it, each in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import host
from .case import Fails, NotRun
from .keep import keep
from .runtime import RUNC, SECONDS, Runtime, Stop
from .trial import CGROUP, Trial
from .verdict import Judgement, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from .case import Case

ROUNDS = 300
"""How often each race is run."""
OLDEST, NEWEST = "1.0.2", "1.3.0"
_NAMED = re.compile(r"^spec: (\S+)$", re.MULTILINE)
"""What a runtime without features says in its version of the specification that it follows."""


@dataclass(frozen=True)
class Settings:
    """How to run. keep: where the bundles of failed cases shall stay, if they shall; again: the suite's own command."""

    probe: Path
    words: Mapping[str, Sequence[str]]
    jobs: int = 1
    seconds: float = SECONDS
    rootless: bool = False
    keep: Path | None = None
    stop_at: int = 0
    """End after that many failures; 0 for never."""
    again: tuple[str, ...] = ("ocirun-conformance",)
    rounds: int = ROUNDS


DEFAULT_WORDS = RUNC


class Judge:
    """One runtime under judgement. tell: called with each verdict as soon as there is one."""

    def __init__(self, program: Sequence[str], settings: Settings, tell: Callable[[Verdict], None]) -> None:
        self.program = tuple(program)
        self.settings = settings
        self.tell = tell
        self.folder = Path(tempfile.mkdtemp(prefix="ocirun-conformance-"))
        # the container's root, even of another user, is found through it
        self.folder.chmod(0o755)
        self.version = OLDEST
        self.stop = Stop()
        self._failures = 0

    def run(self, cases: Sequence[Case]) -> Judgement:
        """All of these; those that need the host for themselves come last, one after the other.

        An interrupt ends it once the cases under way are cleaned up. OSError: the runtime cannot be run.
        """
        begin = time.monotonic()
        try:
            judgement = self._introduce()
            found = self._all(cases)
        finally:
            host.unmount_below(self.folder)
            host.remove_cgroups(CGROUP)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.stop.close()
        order = {case.name: index for index, case in enumerate(cases)}
        judgement.verdicts = sorted((each for each in found if each), key=lambda each: order[each.case.name])
        judgement.seconds = time.monotonic() - begin
        return judgement

    def _all(self, cases: Sequence[Case]) -> list[Verdict | None]:
        """In threads, also those that are alone: so an interrupt, which the main thread gets, is never in a case."""
        together = [case for case in cases if not case.alone]
        with ThreadPoolExecutor(self.settings.jobs) as pool:
            try:
                under_way = [pool.submit(self._one, case) for case in together]
                found = [_result(each) for each in under_way]
                found += [_result(pool.submit(self._one, case)) for case in cases if case.alone]
            except BaseException:
                self.stop.tell()
                raise
        return found

    def _runtime(self, folder: Path) -> Runtime:
        root = folder / "state"
        root.mkdir()
        return Runtime(self.program, root, self.settings.words, self.settings.seconds, stop=self.stop)

    def _introduce(self) -> Judgement:
        """What the runtime calls itself, and which version of the specification it takes at most."""
        folder = self.folder / "introduction"
        folder.mkdir()
        runtime = self._runtime(folder)
        version = newest = ""
        # one that hangs will do so in the cases too
        with contextlib.suppress(Fails, ValueError, KeyError, TypeError):
            version = runtime.call(runtime.command("version", {}), folder / "version.out").out
            features = runtime.call(runtime.command("features", {}), folder / "features.out")
            newest = str(json.loads(features.out)["ociVersionMax"]) if features.code == 0 else ""
        if newest.startswith("1."):
            self.version = min(NEWEST, newest)
        # only told to the reader: the form is that of runc and crun
        named = _NAMED.search(version)
        claims = newest or (named[1] if named else "")
        return Judgement(shlex.join(self.program), (version.splitlines() or [""])[0], claims=claims)

    def _one(self, case: Case) -> Verdict | None:
        if self.stop.fired or (self.settings.stop_at and self._failures >= self.settings.stop_at):
            return None
        try:
            verdict = self._missing(case) or self._try(case)
        except Exception:  # noqa: BLE001 - as in _outcome
            verdict = Verdict(case, Outcome.ERROR, traceback.format_exc())
        self._failures += verdict.outcome in (Outcome.FAIL, Outcome.ERROR)
        # an interrupted call looks like a failure
        if not self.stop.fired:
            self.tell(verdict)
        return verdict

    def _missing(self, case: Case) -> Verdict | None:
        for need in case.needs:
            try:
                reason = need.missing()
            except OSError as problem:
                return Verdict(case, Outcome.ERROR, f"cannot find out about {need.name}: {problem}")
            if reason:
                return Verdict(case, Outcome.NOT_RUN, reason)
        return None

    def _try(self, case: Case) -> Verdict:
        folder = self.folder / "".join(char if char.isalnum() else "-" for char in case.name)[:80]
        folder.mkdir()
        begin = time.monotonic()
        trial = Trial(
            self._runtime(folder),
            folder,
            self.settings.probe,
            version=self.version,
            rootless=self.settings.rootless,
            rounds=self.settings.rounds,
        )
        outcome, sentence, expected, seen = _outcome(case, trial)
        seconds = time.monotonic() - begin
        config = trial.bundles[-1].config if trial.bundles else None
        calls = tuple(trial.runtime.calls)
        left = trial.clean()
        verdict = Verdict(case, outcome, sentence, expected, seen, config, calls, seconds, left=tuple(left))
        if self.settings.keep and outcome in (Outcome.FAIL, Outcome.ERROR):
            verdict = keep(trial, verdict, self.settings.keep, self.settings.again)
        if not host.mounts_below(folder):
            shutil.rmtree(folder, ignore_errors=True)
        return verdict


def _result(future: Future[Verdict | None]) -> Verdict | None:
    """What it gives. Looks up now and then: a signal that comes just before a wait would be noticed after it only."""
    while not future.done():
        wait([future], timeout=0.2)
    return future.result()


def _outcome(case: Case, trial: Trial) -> tuple[Outcome, str, object, object]:
    try:
        case.body(trial)
    except Fails as problem:
        return Outcome.FAIL, problem.sentence, problem.expected, problem.seen
    except NotRun as reason:
        return Outcome.NOT_RUN, str(reason), None, None
    except (Exception, SystemExit):  # noqa: BLE001 - a defect of the suite is a verdict of its own, never a pass
        return Outcome.ERROR, traceback.format_exc(), None, None
    return Outcome.PASS, "", None, None
